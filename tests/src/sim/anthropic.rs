//! Anthropic's Messages wire: a request under `/v1/messages` in, a message, its events or a count out.

use super::book::{Charge, Flight, Outcome};
use super::config::Model;
use super::generate::{Generated, Generation, Kind, Prompt, Stop, generate, tokens};
use super::script::{Exception, Fault};
use super::serve::{self, Answer, Body, Cut, Event, whole};
use super::server::State;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Response, header};
use serde_json::{Value, json};
use std::sync::Arc;

fn error_body(kind: &str, message: &str) -> Value {
    json!({ "type": "error", "error": { "type": kind, "message": message }, "request_id": "req_sim" })
}

fn refuse(flight: Flight, status: u16, kind: &str, message: &str) -> Response<Body> {
    serve::refuse(flight, kind, whole(status, "application/json", error_body(kind, message).to_string()))
}

/// What a scripted exception is called here.
fn scripted(name: Exception) -> (u16, &'static str, &'static str) {
    let (_, status, message) = name.wire();
    let (status, kind) = match status {
        400 => (400, "invalid_request_error"),
        403 => (403, "permission_error"),
        404 => (404, "not_found_error"),
        429 => (429, "rate_limit_error"),
        503 => (529, "overloaded_error"),
        _ => (500, "api_error"),
    };
    (status, kind, message)
}

pub(super) async fn handle(
    state: &Arc<State>,
    mut flight: Flight,
    parts: &Parts,
    body: &[u8],
) -> Result<Response<Body>, Cut> {
    let text = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let keys = &state.config.api_keys;
    let key = text("x-api-key");
    if key.is_none() || !(keys.is_empty() || key.is_some_and(|key| keys.iter().any(|known| known == key))) {
        return Ok(refuse(flight, 401, "authentication_error", "invalid x-api-key"));
    }
    flight.note(|seen| seen.client = Some("x-api-key".to_owned()));
    if text("anthropic-version").is_none() {
        return Ok(refuse(flight, 400, "invalid_request_error", "anthropic-version: header is required"));
    }
    let Ok(request) = serde_json::from_slice::<Value>(body) else {
        return Ok(refuse(flight, 400, "invalid_request_error", "The request body is not valid JSON"));
    };
    let asked = request["model"].as_str().unwrap_or_default();
    let Some((id, model)) = state.config.model(asked) else {
        return Ok(refuse(flight, 404, "not_found_error", &format!("model: {asked}")));
    };
    flight.note(|seen| seen.model = Some(id.to_owned()));
    let counts = parts.uri.path().ends_with("/count_tokens");
    let prompt = match read(model, &request, counts) {
        Ok(prompt) => prompt,
        Err(message) => return Ok(refuse(flight, 400, "invalid_request_error", &message)),
    };
    if counts {
        flight.note(|seen| seen.status = 200);
        flight.end(Outcome::Complete);
        return Ok(whole(200, "application/json", json!({ "input_tokens": prompt.tokens }).to_string()));
    }
    let stream = request["stream"] == true;
    flight.note(|seen| seen.stream = stream);
    let decision = state.script().decide(asked, id, stream);
    match decision.fault {
        Some(Fault::StreamError { name, .. }) if !stream => {
            let (status, kind, message) = scripted(name);
            return Ok(refuse(flight, status, kind, message));
        }
        Some(Fault::Error { name, retry_after }) => {
            let (status, kind, message) = scripted(name);
            let mut response = refuse(flight, status, kind, message);
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
    let made = generate(model, &prompt, reply);
    let cache_read = reply.cache_read.min(prompt.tokens);
    let cache_write = reply.cache_write.min(prompt.tokens - cache_read);
    let input = prompt.tokens - cache_read - cache_write;
    flight.charge(Charge { model: id.to_owned(), price: model.price, input, cache_read, cache_write });
    let said = Said { id: flight.id(), model: asked, made: &made, counts: [input, cache_read, cache_write] };
    let error_event = match decision.fault {
        Some(Fault::StreamError { name, .. }) => {
            let (_, kind, message) = scripted(name);
            Some(sse("error", &error_body(kind, message)))
        }
        _ => None,
    };
    let plain = (!stream).then(|| Bytes::from(said.message(true).to_string()));
    let content_type = if stream { "text/event-stream; charset=utf-8" } else { "application/json" };
    let answer = Answer { content_type, headers: Vec::new(), events: said.events(stream), plain, error_event };
    serve::send(state, flight, answer, decision.pace.unwrap_or_default(), decision.fault).await
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// Every text of a content, and how many attachments it has.
fn texts(content: &Value) -> (Vec<&str>, u64) {
    if let Some(text) = content.as_str() {
        return (vec![text], 0);
    }
    let (mut found, mut attachments) = (Vec::new(), 0);
    for block in list(content) {
        match block["type"].as_str().unwrap_or_default() {
            "image" | "document" => attachments += 1,
            "tool_result" => {
                let (inner, more) = texts(&block["content"]);
                found.extend(inner);
                attachments += more;
            }
            _ => found.extend(["text", "thinking", "name"].iter().filter_map(|name| block[*name].as_str())),
        }
    }
    (found, attachments)
}

/// Holds a request to the rules that clients and translations get wrong.
fn read(model: &Model, request: &Value, counts: bool) -> Result<Prompt, String> {
    let messages = list(&request["messages"]);
    if messages.is_empty() {
        return Err("messages: at least one message is required".to_owned());
    }
    let max_tokens = request["max_tokens"].as_u64().filter(|most| *most > 0);
    if max_tokens.is_none() && !counts {
        return Err("max_tokens: Field required".to_owned());
    }
    let mut waiting: Vec<&str> = Vec::new();
    for (i, message) in messages.iter().enumerate() {
        let role = message["role"].as_str().unwrap_or_default();
        if !["user", "assistant"].contains(&role) {
            return Err(format!("messages.{i}.role: Input should be 'user' or 'assistant'"));
        }
        let blocks = list(&message["content"]);
        if message["content"].as_str().is_none_or(str::is_empty) && blocks.is_empty() {
            return Err(format!("messages.{i}: all messages must have non-empty content"));
        }
        if blocks
            .iter()
            .any(|block| block["type"] == "text" && block["text"].as_str().is_none_or(|t| t.trim().is_empty()))
        {
            return Err(format!("messages.{i}: text content blocks must contain non-whitespace text"));
        }
        let results: Vec<&str> = blocks.iter().filter_map(|block| block["tool_use_id"].as_str()).collect();
        if role == "user"
            && (waiting.iter().any(|id| !results.contains(id)) || results.iter().any(|id| !waiting.contains(id)))
        {
            return Err(format!("messages.{i}: `tool_use` and `tool_result` blocks do not match"));
        }
        let calls = blocks.iter().filter(|block| block["type"] == "tool_use");
        waiting = calls.filter_map(|block| block["id"].as_str()).collect();
    }
    let calls = messages.iter().flat_map(|message| list(&message["content"])).any(|block| block["type"] == "tool_use");
    if calls && list(&request["tools"]).is_empty() {
        return Err("tools: requests which include `tool_use` or `tool_result` blocks must define tools".to_owned());
    }
    let size = |content: &Value| {
        let (texts, attachments) = texts(content);
        texts.iter().map(|text| tokens(model, text)).sum::<u64>() + attachments * model.per_attachment
    };
    let read = size(&request["system"])
        + messages.iter().map(|message| model.per_message + size(&message["content"])).sum::<u64>()
        + list(&request["tools"]).iter().map(|tool| tokens(model, &tool.to_string())).sum::<u64>();
    let last = messages.iter().rev().find(|message| message["role"] == "user");
    Ok(Prompt {
        tokens: read,
        last_user_text: last.map(|message| texts(&message["content"]).0.join("\n")).unwrap_or_default(),
        max_tokens,
        stop: list(&request["stop_sequences"]).iter().filter_map(|s| Some(s.as_str()?.to_owned())).collect(),
    })
}

fn stop_reason(stop: &Stop) -> &str {
    match stop {
        Stop::EndTurn => "end_turn",
        Stop::MaxTokens => "max_tokens",
        Stop::Sequence => "stop_sequence",
        Stop::ToolUse => "tool_use",
        Stop::Other(reason) => reason,
    }
}

fn sse(name: &str, event: &Value) -> Bytes {
    Bytes::from(format!("event: {name}\ndata: {event}\n\n"))
}

/// Everything an answer is made of; the counts are plain, read and written input.
struct Said<'a> {
    id: u64,
    model: &'a str,
    made: &'a Generation,
    counts: [u64; 3],
}

impl Said<'_> {
    fn usage(&self, output: u64) -> Value {
        let [input, read, written] = self.counts;
        json!({
            "input_tokens": input, "cache_read_input_tokens": read, "cache_creation_input_tokens": written,
            "output_tokens": output,
        })
    }

    fn message(&self, whole: bool) -> Value {
        let content: Vec<Value> = self.made.blocks.iter().filter(|_| whole).filter_map(block).collect();
        let stop = if whole { json!(stop_reason(&self.made.stop)) } else { Value::Null };
        json!({
            "id": format!("msg_{}", self.id), "type": "message", "role": "assistant", "model": self.model,
            "content": content, "stop_reason": stop, "stop_sequence": null,
            "usage": self.usage(if whole { self.made.tokens } else { 1 }),
        })
    }

    /// Every event in order; for a plain answer, which sends none of them, only those that pace its tokens.
    fn events(&self, stream: bool) -> Vec<Event> {
        let mut events = Vec::new();
        let mut tokens = 0;
        let mut add = |name: &str, mut event: Value, now: Option<u64>| {
            tokens = now.unwrap_or(tokens);
            event["type"] = json!(name);
            let bytes = if stream { sse(name, &event) } else { Bytes::new() };
            events.push(Event { bytes, tokens, content: now.is_some() });
        };
        add("message_start", json!({ "message": self.message(false) }), None);
        add("ping", json!({}), None);
        for (index, block) in self.made.blocks.iter().enumerate() {
            let start = match &block.kind {
                Kind::Text => json!({ "type": "text", "text": "" }),
                Kind::Reasoning { .. } => json!({ "type": "thinking", "thinking": "", "signature": "" }),
                Kind::ToolUse { id, name } => json!({ "type": "tool_use", "id": id, "name": name, "input": {} }),
            };
            add("content_block_start", json!({ "index": index, "content_block": start }), None);
            for (piece, now) in &block.pieces {
                let delta = match &block.kind {
                    Kind::Text => json!({ "type": "text_delta", "text": piece }),
                    Kind::Reasoning { .. } => json!({ "type": "thinking_delta", "thinking": piece }),
                    Kind::ToolUse { .. } => json!({ "type": "input_json_delta", "partial_json": piece }),
                };
                add("content_block_delta", json!({ "index": index, "delta": delta }), Some(*now));
            }
            if let Kind::Reasoning { signature: Some(signature) } = &block.kind {
                let delta = json!({ "type": "signature_delta", "signature": signature });
                add("content_block_delta", json!({ "index": index, "delta": delta }), None);
            }
            add("content_block_stop", json!({ "index": index }), None);
        }
        let ended = json!({ "stop_reason": stop_reason(&self.made.stop), "stop_sequence": null });
        let usage = json!({ "output_tokens": self.made.tokens });
        add("message_delta", json!({ "delta": ended, "usage": usage }), Some(self.made.tokens));
        add("message_stop", json!({}), None);
        events
    }
}

fn block(block: &Generated) -> Option<Value> {
    Some(match &block.kind {
        Kind::Text => json!({ "type": "text", "text": block.text() }),
        Kind::Reasoning { signature } => {
            json!({ "type": "thinking", "thinking": block.text(), "signature": signature.as_deref().unwrap_or_default() })
        }
        // Arguments that the limit cut are no document any more.
        Kind::ToolUse { id, name } => {
            let input: Value = serde_json::from_str(&block.text()).ok()?;
            json!({ "type": "tool_use", "id": id, "name": name, "input": input })
        }
    })
}
