//! A complete answer in, the bytes of a Messages answer out.

use super::usage::WireUsage;
use crate::chat::{Block, ChatResponse, FinishReason, Json};
use crate::surface::Head;
use bytes::Bytes;
use serde::Serialize;

#[derive(Serialize)]
struct Message<'a> {
    id: &'a str,
    r#type: &'static str,
    role: &'static str,
    model: &'a str,
    content: Vec<Content<'a>>,
    stop_reason: &'static str,
    stop_sequence: Option<&'a str>,
    usage: WireUsage,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Content<'a> {
    Text { text: &'a str },
    Thinking { thinking: &'a str, signature: &'a str },
    RedactedThinking { data: &'a str },
    ToolUse { id: &'a str, name: &'a str, input: &'a Json },
}

/// The dialect's word for why an answer ended.
pub(super) const fn stop_reason(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Stop => "end_turn",
        FinishReason::StopSequence => "stop_sequence",
        FinishReason::Length => "max_tokens",
        FinishReason::ToolUse => "tool_use",
        FinishReason::ContentFilter | FinishReason::Refusal => "refusal",
    }
}

/// The body of a complete answer.
#[must_use]
pub fn render(response: &ChatResponse, head: &Head) -> Bytes {
    let message = Message {
        id: &head.id,
        r#type: "message",
        role: "assistant",
        model: &head.model,
        content: response.content.iter().filter_map(content).collect(),
        stop_reason: stop_reason(response.finish),
        stop_sequence: response.stop_sequence.as_deref(),
        usage: WireUsage::from(&response.usage.unwrap_or_default()),
    };
    Bytes::from(serde_json::to_vec(&message).unwrap_or_default())
}

fn content(block: &Block) -> Option<Content<'_>> {
    Some(match block {
        Block::Text(text) | Block::Refusal(text) => Content::Text { text },
        Block::Reasoning { text, signature } => {
            Content::Thinking { thinking: text, signature: signature.as_deref().unwrap_or_default() }
        }
        Block::RedactedReasoning(data) => Content::RedactedThinking { data },
        Block::ToolUse { id, name, input } => Content::ToolUse { id, name, input },
        // No model answers with these: they belong to requests.
        Block::Image(_) | Block::Document(_) | Block::Audio(_) | Block::ToolResult { .. } | Block::CachePoint(_) => {
            return None;
        }
    })
}
