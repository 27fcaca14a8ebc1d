//! Servers that speak the client's own dialect: the client's bytes pass through, with nothing changed but what must be.

use super::{Call, Prepared, Step};
use crate::attempt::{Job, Skip};
use crate::chat::{ErrorKind, UpstreamError};
use crate::error::ApiError;
use crate::surface::Form;
use crate::surface::openai::{Meter, Splice, splice};
use http::header::{AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use http::{HeaderValue, Request, Uri};
use http_body::Body as _;
use http_body_util::Full;
use hyper::body::Incoming;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tollway_core::spend::Usage;
use tollway_core::table::{OpenAi, Route};

/// Headers of the client that the upstream gets as they are: those that tie traces together.
const PASSED_ON: [&str; 2] = ["traceparent", "tracestate"];

pub(super) fn prepare(job: &Job<'_>, route: &Route, openai: &OpenAi, output: u32) -> Result<Prepared, Skip> {
    let uri: Uri = format!("{}/chat/completions", openai.base_url).parse().map_err(|_| Skip::NotHere)?;
    // OpenAI's own reasoning models take the bound under no other name.
    let as_completion_tokens =
        uri.host().is_some_and(|host| host == "api.openai.com" || host.ends_with(".openai.azure.com"));
    let change = Splice {
        model: openai.model.as_deref(),
        max_tokens: Some(output),
        as_completion_tokens,
        include_usage: job.peek.stream,
        defaults: Some(&route.defaults),
    };
    let Form::ChatCompletions(spans) = &job.peek.form else {
        let why =
            "requests of this surface have no translation for OpenAI-compatible targets yet; use a Bedrock target";
        return Err(Skip::Inexpressible(ApiError::invalid(why)));
    };
    let body = splice(job.body, job.peek, spans, &change);
    let mut shape = job.shape();
    shape.bytes += (body.len() as u64).saturating_sub(job.body.len() as u64);
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = http::Method::POST;
    *request.uri_mut() = uri;
    let headers = request.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(USER_AGENT, HeaderValue::from_static(concat!("tollway/", env!("CARGO_PKG_VERSION"))));
    for name in PASSED_ON {
        if let Some(value) = job.headers.get(name) {
            headers.insert(name, value.clone());
        }
    }
    if let Some(key) = &openai.api_key {
        let value = job.serving.secrets.get(&key.name, &key.key).ok_or(Skip::NoSecret)?;
        let mut value = HeaderValue::try_from(format!("Bearer {value}")).map_err(|_| Skip::NoSecret)?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    Ok(Prepared { shape, call: Call::Send { request, policy: job.policy(openai.loopback) } })
}

/// A stream that passes through.
#[derive(Debug)]
pub struct Passed {
    body: Incoming,
    meter: Meter,
    ended: bool,
    /// What the client got ends where an event ends.
    between_events: bool,
}

impl Passed {
    /// `strip_usage` when the client did not ask for the usage chunk that we asked for.
    #[must_use]
    pub fn new(body: Incoming, strip_usage: bool) -> Self {
        Self { body, meter: Meter::new(strip_usage), ended: false, between_events: true }
    }

    pub fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        while !self.ended {
            let bytes = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => frame.into_data().map(|data| self.meter.feed(&data)).unwrap_or_default(),
                Some(Err(error)) => return Poll::Ready(Step::Failed(truncated(&error.to_string()))),
                None => {
                    self.ended = true;
                    self.meter.end()
                }
            };
            if let Some(error) = self.meter.error() {
                return Poll::Ready(Step::Failed(error.clone()));
            }
            if !bytes.is_empty() {
                self.between_events = bytes.ends_with(b"\n\n") || bytes.ends_with(b"\r\n\r\n");
                return Poll::Ready(Step::Bytes(bytes));
            }
        }
        // Some servers close a complete answer without the marker.
        let complete = self.meter.is_done() || self.meter.is_finished();
        Poll::Ready(if complete { Step::End } else { Step::Failed(truncated("it ended without a finish reason")) })
    }

    #[must_use]
    pub const fn is_between_events(&self) -> bool {
        self.between_events
    }

    #[must_use]
    pub fn usage(&self) -> Option<Usage> {
        self.meter.usage().map(|usage| usage.tokens)
    }

    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.meter.is_done()
    }
}

fn truncated(why: &str) -> UpstreamError {
    UpstreamError {
        kind: ErrorKind::Truncated,
        status: 502,
        name: "truncated".to_owned(),
        message: format!("the answer broke off: {why}"),
    }
}

/// What an error body of this dialect, or of a server close to it, says.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Said {
    pub message: Option<String>,
    pub code: Option<String>,
    pub param: Option<String>,
}

/// Reads `{"error": {"message", "code", "param"}}`, `{"error": "text"}`, `{"message"}` or `{"detail"}`.
#[must_use]
pub fn read_error(body: &[u8]) -> Said {
    let Ok(value) = serde_json::from_slice::<serde_json::Value>(body) else { return Said::default() };
    let text = |v: &serde_json::Value| v.as_str().map(str::to_owned);
    match value.get("error") {
        Some(error @ serde_json::Value::Object(_)) => Said {
            message: error.get("message").and_then(text),
            code: error.get("code").and_then(text),
            param: error.get("param").and_then(text),
        },
        Some(error) => Said { message: text(error), ..Said::default() },
        None => {
            let message = value.get("message").or_else(|| value.get("detail"));
            Said { message: message.and_then(text), ..Said::default() }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_read_in_the_shapes_that_servers_send() {
        for (body, message, code) in [
            (r#"{"error":{"message":"no","code":"bad","param":"n"}}"#, Some("no"), Some("bad")),
            (r#"{"error":"model not found"}"#, Some("model not found"), None),
            (r#"{"object":"error","message":"no","code":400}"#, Some("no"), None),
            (r#"{"detail":"Not Found"}"#, Some("Not Found"), None),
            (r#"{"error":{"message":null}}"#, None, None),
            ("<html>", None, None),
            ("", None, None),
        ] {
            let said = read_error(body.as_bytes());
            assert_eq!((said.message.as_deref(), said.code.as_deref()), (message, code), "{body}");
        }
    }
}
