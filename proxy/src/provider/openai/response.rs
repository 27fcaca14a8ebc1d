//! `decode`: the body of a chat completion in, the internal form out.

use super::malformed;
use crate::chat::{Block, ChatResponse, FinishReason, Json, UpstreamError};
use crate::provider::names::ToolNames;
use crate::surface::openai::usage_of;
use serde::Deserialize;

#[derive(Deserialize)]
struct Completion {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    model: Option<String>,
    choices: Vec<Choice>,
}

#[derive(Deserialize)]
struct Choice {
    message: Message,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    content: Option<String>,
    #[serde(default)]
    refusal: Option<String>,
    #[serde(default, alias = "reasoning")]
    reasoning_content: Option<String>,
    #[serde(default)]
    tool_calls: Option<Vec<ToolCall>>,
}

#[derive(Deserialize)]
struct ToolCall {
    #[serde(default)]
    id: Option<String>,
    function: Function,
}

#[derive(Deserialize)]
struct Function {
    name: String,
    #[serde(default)]
    arguments: Option<String>,
}

/// Why an answer ended. Some servers say `stop` although the model called: then the calls speak.
pub(super) fn finish_reason(said: Option<&str>, calls: bool, refused: bool) -> FinishReason {
    match said {
        Some("length") => FinishReason::Length,
        Some("content_filter") => FinishReason::ContentFilter,
        Some("tool_calls" | "function_call") => FinishReason::ToolUse,
        _ if calls => FinishReason::ToolUse,
        _ if refused => FinishReason::Refusal,
        _ => FinishReason::Stop,
    }
}

/// Reads a complete answer; `names` are the request's.
pub fn decode(body: &[u8], names: &ToolNames) -> Result<ChatResponse, UpstreamError> {
    let Completion { id, model, choices } =
        serde_json::from_slice(body).map_err(|e| malformed(format!("the answer is not a chat completion: {e}")))?;
    let Choice { message, finish_reason: reason } =
        choices.into_iter().next().ok_or_else(|| malformed("the answer has no choices"))?;
    let Message { content, refusal, reasoning_content, tool_calls } = message;
    let mut blocks = Vec::new();
    let full = |text: &String| !text.is_empty();
    blocks.extend(reasoning_content.filter(full).map(|text| Block::Reasoning { text, signature: None }));
    blocks.extend(content.filter(full).map(Block::Text));
    let refusal = refusal.filter(full);
    let refused = refusal.is_some();
    blocks.extend(refusal.map(Block::Refusal));
    let mut calls = false;
    for (i, ToolCall { id, function }) in tool_calls.unwrap_or_default().into_iter().enumerate() {
        calls = true;
        let Function { name, arguments } = function;
        let input = arguments_of(&name, arguments.as_deref().unwrap_or_default())?;
        let id = id.filter(full).unwrap_or_else(|| format!("call_{i}"));
        blocks.push(Block::ToolUse { id, name: names.client(&name), input });
    }
    Ok(ChatResponse {
        id,
        model,
        content: blocks,
        finish: finish_reason(reason.as_deref(), calls, refused),
        stop_sequence: None,
        usage: usage_of(body),
    })
}

/// Arguments as an object; an empty text is a call without any.
fn arguments_of(name: &str, text: &str) -> Result<Json, UpstreamError> {
    if text.trim().is_empty() {
        return Ok(Json::empty_object());
    }
    let json = Json::parse(text).ok().filter(Json::is_object);
    json.ok_or_else(|| malformed(format!("the model called {name:?} with arguments that are no JSON object")))
}
