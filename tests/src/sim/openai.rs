//! An OpenAI-compatible server's wire, as Ollama and vLLM speak it: a request under `/v1/` in, a chat completion or its events out.

mod read;
mod render;

pub(super) use read::{Asked, read};

use super::book::{Charge, Flight};
use super::generate::{Generation, generate};
use super::reply::Reply;
use super::script::{Exception, Fault};
use super::serve::{self, Answer, Body, Cut, whole};
use super::server::State;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Method, Response, header};
use serde_json::{Value, json};
use std::sync::Arc;

/// What a server of this kind answers, wherever it runs.
pub(super) fn answer(id: u64, model: &str, asked: &Asked, made: &Generation, reply: &Reply) -> Answer {
    let cache_read = reply.cache_read.min(asked.prompt.tokens);
    render::answer(&render::Said { id, model, asked, made, reply, cache_read })
}

/// An error answer in OpenAI's shape.
fn error(status: u16, kind: &str, code: &str, message: &str) -> Response<Body> {
    whole(status, "application/json", error_body(kind, code, message).to_string())
}

fn error_body(kind: &str, code: &str, message: &str) -> Value {
    json!({ "error": { "message": message, "type": kind, "param": null, "code": code } })
}

/// What a scripted exception is called here: its HTTP status stays.
fn scripted(name: Exception) -> (u16, &'static str, &'static str, &'static str) {
    let (_, status, message) = name.wire();
    let (kind, code) = match status {
        403 => ("permission_error", "permission_denied"),
        404 => ("invalid_request_error", "model_not_found"),
        429 => ("rate_limit_error", "rate_limit_exceeded"),
        400 => ("invalid_request_error", "invalid_request"),
        _ => ("server_error", "server_error"),
    };
    (status, kind, code, message)
}

fn refuse(flight: Flight, status: u16, kind: &str, code: &str, message: &str) -> Response<Body> {
    serve::refuse(flight, code, error(status, kind, code, message))
}

pub(super) async fn handle(
    state: &Arc<State>,
    mut flight: Flight,
    parts: &Parts,
    body: &[u8],
) -> Result<Response<Body>, Cut> {
    let keys = &state.config.api_keys;
    let bearer = parts.headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok()?.strip_prefix("Bearer "));
    if !keys.is_empty() && !bearer.is_some_and(|key| keys.iter().any(|k| k == key)) {
        return Ok(refuse(flight, 401, "invalid_request_error", "invalid_api_key", "Incorrect API key provided."));
    }
    flight.note(|seen| seen.client = bearer.map(|_| "bearer".to_owned()));
    let path = parts.uri.path().trim_end_matches('/');
    match (&parts.method, path.rsplit_once("/chat/")) {
        (&Method::POST, Some((_, "completions"))) if !is_json(parts) => {
            let message = "Unsupported Media Type: Only 'application/json' is allowed";
            Ok(refuse(flight, 415, "invalid_request_error", "unsupported_media_type", message))
        }
        (&Method::POST, Some((_, "completions"))) => complete(state, flight, body).await,
        (&Method::GET, _) if path.ends_with("/models") => {
            let data: Vec<Value> = state
                .config
                .models
                .keys()
                .map(|id| json!({ "id": id, "object": "model", "created": 0, "owned_by": "sim" }))
                .collect();
            flight.note(|seen| seen.status = 200);
            flight.end(super::book::Outcome::Complete);
            Ok(whole(200, "application/json", json!({ "object": "list", "data": data }).to_string()))
        }
        _ => Ok(refuse(flight, 404, "invalid_request_error", "unknown_url", "Not Found")),
    }
}

fn is_json(parts: &Parts) -> bool {
    let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.split(';').next().is_some_and(|kind| kind.trim() == "application/json")
}

async fn complete(state: &Arc<State>, mut flight: Flight, body: &[u8]) -> Result<Response<Body>, Cut> {
    let bad = |flight, message: &str| refuse(flight, 400, "invalid_request_error", "invalid_request", message);
    let Ok(request) = serde_json::from_slice::<Value>(body) else {
        return Ok(bad(flight, "The request body is not JSON."));
    };
    let asked = request["model"].as_str().unwrap_or_default();
    let Some((id, model)) = state.config.model(asked) else {
        return Ok(refuse(
            flight,
            404,
            "invalid_request_error",
            "model_not_found",
            &format!("The model `{asked}` does not exist."),
        ));
    };
    flight.note(|seen| seen.model = Some(id.to_owned()));
    let asked_for = match read::read(model, &request) {
        Ok(asked_for) => asked_for,
        Err(message) => return Ok(bad(flight, &message)),
    };
    flight.note(|seen| seen.stream = asked_for.stream);
    let decision = state.script().decide(asked, id, asked_for.stream);
    match decision.fault {
        Some(Fault::StreamError { name, .. }) if !asked_for.stream => {
            let (status, kind, code, message) = scripted(name);
            return Ok(refuse(flight, status, kind, code, message));
        }
        Some(Fault::Error { name, retry_after }) => {
            let (status, kind, code, message) = scripted(name);
            let mut response = refuse(flight, status, kind, code, message);
            if let Some(seconds) = retry_after {
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
            }
            return Ok(response);
        }
        Some(Fault::Status { status, body }) => {
            return Ok(serve::refuse(flight, "scripted status", whole(status, "text/html", body)));
        }
        _ => {}
    }
    let reply = decision.reply.as_ref().unwrap_or(&state.config.reply);
    let made = generate(model, &asked_for.prompt, reply);
    let cache_read = reply.cache_read.min(asked_for.prompt.tokens);
    flight.charge(Charge {
        model: id.to_owned(),
        price: model.price,
        input: asked_for.prompt.tokens - cache_read,
        cache_read,
        cache_write: 0,
    });
    let mut answer = answer(flight.id(), asked, &asked_for, &made, reply);
    if let Some(Fault::StreamError { name, .. }) = decision.fault {
        let (_, kind, code, message) = scripted(name);
        answer.error_event = Some(Bytes::from(format!(
            "data: {}

",
            error_body(kind, code, message)
        )));
    }
    serve::send(state, flight, answer, decision.pace.unwrap_or_default(), decision.fault).await
}
