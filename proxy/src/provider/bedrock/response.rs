//! `decode`: the body of a Converse answer in, the internal form out.

use super::error::malformed;
use crate::chat::{Block, ChatResponse, FinishReason, Json, UpstreamError, Usage};
use crate::provider::names::ToolNames;
use serde::Deserialize;
use tollway_core::spend;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    output: Output,
    stop_reason: String,
    #[serde(default)]
    usage: Option<WireUsage>,
}

#[derive(Deserialize)]
struct Output {
    message: Message,
}

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    content: Vec<WireBlock>,
}

/// One content block. Kinds that no surface can show are read as a block without any of these.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireBlock {
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    tool_use: Option<ToolUse>,
    #[serde(default)]
    reasoning_content: Option<ReasoningContent>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ToolUse {
    tool_use_id: String,
    name: String,
    input: Json,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReasoningContent {
    #[serde(default)]
    reasoning_text: Option<ReasoningText>,
    #[serde(default)]
    redacted_content: Option<String>,
}

#[derive(Deserialize)]
struct ReasoningText {
    text: String,
    #[serde(default)]
    signature: Option<String>,
}

/// Usage as Converse says it: input without what was cached, and how long what was written stays.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WireUsage {
    input_tokens: u64,
    output_tokens: u64,
    #[serde(default)]
    cache_read_input_tokens: Option<u64>,
    #[serde(default)]
    cache_write_input_tokens: Option<u64>,
    #[serde(default)]
    cache_details: Option<Vec<CacheDetail>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CacheDetail {
    ttl: String,
    input_tokens: u64,
}

impl From<WireUsage> for Usage {
    fn from(wire: WireUsage) -> Self {
        let written = wire.cache_write_input_tokens.unwrap_or(0);
        let for_an_hour = wire.cache_details.unwrap_or_default().into_iter().filter(|detail| detail.ttl == "1h");
        let cache_write_1h = for_an_hour.map(|detail| detail.input_tokens).fold(0, u64::saturating_add);
        Self {
            tokens: spend::Usage {
                input: wire.input_tokens,
                output: wire.output_tokens,
                cache_read: wire.cache_read_input_tokens.unwrap_or(0),
                cache_write: written.saturating_sub(cache_write_1h),
                cache_write_1h,
            },
            reasoning: 0,
        }
    }
}

/// Why an answer ended; an error when the model's output was no answer. Reasons yet unknown count as complete.
pub(super) fn finish_reason(stop_reason: &str) -> Result<FinishReason, UpstreamError> {
    Ok(match stop_reason {
        "stop_sequence" => FinishReason::StopSequence,
        "max_tokens" | "model_context_window_exceeded" => FinishReason::Length,
        "tool_use" => FinishReason::ToolUse,
        "content_filtered" | "guardrail_intervened" => FinishReason::ContentFilter,
        "malformed_model_output" | "malformed_tool_use" => {
            return Err(malformed(format!("the model stopped with {stop_reason}")));
        }
        _ => FinishReason::Stop,
    })
}

/// Reads a complete answer; `names` are the request's.
pub fn decode(body: &[u8], names: &ToolNames) -> Result<ChatResponse, UpstreamError> {
    let Answer { output, stop_reason, usage } =
        serde_json::from_slice(body).map_err(|e| malformed(format!("the answer is not Converse's: {e}")))?;
    let mut content = Vec::with_capacity(output.message.content.len());
    let (mut answer, mut calls) = (None, false);
    for WireBlock { text, tool_use, reasoning_content } in output.message.content {
        content.extend(text.map(Block::Text));
        if let Some(ReasoningContent { reasoning_text, redacted_content }) = reasoning_content {
            content
                .extend(reasoning_text.map(|ReasoningText { text, signature }| Block::Reasoning { text, signature }));
            content.extend(redacted_content.map(Block::RedactedReasoning));
        }
        match tool_use {
            Some(ToolUse { name, input, .. }) if names.is_answer(&name) => {
                answer.get_or_insert(input);
            }
            Some(ToolUse { tool_use_id, name, input }) => {
                calls = true;
                content.push(Block::ToolUse { id: tool_use_id, name: names.client(&name), input });
            }
            None => {}
        }
    }
    let mut finish = finish_reason(&stop_reason)?;
    if let Some(answer) = answer {
        // What the model said around its answer is not part of the JSON that the client wants.
        content.retain(|block| !matches!(block, Block::Text(_)));
        content.push(Block::Text(answer.get().to_owned()));
        if finish == FinishReason::ToolUse && !calls {
            finish = FinishReason::Stop;
        }
    }
    Ok(ChatResponse { id: None, model: None, content, finish, stop_sequence: None, usage: usage.map(Usage::from) })
}
