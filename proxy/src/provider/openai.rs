//! Servers that speak OpenAI chat completions: a client's bytes of that dialect pass through, with nothing changed but what must be;
//! any other client's request is translated, and the answers back.
//!
//! # What a translated request leaves behind
//! Thoughts of earlier turns and cache points: they belong to another provider and never change what an answer may say.

mod message;
mod request;
mod response;
mod stream;

pub use request::{CompletionRequest, Habits, build};
pub use response::decode;
pub use stream::Decoder;

use super::{Call, Prepared, Reading};
use crate::attempt::{Job, Skip};
use crate::chat::{ErrorKind, UpstreamError};
use crate::surface::Form;
use crate::surface::embeddings::rename;
use crate::surface::openai::{Splice, splice};
use http::header::{AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use http::{HeaderValue, Request, Uri};
use http_body_util::Full;
use tollway_core::spend::Shape;
use tollway_core::table::{OpenAi, Route};

pub(super) fn prepare(job: &Job<'_>, route: &Route, openai: &OpenAi, output: u32) -> Result<Prepared, Skip> {
    let embeds = matches!(job.peek.form, Form::Embeddings(_));
    let path = if embeds { "embeddings" } else { "chat/completions" };
    let uri: Uri = format!("{}/{path}", openai.base_url).parse().map_err(|_| Skip::NotHere)?;
    // OpenAI's own reasoning models take the bound under no other name.
    let strict = uri.host().is_some_and(|host| host == "api.openai.com" || host.ends_with(".openai.azure.com"));
    let (body, shape, reading) = if let Form::ChatCompletions(spans) = &job.peek.form {
        let change = Splice {
            model: openai.model.as_deref(),
            max_tokens: Some(output),
            as_completion_tokens: strict,
            include_usage: job.peek.stream,
            defaults: Some(&route.defaults),
        };
        let body = splice(job.body, job.peek, spans, &change);
        let mut shape = job.shape();
        shape.bytes += (body.len() as u64).saturating_sub(job.body.len() as u64);
        (body, shape, Reading::CompletionsPassed)
    } else if let Form::Embeddings(request) = &job.peek.form {
        let body = openai.model.as_ref().map_or_else(|| job.body.clone(), |model| rename(job.body, model));
        let shape = Shape { bytes: body.len() as u64, texts: request.texts.len() as u64, ..Shape::default() };
        (body, shape, Reading::EmbeddingsPassed)
    } else {
        let request = job.parsed().map_err(Skip::Inexpressible)?;
        let model = openai.model.as_deref().unwrap_or(&job.peek.model);
        let built = build(request, model, Habits { strict }, &route.defaults, output).map_err(Skip::Inexpressible)?;
        let CompletionRequest { body, size, names } = built;
        (body, super::shape(&size), Reading::Completions(names))
    };
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = http::Method::POST;
    *request.uri_mut() = uri;
    let headers = request.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(USER_AGENT, HeaderValue::from_static(concat!("tollway/", env!("CARGO_PKG_VERSION"))));
    if let Some(key) = &openai.api_key {
        let value = job.serving.secrets.get(&key.name, &key.key).ok_or(Skip::NoSecret)?;
        let mut value = HeaderValue::try_from(format!("Bearer {value}")).map_err(|_| Skip::NoSecret)?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    Ok(Prepared {
        shape,
        call: Call::Send { request: Box::new(request), policy: job.policy(openai.loopback), reading },
    })
}

/// What is no valid answer of the dialect.
fn malformed(what: impl Into<String>) -> UpstreamError {
    UpstreamError { kind: ErrorKind::Malformed, status: 502, name: "malformed_answer".to_owned(), message: what.into() }
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
