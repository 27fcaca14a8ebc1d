//! InvokeModel of embedding models: a body in Titan's or Cohere's words in, the tokens it costs and its vectors out. Pure.

use crate::sim::config::Model;
use crate::sim::generate::{Prompt, tokens};
use crate::sim::serve::Answer;
use bytes::Bytes;
use serde_json::{Value, json};

/// Whether a model embeds.
pub(super) fn embeds(id: &str) -> bool {
    id.contains("titan-embed-") || id.contains("cohere.embed-")
}

fn texts(body: &Value) -> Vec<&str> {
    match (&body["inputText"], &body["texts"]) {
        (Value::String(text), _) => vec![text],
        (_, Value::Array(texts)) => texts.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

/// What the texts cost, or the message of a `ValidationException`.
pub(super) fn read(id: &str, model: &Model, body: &Value) -> Result<Prompt, String> {
    let malformed =
        |what: &str| Err(format!("Malformed input request: {what}, please reformat your input and try again."));
    let is_titan = id.contains("titan");
    let known: &[&str] = match is_titan {
        true if id.contains("v2") => &["inputText", "dimensions", "normalize", "embeddingTypes"],
        true => &["inputText"],
        false => &["texts", "input_type", "truncate", "embedding_types", "output_dimension"],
    };
    let mut fields = body.as_object().into_iter().flat_map(|fields| fields.keys());
    if let Some(extra) = fields.find(|field| !known.contains(&field.as_str())) {
        return malformed(&format!("#: extraneous key [{extra}] is not permitted"));
    }
    if !is_titan && body.get("input_type").is_none() {
        return malformed("#: required key [input_type] not found");
    }
    if !matches!(body["dimensions"].as_u64(), None | Some(256 | 512 | 1024)) {
        return malformed("#/dimensions: is not a valid enum value");
    }
    let texts = texts(body);
    if texts.is_empty() || texts.len() > 96 || texts.iter().any(|text| text.is_empty()) {
        return malformed("expected minLength: 1");
    }
    let read = texts.iter().map(|text| tokens(model, text)).sum();
    Ok(Prompt { tokens: read, max_tokens: Some(0), ..Prompt::default() })
}

/// The vectors: short ones that tell texts apart.
pub(super) fn answer(id: &str, body: &Value, input: u64) -> Answer {
    let dimensions = body["dimensions"].as_u64().unwrap_or(4);
    let vector = |text: &str| {
        let first = f64::from(text.bytes().next().unwrap_or(0));
        (0..dimensions).map(|at| if at == 0 { first } else { 0.5 }).collect::<Vec<f64>>()
    };
    let vectors: Vec<Vec<f64>> = texts(body).into_iter().map(vector).collect();
    let plain = if id.contains("titan") {
        json!({ "embedding": vectors.first(), "inputTextTokenCount": input })
    } else {
        json!({ "id": "e1", "response_type": "embeddings_by_type", "embeddings": {"float": vectors} })
    };
    Answer {
        content_type: "application/json",
        headers: vec![("x-amzn-bedrock-input-token-count", input.to_string())],
        events: Vec::new(),
        plain: Some(Bytes::from(plain.to_string())),
        error_event: None,
    }
}
