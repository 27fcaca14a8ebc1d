//! An AWS error response or exception frame in, its kind, status and words out.

use crate::chat::{ErrorKind, UpstreamError};
use http::HeaderMap;
use serde::Deserialize;

/// Names that the runtimes of Bedrock, SageMaker and AgentCore give their errors, with kind and HTTP status.
const KNOWN: [(&str, ErrorKind, u16); 24] = [
    ("ThrottlingException", ErrorKind::Throttled, 429),
    ("ModelNotReadyException", ErrorKind::NotReady, 429),
    ("ModelTimeoutException", ErrorKind::Timeout, 408),
    ("ModelErrorException", ErrorKind::Model, 424),
    ("ModelStreamErrorException", ErrorKind::Model, 424),
    ("InternalServerException", ErrorKind::Internal, 500),
    ("ServiceUnavailableException", ErrorKind::Unavailable, 503),
    ("ValidationException", ErrorKind::InvalidRequest, 400),
    ("ConflictException", ErrorKind::InvalidRequest, 400),
    ("ServiceQuotaExceededException", ErrorKind::QuotaExceeded, 400),
    ("AccessDeniedException", ErrorKind::AccessDenied, 403),
    ("UnrecognizedClientException", ErrorKind::AccessDenied, 403),
    ("InvalidSignatureException", ErrorKind::AccessDenied, 403),
    ("ExpiredTokenException", ErrorKind::AccessDenied, 403),
    ("MissingAuthenticationTokenException", ErrorKind::AccessDenied, 403),
    ("IncompleteSignatureException", ErrorKind::AccessDenied, 403),
    ("ResourceNotFoundException", ErrorKind::NotFound, 404),
    ("ModelError", ErrorKind::Model, 424),
    ("ModelStreamError", ErrorKind::Model, 424),
    ("ValidationError", ErrorKind::InvalidRequest, 400),
    ("InternalFailure", ErrorKind::Internal, 500),
    ("InternalStreamFailure", ErrorKind::Internal, 500),
    ("ServiceUnavailable", ErrorKind::Unavailable, 503),
    ("RuntimeClientError", ErrorKind::Model, 424),
];

#[derive(Default, Deserialize)]
struct Body {
    #[serde(rename = "__type", default)]
    kind: Option<String>,
    #[serde(default, alias = "Message")]
    message: Option<String>,
}

/// Reads an HTTP error response: the name stands in the `x-amzn-errortype` header, else in the body's `__type`, else
/// the status speaks for itself.
#[must_use]
pub fn decode_error(status: u16, headers: &HeaderMap, body: &[u8]) -> UpstreamError {
    let Body { kind, message } = serde_json::from_slice(body).unwrap_or_default();
    let header = headers.get("x-amzn-errortype").and_then(|value| value.to_str().ok());
    let name = header.map(bare_name).or(kind.as_deref().map(bare_name)).filter(|name| !name.is_empty());
    let known = name.and_then(find);
    let message = message.filter(|text| !text.is_empty()).unwrap_or_else(|| format!("HTTP status {status}"));
    UpstreamError {
        kind: known.map_or_else(|| kind_of(status), |(_, kind, _)| *kind),
        status,
        name: known.map(|(name, ..)| *name).or(name).unwrap_or("UnknownError").to_owned(),
        message,
    }
}

/// Reads an exception inside an event stream; its name comes with a small first letter there.
#[must_use]
pub fn decode_exception(name: &str, payload: &[u8]) -> UpstreamError {
    let Body { kind: _, message } = serde_json::from_slice(payload).unwrap_or_default();
    let known = find(bare_name(name));
    let (name, kind, status) =
        known.map_or((name, ErrorKind::Internal, 500), |(name, kind, status)| (name, *kind, *status));
    UpstreamError { kind, status, name: name.to_owned(), message: message.unwrap_or_default() }
}

/// The transport of an event stream failed.
#[must_use]
pub fn transport_error(code: String, message: String) -> UpstreamError {
    UpstreamError { kind: ErrorKind::Internal, status: 500, name: code, message }
}

/// What is no valid answer.
#[must_use]
pub fn malformed(what: impl Into<String>) -> UpstreamError {
    UpstreamError {
        kind: ErrorKind::Malformed,
        status: 502,
        name: "MalformedResponse".to_owned(),
        message: what.into(),
    }
}

/// Without the namespace before `#` and the address after `:`.
fn bare_name(name: &str) -> &str {
    let name = name.split(':').next().unwrap_or(name);
    name.rsplit('#').next().unwrap_or(name).trim()
}

fn find(name: &str) -> Option<&'static (&'static str, ErrorKind, u16)> {
    KNOWN.iter().find(|(known, ..)| known.eq_ignore_ascii_case(name))
}

fn kind_of(status: u16) -> ErrorKind {
    match status {
        401 | 403 => ErrorKind::AccessDenied,
        404 => ErrorKind::NotFound,
        408 | 504 => ErrorKind::Timeout,
        424 => ErrorKind::Model,
        429 => ErrorKind::Throttled,
        503 => ErrorKind::Unavailable,
        400..=499 => ErrorKind::InvalidRequest,
        _ => ErrorKind::Internal,
    }
}
