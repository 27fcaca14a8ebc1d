//! Agents on Bedrock AgentCore: a chat in, the payload of one invocation out; whatever the agent answers, JSON or events, in, text out.
//!
//! # Why it is read so leniently
//! An agent's payload and answer are its author's own. What AWS's tools and guides write is understood: `{"prompt"}` in; a text, or an
//! object with `result`, `response`, `output`, `message`, `text` or `content`, out; in a stream also `data` and Converse's own events.

use super::signed::{Format, Reading, Signed};
use super::{Call, Prepared, shape};
use crate::attempt::{Job, Skip};
use crate::chat::{ChatResponse, ErrorKind, FinishReason, Size, UpstreamError, Usage};
use crate::error::ApiError;
use crate::provider::bedrock::segment;
use crate::provider::prompt::{Turn, Turns};
use crate::provider::text::{self, Piece};
use crate::surface::Form;
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tollway_core::table::AgentCore;

const SESSION: HeaderName = HeaderName::from_static("x-amzn-bedrock-agentcore-runtime-session-id");
const CONVERSATION: &str = "x-tollway-conversation";

/// Builds the attempt.
///
/// # Errors
/// Why this target is passed over.
pub fn prepare(job: &Job<'_>, target: &AgentCore, output: u32) -> Result<Prepared, Skip> {
    if matches!(job.peek.form, Form::Embeddings(_)) {
        let message = "this target is an agent: it has no embeddings";
        return Err(Skip::Inexpressible(ApiError::unsupported("input", message)));
    }
    let request = job.parsed().map_err(Skip::Inexpressible)?;
    let turns = Turns::of(request).map_err(Skip::Inexpressible)?;
    let body = Bytes::from(payload(&turns, request, output).to_string());
    let messages = u32::try_from(turns.turns.len() + 1).unwrap_or(u32::MAX);
    let size = Size { text_bytes: body.len() as u64, messages, ..Size::default() };
    let path = format!("/runtimes/{}/invocations?qualifier=DEFAULT", segment(&target.runtime_arn));
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
    headers.insert(SESSION, session(job));
    let reading = Reading { format: Format::Agent, framed: false };
    Ok(Prepared { shape: shape(&size), call: Call::Signed(Box::new(Signed { path, headers, body, reading })) })
}

/// The last message as `prompt`; the whole conversation where there is more, and the parameters that the client set.
#[must_use]
pub fn payload(turns: &Turns, request: &crate::chat::ChatRequest, output: u32) -> Value {
    let asked = turns.turns.iter().rev().find(|turn| turn.is_user).map_or("", |turn| turn.text.as_str());
    let mut payload = json!({ "prompt": asked });
    if !turns.system.is_empty() {
        payload["system"] = json!(turns.system);
    }
    if turns.turns.len() > 1 {
        let role = |is_user: bool| if is_user { "user" } else { "assistant" };
        let said = |Turn { is_user, text }: &Turn| json!({ "role": role(*is_user), "content": text });
        payload["messages"] = turns.turns.iter().map(said).collect();
    }
    let sampling = &request.sampling;
    if request.max_tokens.is_some() {
        payload["max_tokens"] = json!(output);
    }
    for (name, value) in [
        ("temperature", sampling.temperature.map(Value::from)),
        ("top_p", sampling.top_p.map(Value::from)),
        ("top_k", sampling.top_k.map(Value::from)),
        ("frequency_penalty", sampling.frequency_penalty.map(Value::from)),
        ("presence_penalty", sampling.presence_penalty.map(Value::from)),
        ("stop", (!request.stop.is_empty()).then(|| json!(request.stop))),
    ] {
        if let Some(value) = value {
            payload[name] = value;
        }
    }
    payload
}

/// The same conversation of the same user is one session; without a conversation, each request is its own.
fn session(job: &Job<'_>) -> HeaderValue {
    let named = job.headers.get(CONVERSATION).filter(|name| !name.is_empty());
    let mut hash = Sha256::new();
    match named {
        Some(name) => {
            hash.update(job.peek.user.as_deref().unwrap_or_default());
            hash.update([0]);
            hash.update(name.as_bytes());
        }
        None => hash.update(job.id),
    }
    HeaderValue::from_str(&hex::encode(hash.finalize())).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// Reads a complete answer: JSON, events, or else the text that it is.
///
/// # Errors
/// The agent says that it failed, or says nothing.
pub fn decode(body: &[u8], is_events: bool) -> Result<ChatResponse, UpstreamError> {
    if is_events {
        let mut whole = String::new();
        let mut usage = None;
        let mut reader = crate::surface::anthropic::SseReader::default();
        reader.push(body);
        let mut state = AgentStream::default();
        while let Some(event) = reader.next_event().map_err(failed)?.or_else(|| reader.take_rest()) {
            let piece = state.event(&event.data)?;
            whole.push_str(&piece.text);
            usage = piece.usage.or(usage);
        }
        return Ok(text::whole(whole, FinishReason::Stop, usage));
    }
    let said = String::from_utf8_lossy(body);
    let value = serde_json::from_str::<Value>(&said).unwrap_or_else(|_| Value::String(said.trim().to_owned()));
    if let Some(error) = error_of(&value) {
        return Err(error);
    }
    let text = text_of(&value).unwrap_or_else(|| value.to_string());
    Ok(text::whole(text, FinishReason::Stop, usage_of(&value)))
}

/// Reads the events of one stream; the first form that text comes in is the one that is read, since some agents say it in two.
#[derive(Clone, Copy, Debug, Default)]
pub struct AgentStream {
    form: Option<TextForm>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TextForm {
    Plain,
    Data,
    Converse,
    Object,
}

impl AgentStream {
    /// One event.
    ///
    /// # Errors
    /// The agent says that it failed.
    pub fn event(&mut self, data: &str) -> Result<Piece, UpstreamError> {
        let value = serde_json::from_str::<Value>(data).unwrap_or_else(|_| Value::String(data.to_owned()));
        if let Some(error) = error_of(&value) {
            return Err(error);
        }
        let delta = &value["event"]["contentBlockDelta"]["delta"]["text"];
        let (form, text) = match &value {
            Value::String(text) => (TextForm::Plain, Some(text.clone())),
            _ if delta.is_string() => (TextForm::Converse, delta.as_str().map(str::to_owned)),
            _ if value["data"].is_string() => (TextForm::Data, value["data"].as_str().map(str::to_owned)),
            _ => (TextForm::Object, text_of(&value)),
        };
        let usage = usage_of(&value).or_else(|| usage_of(&value["event"]["metadata"]));
        let text = text.filter(|_| *self.form.get_or_insert(form) == form).unwrap_or_default();
        if text.is_empty() && self.form == Some(form) && form == TextForm::Object {
            // An object without text says nothing of the form.
            self.form = None;
        }
        Ok(Piece { text, finish: None, usage })
    }
}

/// The text of an answer, wherever its author put it.
fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Array(parts) => {
            let texts: Vec<String> = parts.iter().filter_map(text_of).collect();
            (!texts.is_empty()).then(|| texts.concat())
        }
        Value::Object(members) => {
            let names = ["result", "response", "output", "completion", "answer", "message", "content", "text"];
            names.iter().find_map(|name| members.get(*name)).and_then(text_of)
        }
        _ => None,
    }
}

fn error_of(value: &Value) -> Option<UpstreamError> {
    let error = value.get("error").filter(|error| !error.is_null())?;
    let message = error.as_str().or_else(|| error["message"].as_str()).map_or_else(|| error.to_string(), str::to_owned);
    Some(UpstreamError { kind: ErrorKind::Model, status: 424, name: "AgentError".to_owned(), message })
}

fn usage_of(value: &Value) -> Option<Usage> {
    let usage = value.get("usage")?;
    let count = |names: [&str; 3]| names.iter().find_map(|name| usage[*name].as_u64());
    let input = count(["input_tokens", "inputTokens", "prompt_tokens"])?;
    let output = count(["output_tokens", "outputTokens", "completion_tokens"])?;
    Some(Usage { tokens: tollway_core::spend::Usage { input, output, ..Default::default() }, reasoning: 0 })
}

fn failed(what: String) -> UpstreamError {
    UpstreamError { kind: ErrorKind::Malformed, status: 502, name: "malformed_answer".to_owned(), message: what }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::Block;

    #[test]
    fn an_answer_is_read_wherever_its_author_put_it() {
        for (body, said) in [
            (r#""plain""#, "plain"),
            (r#"{"result": "a"}"#, "a"),
            (r#"{"result": {"role": "assistant", "content": [{"text": "a"}, {"text": "b"}]}}"#, "ab"),
            (r#"{"response": "r", "status": "ok"}"#, "r"),
            (r#"{"output": {"message": {"content": [{"text": "deep"}]}}}"#, "deep"),
            ("not JSON", "not JSON"),
            (r#"{"temperature": 21}"#, r#"{"temperature":21}"#),
        ] {
            let answer = decode(body.as_bytes(), false).unwrap();
            assert_eq!(answer.content, [Block::Text(said.to_owned())], "{body}");
        }
        assert_eq!(decode(br#"{"error": "no tools"}"#, false).unwrap_err().message, "no tools");
    }

    #[test]
    fn a_stream_that_says_its_text_in_two_forms_is_read_in_one() {
        let read = |events: &[&str]| {
            let mut stream = AgentStream::default();
            events.iter().map(|event| stream.event(event).unwrap().text).collect::<String>()
        };
        assert_eq!(read(&[r#""Hel""#, r#""lo""#]), "Hello");
        assert_eq!(
            read(&[
                r#"{"init_event_loop": true}"#,
                r#"{"data": "Hi"}"#,
                r#"{"event": {"contentBlockDelta": {"delta": {"text": "Hi"}}}}"#
            ]),
            "Hi"
        );
        assert_eq!(
            read(&[
                r#"{"event": {"contentBlockDelta": {"delta": {"text": "Hi"}}}}"#,
                r#"{"data": "Hi"}"#,
                r#"{"result": "Hi"}"#
            ]),
            "Hi"
        );
        assert_eq!(read(&["plain words"]), "plain words");
    }
}
