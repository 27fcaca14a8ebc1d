//! Texts and what a container speaks in, the body that embeds them out.

use serde::Serialize;
use tollway_core::table::{Embedder, Embedding, Payload};

#[derive(Serialize)]
struct Inputs<'a> {
    inputs: &'a [&'a str],
    #[serde(skip_serializing_if = "Option::is_none")]
    normalize: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    truncate: Option<bool>,
}

#[derive(Serialize)]
struct OpenAi<'a> {
    input: &'a [&'a str],
    model: &'a str,
}

/// The body of one call.
#[must_use]
pub fn body(endpoint: &Embedding, embedder: &Embedder, texts: &[&str]) -> Vec<u8> {
    let (payload, model) = match embedder {
        Embedder::SageMaker(sagemaker) => (sagemaker.payload, None),
        Embedder::OpenAi(openai) => (Payload::OpenAi, openai.model.as_deref()),
    };
    let written = match payload {
        Payload::Inputs => serde_json::to_vec(&Inputs { inputs: texts, normalize: None, truncate: None }),
        Payload::Tei => {
            let truncate = endpoint.max_tokens.map(|_| true);
            serde_json::to_vec(&Inputs { inputs: texts, normalize: endpoint.normalize, truncate })
        }
        Payload::OpenAi => serde_json::to_vec(&OpenAi { input: texts, model: model.unwrap_or(&endpoint.model) }),
    };
    // Texts are always JSON.
    written.unwrap_or_default()
}
