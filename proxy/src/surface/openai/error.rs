//! Errors in, the dialect's error object out: as a body, and as the last event of a stream.

use crate::error::{ApiError, Code};
use bytes::Bytes;
use serde::Serialize;

#[derive(Serialize)]
struct Envelope<'a> {
    error: Shape<'a>,
}

#[derive(Serialize)]
struct Shape<'a> {
    message: &'a str,
    r#type: &'static str,
    param: Option<&'a str>,
    code: &'a str,
}

/// The body of an error response.
#[must_use]
pub fn render_error(error: &ApiError) -> Bytes {
    Bytes::from(to_json(error))
}

/// The event that ends a stream which cannot be completed. No done marker follows it.
#[must_use]
pub fn render_stream_error(error: &ApiError) -> Bytes {
    let mut event = b"data: ".to_vec();
    event.extend_from_slice(&to_json(error));
    event.extend_from_slice(b"\n\n");
    Bytes::from(event)
}

fn to_json(error: &ApiError) -> Vec<u8> {
    let code = error.upstream_code.as_deref().unwrap_or(error.code.as_str());
    let shape = Shape { message: &error.message, r#type: kind(error.code), param: error.param.as_deref(), code };
    // Strings always have a JSON form; the fallback only spares callers an error that cannot occur.
    serde_json::to_vec(&Envelope { error: shape }).unwrap_or_else(|_| b"{\"error\":{}}".to_vec())
}

/// The word by which OpenAI's own clients group errors.
const fn kind(code: Code) -> &'static str {
    match code {
        Code::InvalidRequest
        | Code::UnsupportedField
        | Code::PayloadTooLarge
        | Code::ModelNotFound
        | Code::InvalidApiKey
        | Code::PriceUnknown => "invalid_request_error",
        Code::BudgetExceeded => "insufficient_quota",
        Code::RateLimited => "rate_limit_exceeded",
        Code::BudgetUnavailable | Code::UpstreamUnavailable | Code::NotReady => "server_error",
    }
}
