//! An error of the dialect in, its kind, status and words out.

use crate::chat::{ErrorKind, UpstreamError};

/// What to make of an error type.
fn error_kind(name: &str) -> ErrorKind {
    match name {
        "invalid_request_error" | "request_too_large" => ErrorKind::InvalidRequest,
        "authentication_error" | "permission_error" | "billing_error" => ErrorKind::AccessDenied,
        "not_found_error" => ErrorKind::NotFound,
        "rate_limit_error" => ErrorKind::Throttled,
        "timeout_error" => ErrorKind::Timeout,
        "overloaded_error" => ErrorKind::Unavailable,
        _ => ErrorKind::Internal,
    }
}

/// An error that came inside a stream.
#[must_use]
pub fn decode_error(name: &str, message: &str) -> UpstreamError {
    let kind = error_kind(name);
    let status = match kind {
        ErrorKind::InvalidRequest => 400,
        ErrorKind::AccessDenied => 403,
        ErrorKind::NotFound => 404,
        ErrorKind::Throttled => 429,
        ErrorKind::Timeout => 504,
        ErrorKind::Unavailable => 529,
        _ => 500,
    };
    UpstreamError { kind, status, name: name.to_owned(), message: message.to_owned() }
}

/// What is no valid answer of the dialect.
pub(super) fn malformed(what: impl Into<String>) -> UpstreamError {
    UpstreamError { kind: ErrorKind::Malformed, status: 502, name: "malformed_answer".to_owned(), message: what.into() }
}
