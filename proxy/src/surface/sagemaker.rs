//! SageMaker's InvokeEndpoint, as far as it embeds: a path and a body in what the endpoint's container speaks in, texts out; errors in, AWS's words out.

use super::node::Node;
use super::{Form, Peek, embeddings};
use crate::chat::Size;
use crate::error::{ApiError, Code};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::value::RawValue;
use tollway_core::table::{Embedder, Embedding, Payload};

const ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");
const VARIANT: HeaderName = HeaderName::from_static("x-amzn-invoked-production-variant");
const TARGET_VARIANT: &str = "x-amzn-sagemaker-target-variant";
const COMPONENT: &str = "x-amzn-sagemaker-inference-component";
/// Headers that ask for a part of an endpoint which the proxy does not choose.
const UNSERVED: [&str; 2] = ["x-amzn-sagemaker-target-model", "x-amzn-sagemaker-target-container-hostname"];

/// The endpoint that a path invokes.
#[must_use]
pub fn endpoint(path: &str) -> Option<&str> {
    let name = path.strip_prefix("/endpoints/")?.strip_suffix("/invocations")?;
    (!name.is_empty() && !name.contains('/')).then_some(name)
}

/// What is known before the table says what the endpoint's container speaks: its name, in place of a model's.
///
/// # Errors
/// The path names none.
pub fn peek(path: &str, body: &[u8]) -> Result<Peek, ApiError> {
    let name = endpoint(path).ok_or_else(|| ApiError::invalid("the path names no endpoint"))?;
    let size = Size { text_bytes: body.len() as u64, ..Size::default() };
    let (model, form) = (name.to_owned(), Form::Invocation);
    Ok(Peek { model, stream: false, include_usage: false, max_tokens: Some(0), n: 1, user: None, size, form })
}

/// The texts of a body in the container's own words.
///
/// # Errors
/// What is wrong with it, and which field.
pub fn texts(config: &Embedding, headers: &HeaderMap, body: &[u8]) -> Result<Vec<String>, ApiError> {
    let Some(Embedder::SageMaker(target)) = config.sources.first().map(|source| &source.embedder) else {
        return Err(ApiError::invalid("this endpoint is not SageMaker's: use /v1/embeddings"));
    };
    if let Some(name) = UNSERVED.into_iter().find(|name| headers.contains_key(*name)) {
        return Err(ApiError::unsupported(name, format!("{name} chooses what the proxy does not: leave it out")));
    }
    for (header, part, own) in
        [(TARGET_VARIANT, "variant", &target.variant), (COMPONENT, "inference component", &target.inference_component)]
    {
        let asked = headers.get(header).map(HeaderValue::as_bytes);
        if asked.is_some_and(|asked| own.as_deref().map(str::as_bytes) != Some(asked)) {
            let message = format!("{header} must be the {part} of the EmbeddingEndpoint: leave it out");
            return Err(ApiError::unsupported(header, message));
        }
    }
    if target.payload == Payload::OpenAi {
        // These bodies need not say a model: the path does.
        let mut fields = object(body)?;
        _ = fields.take("model");
        let texts = embeddings::texts_of(&fields.need("input")?)?;
        return fields.finish().map(|()| texts);
    }
    let mut fields = object(body)?;
    let texts = embeddings::texts_of(&fields.need("inputs")?)?;
    for (name, own) in [("normalize", config.normalize), ("truncate", config.max_tokens.map(|_| true))] {
        if let Some(node) = fields.take(name)
            && Some(node.boolean()?) != own
        {
            return Err(node.invalid("differs from what the EmbeddingEndpoint says: leave it out"));
        }
    }
    fields.finish().map(|()| texts)
}

fn object(body: &[u8]) -> Result<super::node::Object<'_>, ApiError> {
    let raw: &RawValue = serde_json::from_slice(body)
        .map_err(|error| ApiError::invalid(format!("the body is not well-formed JSON: {error}")))?;
    Node::new(raw, "").object()
}

/// Headers of an answer that its clients read.
pub fn introduce(headers: &mut HeaderMap, config: &Embedding) {
    let target = config.sources.first().map(|source| &source.embedder);
    if let Some(Embedder::SageMaker(target)) = target
        && let Ok(variant) = HeaderValue::from_str(target.variant.as_deref().unwrap_or("AllTraffic"))
    {
        headers.insert(VARIANT, variant);
    }
}

/// AWS's type for an error, and its status. An exhausted budget is a quota: SDKs retry a throttling, and it would change nothing.
fn kind(error: &ApiError) -> (&'static str, StatusCode) {
    match (error.code, error.status) {
        (Code::BudgetExceeded, _) => ("ServiceQuotaExceededException", StatusCode::BAD_REQUEST),
        (Code::RateLimited, _) => ("ThrottlingException", StatusCode::TOO_MANY_REQUESTS),
        (Code::InvalidRequest, StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED) => {
            ("UnknownOperationException", StatusCode::NOT_FOUND)
        }
        (Code::PayloadTooLarge, status) => ("ValidationError", status),
        (Code::ModelNotFound | Code::InvalidRequest | Code::UnsupportedField, _) => {
            ("ValidationError", StatusCode::BAD_REQUEST)
        }
        (Code::PriceUnknown | Code::InvalidApiKey, _) | (_, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
            ("AccessDeniedException", StatusCode::FORBIDDEN)
        }
        (_, StatusCode::BAD_GATEWAY) => ("ModelError", StatusCode::FAILED_DEPENDENCY),
        _ => ("ServiceUnavailable", StatusCode::SERVICE_UNAVAILABLE),
    }
}

/// The status that goes with the error's type.
#[must_use]
pub fn status(error: &ApiError) -> StatusCode {
    kind(error).1
}

/// The body of an error response.
#[must_use]
pub fn render_error(error: &ApiError) -> Bytes {
    Bytes::from(serde_json::json!({ "Message": error.message }).to_string())
}

/// The header that names the error's type.
pub fn explain(headers: &mut HeaderMap, error: &ApiError) {
    headers.insert(ERROR_TYPE, HeaderValue::from_static(kind(error).0));
}
