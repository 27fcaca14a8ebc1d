//! Errors in, the dialect's error object out: as a body, and as the last event of a stream.

use crate::error::{ApiError, Code};
use bytes::Bytes;
use serde::Serialize;

#[derive(Serialize)]
struct Envelope<'a> {
    r#type: &'static str,
    error: Shape<'a>,
}

/// The dialect has only a type and a message; code and field are ours, beside them.
#[derive(Serialize)]
struct Shape<'a> {
    r#type: &'static str,
    message: &'a str,
    code: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    param: Option<&'a str>,
}

/// The body of an error response.
#[must_use]
pub fn render_error(error: &ApiError) -> Bytes {
    Bytes::from(to_json(error))
}

/// The event that ends a stream which cannot be completed. No `message_stop` follows it.
#[must_use]
pub fn render_stream_error(error: &ApiError) -> Bytes {
    let mut event = b"event: error\ndata: ".to_vec();
    event.extend_from_slice(&to_json(error));
    event.extend_from_slice(b"\n\n");
    Bytes::from(event)
}

fn to_json(error: &ApiError) -> Vec<u8> {
    let (param, message) = in_own_words(error);
    let shape = Shape { r#type: kind(error), message: &message, code: error.code.as_str(), param: param.as_deref() };
    // Strings always have a JSON form; the fallback only spares callers an error that cannot occur.
    serde_json::to_vec(&Envelope { r#type: "error", error: shape }).unwrap_or_else(|_| b"{\"type\":\"error\"}".to_vec())
}

/// Providers name the fields of the internal form; this dialect calls some of them otherwise.
fn in_own_words(error: &ApiError) -> (Option<String>, String) {
    const NAMES: [(&str, &str); 4] = [
        ("reasoning_effort", "thinking"),
        ("response_format", "output_config.format"),
        ("parallel_tool_calls", "tool_choice.disable_parallel_tool_use"),
        ("stop", "stop_sequences"),
    ];
    let Some(param) = error.param.as_deref() else { return (None, error.message.clone()) };
    let Some((theirs, ours)) = NAMES.iter().find(|(theirs, _)| *theirs == param) else {
        return (Some(param.to_owned()), error.message.clone());
    };
    let message = error.message.strip_prefix(theirs).map(|rest| format!("{ours}{rest}"));
    (Some((*ours).to_owned()), message.unwrap_or_else(|| error.message.clone()))
}

/// The word by which Anthropic's own clients group errors.
fn kind(error: &ApiError) -> &'static str {
    match error.code {
        Code::InvalidRequest if error.status.as_u16() == 404 => "not_found_error",
        Code::InvalidRequest if error.status.as_u16() == 413 => "request_too_large",
        Code::InvalidRequest | Code::UnsupportedField => "invalid_request_error",
        Code::InvalidApiKey => "authentication_error",
        Code::PriceUnknown => "permission_error",
        Code::ModelNotFound => "not_found_error",
        Code::PayloadTooLarge => "request_too_large",
        Code::BudgetExceeded | Code::RateLimited => "rate_limit_error",
        Code::BudgetUnavailable | Code::NotReady => "overloaded_error",
        Code::UpstreamUnavailable => match error.status.as_u16() {
            401 => "authentication_error",
            403 => "permission_error",
            503 | 529 => "overloaded_error",
            _ => "api_error",
        },
        // What another dialect's own codes come to here.
        #[allow(unreachable_patterns, reason = "a code that is added for one surface still has a word on this one")]
        _ => "api_error",
    }
}
