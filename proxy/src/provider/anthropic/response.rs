//! `decode`: the body of a Messages answer in, the internal form out.

use super::error::malformed;
use crate::chat::{Block, ChatResponse, FinishReason, Json, UpstreamError};
use crate::provider::answer::Answer;
use crate::provider::names::ToolNames;
use crate::surface::anthropic::WireUsage;
use serde::Deserialize;

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    model: Option<String>,
    content: Vec<Content>,
    stop_reason: Option<String>,
    #[serde(default)]
    stop_sequence: Option<String>,
    #[serde(default)]
    usage: Option<WireUsage>,
}

/// One block, with the fields of every kind: arguments keep their text only outside of a tagged form.
#[derive(Deserialize)]
struct Content {
    r#type: String,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    thinking: Option<String>,
    #[serde(default)]
    signature: Option<String>,
    #[serde(default)]
    data: Option<String>,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    input: Option<Json>,
}

impl Content {
    /// The block; none for kinds that no surface can show, of which none comes unasked.
    fn block(self) -> Option<Block> {
        let Self { r#type, text, thinking, signature, data, id, name, input } = self;
        match r#type.as_str() {
            "text" => text.map(Block::Text),
            "thinking" => Some(Block::Reasoning { text: thinking?, signature }),
            "redacted_thinking" => data.map(Block::RedactedReasoning),
            "tool_use" => Some(Block::ToolUse { id: id?, name: name?, input: input? }),
            _ => None,
        }
    }
}

/// Why an answer ended. Reasons yet unknown count as complete.
pub(super) fn finish_reason(stop_reason: Option<&str>) -> FinishReason {
    match stop_reason {
        Some("stop_sequence") => FinishReason::StopSequence,
        Some("max_tokens" | "model_context_window_exceeded") => FinishReason::Length,
        Some("tool_use") => FinishReason::ToolUse,
        Some("refusal") => FinishReason::Refusal,
        _ => FinishReason::Stop,
    }
}

/// Reads a complete answer; `names` are the request's.
pub fn decode(body: &[u8], names: &ToolNames) -> Result<ChatResponse, UpstreamError> {
    let Message { id, model, content, stop_reason, stop_sequence, usage } =
        serde_json::from_slice(body).map_err(|e| malformed(format!("the answer is not a message: {e}")))?;
    let response = ChatResponse {
        id,
        model,
        content: content.into_iter().filter_map(Content::block).collect(),
        finish: finish_reason(stop_reason.as_deref()),
        stop_sequence,
        usage: usage.and_then(WireUsage::said),
    };
    Ok(Answer::new(names.clone()).whole(response))
}
