//! Texts and an embedding model in, the InvokeModel bodies that embed them out; each body's answer in, its vectors and tokens out.

use super::error::malformed;
use crate::attempt::{Job, Skip};
use crate::chat::UpstreamError;
use crate::error::ApiError;
use crate::provider::{Call, Prepared};
use crate::surface::embeddings::Request;
use bytes::Bytes;
use http::HeaderMap;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use tollway_core::spend::Shape;
use tollway_core::table::Bedrock;

/// Texts that Cohere's models take in one call.
const COHERE_TEXTS: usize = 96;

/// Models that embed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Embedder {
    /// Titan G1: one text a call.
    Titan,
    /// Titan v2: one text a call, vectors of a length to choose.
    Titan2,
    /// Cohere v3: many texts a call.
    Cohere,
    /// Cohere v4: many texts a call, vectors of a length to choose.
    Cohere4,
}

impl Embedder {
    /// What embeds under a model id, profile id or ARN; none: a model for something else.
    #[must_use]
    pub fn of(model_id: &str) -> Option<Self> {
        let name = model_id.rsplit('/').next().unwrap_or(model_id);
        let known = [
            ("amazon.titan-embed-text-v2", Self::Titan2),
            ("amazon.titan-embed-text-v1", Self::Titan),
            ("amazon.titan-embed-g1", Self::Titan),
            ("cohere.embed-v4", Self::Cohere4),
            ("cohere.embed-", Self::Cohere),
        ];
        known.iter().find(|(id, _)| name.contains(id)).map(|(_, embedder)| *embedder)
    }

    fn bodies(self, request: &Request) -> Result<Vec<Bytes>, ApiError> {
        let Request { texts, dimensions, base64: _, input_type, unknown } = request;
        let unsupported = |name: &str| {
            Err(ApiError::unsupported(name, format!("{name} has no translation for this model; leave it out")))
        };
        if let Some(name) = unknown {
            return unsupported(name);
        }
        if dimensions.is_some() && !matches!(self, Self::Titan2 | Self::Cohere4) {
            return unsupported("dimensions");
        }
        if input_type.is_some() && matches!(self, Self::Titan | Self::Titan2) {
            return unsupported("input_type");
        }
        let write = |mut body: serde_json::Value, name: &str| {
            if let Some(dimensions) = dimensions {
                body[name] = json!(dimensions);
            }
            Bytes::from(body.to_string())
        };
        Ok(match self {
            Self::Titan | Self::Titan2 => {
                texts.iter().map(|text| write(json!({ "inputText": text }), "dimensions")).collect()
            }
            Self::Cohere | Self::Cohere4 => {
                // What these models must be told and this dialect has no word for: most vectors are kept and searched later.
                let purpose = input_type.as_deref().unwrap_or("search_document");
                let body = |texts: &[String]| {
                    let body = json!({ "texts": texts, "input_type": purpose, "embedding_types": ["float"] });
                    write(body, "output_dimension")
                };
                texts.chunks(COHERE_TEXTS).map(body).collect()
            }
        })
    }
}

/// The calls that embed a request's texts; nothing has been reserved or sent.
///
/// # Errors
/// Why this target is passed over.
pub fn embed(job: &Job<'_>, target: &Bedrock, request: &Request) -> Result<Prepared, Skip> {
    let Some(embedder) = Embedder::of(target.known_as()) else {
        let why = format!("{:?} does not run an embedding model; use /v1/chat/completions", job.peek.model);
        return Err(Skip::Inexpressible(ApiError::invalid(why).param("model")));
    };
    let bodies = embedder.bodies(request).map_err(Skip::Inexpressible)?;
    let bytes = bodies.iter().map(|body| body.len() as u64).sum();
    let shape = Shape { bytes, texts: request.texts.len() as u64, ..Shape::default() };
    Ok(Prepared { shape, call: Call::Embed { bodies, base64: request.base64, texts: request.texts.len() } })
}

/// Passes over a target that only embeds.
///
/// # Errors
/// It does.
pub fn chats(model: &str, target: &Bedrock) -> Result<(), Skip> {
    if Embedder::of(target.known_as()).is_none() {
        return Ok(());
    }
    let why = format!("{model:?} runs an embedding model, which gives no answers; use /v1/embeddings");
    Err(Skip::Inexpressible(ApiError::invalid(why).param("model")))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    #[serde(default)]
    embedding: Option<Box<RawValue>>,
    #[serde(default)]
    embeddings: Option<Box<RawValue>>,
    #[serde(default)]
    input_text_token_count: Option<u64>,
}

#[derive(Deserialize)]
struct ByType {
    float: Vec<Box<RawValue>>,
}

/// The vectors of one call, and the tokens it read as far as the service says it.
///
/// # Errors
/// It is no such answer.
pub fn decode_embeddings(headers: &HeaderMap, body: &[u8]) -> Result<(Vec<Box<RawValue>>, Option<u64>), UpstreamError> {
    let wrong = || malformed("the answer holds no embeddings");
    let answer: Answer = serde_json::from_slice(body).map_err(|_| wrong())?;
    let header = headers.get("x-amzn-bedrock-input-token-count").and_then(|value| value.to_str().ok()?.parse().ok());
    let tokens = answer.input_text_token_count.or(header);
    if let Some(vector) = answer.embedding {
        return Ok((vec![vector], tokens));
    }
    let raw = answer.embeddings.ok_or_else(wrong)?;
    let vectors = serde_json::from_str::<ByType>(raw.get()).map(|by_type| by_type.float);
    let vectors = vectors.or_else(|_| serde_json::from_str::<Vec<Box<RawValue>>>(raw.get()));
    Ok((vectors.map_err(|_| wrong())?, tokens))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(texts: usize) -> Request {
        let texts = (0..texts).map(|i| format!("text {i}")).collect();
        Request { texts, dimensions: None, base64: false, input_type: None, unknown: None }
    }

    #[test]
    fn ids_say_who_embeds() {
        for (id, embedder) in [
            ("amazon.titan-embed-text-v2:0", Some(Embedder::Titan2)),
            ("amazon.titan-embed-text-v1", Some(Embedder::Titan)),
            ("amazon.titan-embed-g1-text-02", Some(Embedder::Titan)),
            ("cohere.embed-multilingual-v3", Some(Embedder::Cohere)),
            ("us.cohere.embed-v4:0", Some(Embedder::Cohere4)),
            ("arn:aws:bedrock:us-east-1::foundation-model/cohere.embed-english-v3", Some(Embedder::Cohere)),
            ("us.amazon.nova-pro-v1:0", None),
        ] {
            assert_eq!(Embedder::of(id), embedder, "{id}");
        }
    }

    #[test]
    fn one_text_a_call_or_many() {
        assert_eq!(Embedder::Titan.bodies(&request(3)).unwrap().len(), 3);
        assert_eq!(Embedder::Cohere.bodies(&request(97)).unwrap().len(), 2);
        let short = Request { dimensions: Some(256), ..request(1) };
        assert_eq!(Embedder::Titan2.bodies(&short).unwrap()[0], r#"{"dimensions":256,"inputText":"text 0"}"#);
        for (embedder, request, param) in [
            (Embedder::Titan, short.clone(), "dimensions"),
            (Embedder::Cohere, short, "dimensions"),
            (Embedder::Titan2, Request { input_type: Some("classification".to_owned()), ..request(1) }, "input_type"),
            (Embedder::Titan2, Request { unknown: Some("x".to_owned()), ..request(1) }, "x"),
        ] {
            assert_eq!(embedder.bodies(&request).unwrap_err().param.as_deref(), Some(param));
        }
    }

    #[test]
    fn answers_are_read_in_every_shape_they_come_in() {
        let mut headers = HeaderMap::new();
        headers.insert("x-amzn-bedrock-input-token-count", http::HeaderValue::from_static("5"));
        for (body, vectors, tokens) in [
            (r#"{"embedding":[1.0],"inputTextTokenCount":3,"embeddingsByType":{"float":[1.0]}}"#, 1, 3),
            (r#"{"embeddings":[[1.0],[2.0]],"id":"x","response_type":"embeddings_floats"}"#, 2, 5),
            (r#"{"embeddings":{"float":[[1.0],[2.0]]},"response_type":"embeddings_by_type"}"#, 2, 5),
        ] {
            let (read, counted) = decode_embeddings(&headers, body.as_bytes()).unwrap();
            assert_eq!((read.len(), counted), (vectors, Some(tokens)), "{body}");
        }
        assert!(decode_embeddings(&headers, b"{}").is_err());
        assert!(decode_embeddings(&headers, b"<html>").is_err());
    }
}
