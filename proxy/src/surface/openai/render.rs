//! A complete answer in, the bytes of a `chat.completion` out.

use crate::chat::{Block, ChatResponse, FinishReason, Usage};
use crate::surface::Head;
use bytes::Bytes;
use serde::Serialize;

#[derive(Serialize)]
struct Completion<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: [Choice<'a>; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<WireUsage>,
}

#[derive(Serialize)]
struct Choice<'a> {
    index: u32,
    message: Message<'a>,
    logprobs: Option<()>,
    finish_reason: &'static str,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: Option<String>,
    refusal: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    thinking_blocks: Vec<Thinking<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<ToolCall<'a>>,
}

/// A thought with its proof of origin, which the client sends back with the next turn.
#[derive(Serialize)]
#[serde(tag = "type")]
pub(super) enum Thinking<'a> {
    #[serde(rename = "thinking")]
    Signed { thinking: &'a str, signature: &'a str },
    #[serde(rename = "redacted_thinking")]
    Redacted { data: &'a str },
}

#[derive(Serialize)]
struct ToolCall<'a> {
    id: &'a str,
    r#type: &'static str,
    function: Function<'a>,
}

#[derive(Serialize)]
struct Function<'a> {
    name: &'a str,
    arguments: &'a str,
}

/// Usage in the dialect's own sums: cached input counts as prompt, thoughts count as completion.
#[derive(Serialize)]
pub(super) struct WireUsage {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
    prompt_tokens_details: PromptDetails,
    completion_tokens_details: CompletionDetails,
}

#[derive(Serialize)]
struct PromptDetails {
    cached_tokens: u64,
    #[serde(skip_serializing_if = "is_zero")]
    cache_write_tokens: u64,
}

#[derive(Serialize)]
struct CompletionDetails {
    reasoning_tokens: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl From<&Usage> for WireUsage {
    fn from(usage: &Usage) -> Self {
        let prompt_tokens = usage.input_total();
        let tokens = usage.tokens;
        Self {
            prompt_tokens,
            completion_tokens: tokens.output,
            total_tokens: prompt_tokens.saturating_add(tokens.output),
            prompt_tokens_details: PromptDetails {
                cached_tokens: tokens.cache_read,
                cache_write_tokens: tokens.cache_write.saturating_add(tokens.cache_write_1h),
            },
            completion_tokens_details: CompletionDetails { reasoning_tokens: usage.reasoning },
        }
    }
}

/// The dialect's word for why an answer ended.
pub(super) const fn finish_reason(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Stop | FinishReason::StopSequence | FinishReason::Refusal => "stop",
        FinishReason::Length => "length",
        FinishReason::ToolUse => "tool_calls",
        FinishReason::ContentFilter => "content_filter",
    }
}

/// The body of a complete answer.
#[must_use]
pub fn render(response: &ChatResponse, head: &Head) -> Bytes {
    let completion = Completion {
        id: &head.id,
        object: "chat.completion",
        created: head.created,
        model: &head.model,
        choices: [Choice {
            index: 0,
            message: message(&response.content),
            logprobs: None,
            finish_reason: finish_reason(response.finish),
        }],
        usage: response.usage.as_ref().map(WireUsage::from),
    };
    Bytes::from(serde_json::to_vec(&completion).unwrap_or_default())
}

fn message(content: &[Block]) -> Message<'_> {
    let mut message = Message {
        role: "assistant",
        content: None,
        refusal: None,
        reasoning_content: None,
        thinking_blocks: Vec::new(),
        tool_calls: Vec::new(),
    };
    let append = |to: &mut Option<String>, text: &str| to.get_or_insert_default().push_str(text);
    for block in content {
        match block {
            Block::Text(text) => append(&mut message.content, text),
            Block::Refusal(text) => append(&mut message.refusal, text),
            Block::Reasoning { text, signature } => {
                append(&mut message.reasoning_content, text);
                if let Some(signature) = signature {
                    message.thinking_blocks.push(Thinking::Signed { thinking: text, signature });
                }
            }
            Block::RedactedReasoning(data) => message.thinking_blocks.push(Thinking::Redacted { data }),
            Block::ToolUse { id, name, input } => message.tool_calls.push(ToolCall {
                id,
                r#type: "function",
                function: Function { name, arguments: input.get() },
            }),
            // No model answers with these on this surface: they belong to requests.
            Block::Image(_)
            | Block::Document(_)
            | Block::Audio(_)
            | Block::ToolResult { .. }
            | Block::CachePoint(_) => {}
        }
    }
    if message.content.is_none() && message.refusal.is_none() && message.tool_calls.is_empty() {
        message.content = Some(String::new());
    }
    message
}
