//! A complete answer in, the body of a Converse answer out.

use super::stream::latency;
use crate::chat::{Block, ChatResponse, FinishReason, Usage};
use crate::surface::Head;
use bytes::Bytes;
use serde::Serialize;
use serde_json::{Value, json};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    metrics: Value,
    output: Output<'a>,
    stop_reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Value>,
}

#[derive(Serialize)]
struct Output<'a> {
    message: Message<'a>,
}

#[derive(Serialize)]
struct Message<'a> {
    content: Vec<Said<'a>>,
    role: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Said<'a> {
    Text(&'a str),
    #[serde(rename_all = "camelCase")]
    ToolUse {
        tool_use_id: &'a str,
        name: &'a str,
        input: &'a crate::chat::Json,
    },
    ReasoningContent(Value),
}

/// The dialect's word for why an answer ended.
pub(super) const fn stop_reason(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Stop => "end_turn",
        FinishReason::StopSequence => "stop_sequence",
        FinishReason::Length => "max_tokens",
        FinishReason::ToolUse => "tool_use",
        FinishReason::ContentFilter | FinishReason::Refusal => "content_filtered",
    }
}

/// Usage in the dialect's own counts: input without what was cached.
pub(super) fn usage_json(usage: &Usage) -> Value {
    let tokens = usage.tokens;
    let mut json = json!({
        "inputTokens": tokens.input,
        "outputTokens": tokens.output,
        "totalTokens": usage.input_total().saturating_add(tokens.output),
    });
    let written = tokens.cache_write.saturating_add(tokens.cache_write_1h);
    if tokens.cache_read > 0 || written > 0 {
        json["cacheReadInputTokens"] = tokens.cache_read.into();
        json["cacheWriteInputTokens"] = written.into();
    }
    if tokens.cache_write_1h > 0 {
        let details = [("5m", tokens.cache_write), ("1h", tokens.cache_write_1h)];
        let details = details.iter().filter(|(_, tokens)| *tokens > 0);
        json["cacheDetails"] =
            details.map(|(ttl, tokens)| json!({"ttl": ttl, "inputTokens": tokens})).collect::<Vec<_>>().into();
    }
    json
}

/// The body of a complete answer.
#[must_use]
pub fn render(response: &ChatResponse, head: &Head) -> Bytes {
    let answer = Answer {
        metrics: json!({"latencyMs": latency(head.began)}),
        output: Output {
            message: Message { content: response.content.iter().filter_map(content).collect(), role: "assistant" },
        },
        stop_reason: stop_reason(response.finish),
        usage: response.usage.as_ref().map(usage_json),
    };
    Bytes::from(serde_json::to_vec(&answer).unwrap_or_default())
}

fn content(block: &Block) -> Option<Said<'_>> {
    match block {
        Block::Text(text) | Block::Refusal(text) => Some(Said::Text(text)),
        Block::ToolUse { id, name, input } => Some(Said::ToolUse { tool_use_id: id, name, input }),
        Block::Reasoning { text, signature } => {
            let mut thought = json!({"text": text});
            if let Some(signature) = signature {
                thought["signature"] = signature.as_str().into();
            }
            Some(Said::ReasoningContent(json!({"reasoningText": thought})))
        }
        Block::RedactedReasoning(data) => Some(Said::ReasoningContent(json!({"redactedContent": data}))),
        // No model answers with these: they belong to requests.
        Block::Image(_) | Block::Document(_) | Block::Audio(_) | Block::ToolResult { .. } | Block::CachePoint(_) => {
            None
        }
    }
}
