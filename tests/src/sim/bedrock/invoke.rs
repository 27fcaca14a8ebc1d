//! InvokeModel: a body in a model family's own words in, the prompt out; what was generated in, the family's answer or chunks out. Pure.

use super::frames::event;
use super::render::Usage;
use crate::sim::config::Model;
use crate::sim::generate::{Generation, Prompt, Stop, tokens};
use crate::sim::serve::{Answer, Event};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Value, json};

/// Families whose words the simulator knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    Claude,
    Nova,
    Titan,
    Jurassic,
    Llama,
    Mistral,
}

impl Family {
    pub(super) fn of(id: &str) -> Option<Self> {
        let known = [
            ("anthropic.", Self::Claude),
            ("amazon.nova", Self::Nova),
            ("amazon.titan-text", Self::Titan),
            ("ai21.j2-", Self::Jurassic),
            ("meta.llama", Self::Llama),
            ("mistral.", Self::Mistral),
        ];
        known.into_iter().find(|(name, _)| id.contains(name)).map(|(_, family)| family)
    }

    /// Where the prompt stands, and the output bound.
    const fn places(self) -> (&'static str, &'static str) {
        match self {
            Self::Claude => ("/messages", "/max_tokens"),
            Self::Nova => ("/messages", "/inferenceConfig/maxTokens"),
            Self::Titan => ("/inputText", "/textGenerationConfig/maxTokenCount"),
            Self::Jurassic => ("/prompt", "/maxTokens"),
            Self::Llama => ("/prompt", "/max_gen_len"),
            Self::Mistral => ("/prompt", "/max_tokens"),
        }
    }

    /// The prompt, or the message of a `ValidationException`.
    pub(super) fn read(self, model: &Model, body: &Value) -> Result<Prompt, String> {
        let (prompt, bound) = self.places();
        let missing = |place: &str| format!("Malformed input request: #: required key [{}] not found", &place[1..]);
        let said = body.pointer(prompt).ok_or_else(|| missing(prompt))?;
        let max_tokens = match body.pointer(bound) {
            Some(value) => Some(value.as_u64().filter(|max| *max <= model.max_output).ok_or_else(|| {
                format!("Malformed input request: {bound}: {value} is not from 1 to {}", model.max_output)
            })?),
            None if self == Self::Claude => return Err(missing(bound)),
            None => None,
        };
        if self == Self::Claude && body["anthropic_version"] != "bedrock-2023-05-31" {
            return Err(missing("/anthropic_version"));
        }
        let turns = said.as_array().map_or(0, Vec::len) as u64;
        let read = tokens(model, &body.to_string()) + model.per_message * turns;
        Ok(Prompt { tokens: read, last_user_text: last_text(said), max_tokens, stop: Vec::new() })
    }
}

fn last_text(said: &Value) -> String {
    match said {
        Value::String(text) => text.clone(),
        Value::Array(turns) => match turns.last().map(|turn| &turn["content"]) {
            Some(Value::Array(blocks)) => blocks.iter().filter_map(|block| block["text"].as_str()).collect(),
            Some(Value::String(text)) => text.clone(),
            _ => String::new(),
        },
        _ => String::new(),
    }
}

pub(super) fn answer(family: Family, made: &Generation, usage: &Usage, stream: bool) -> Answer {
    let text: String = made.blocks.iter().map(super::super::generate::Generated::text).collect();
    let reason = if made.stop == Stop::MaxTokens { "max_tokens" } else { "end_turn" };
    let pieces = made.blocks.iter().flat_map(|block| &block.pieces);
    let mut events: Vec<Event> = Vec::new();
    let mut add = |words: Value, tokens: u64, content: bool| {
        let bytes = if stream { chunk(&words) } else { Bytes::new() };
        events.push(Event { bytes, tokens, content });
    };
    for words in opening(family, usage) {
        add(words, 0, false);
    }
    for (piece, now) in pieces {
        add(part(family, piece), *now, true);
    }
    let mut last = closing(family, reason, usage);
    if let Some(words) = last.last_mut() {
        words["amazon-bedrock-invocationMetrics"] = json!({
            "inputTokenCount": usage.input, "outputTokenCount": usage.output, "invocationLatency": 1, "firstByteLatency": 1,
            "cacheReadInputTokenCount": usage.cache_read, "cacheWriteInputTokenCount": usage.cache_write,
        });
    }
    for words in last {
        add(words, usage.output, false);
    }
    let mut answer = Answer {
        content_type: "application/json",
        headers: Vec::new(),
        events,
        plain: (!stream).then(|| Bytes::from(whole(family, &text, reason, usage).to_string())),
        error_event: None,
    };
    if stream {
        answer.content_type = "application/vnd.amazon.eventstream";
        answer.headers.push(("x-amzn-bedrock-content-type", "application/json".to_owned()));
    } else {
        answer.headers.push(("x-amzn-bedrock-input-token-count", usage.input.to_string()));
        answer.headers.push(("x-amzn-bedrock-output-token-count", usage.output.to_string()));
    }
    answer
}

fn chunk(words: &Value) -> Bytes {
    event("chunk", &json!({ "bytes": STANDARD.encode(words.to_string()), "p": "abcd" }))
}

fn whole(family: Family, text: &str, reason: &str, usage: &Usage) -> Value {
    match family {
        Family::Claude => json!({
            "id": "msg_bdrk_1", "type": "message", "role": "assistant", "content": [{"type": "text", "text": text}],
            "stop_reason": reason, "usage": {
                "input_tokens": usage.input, "output_tokens": usage.output,
                "cache_read_input_tokens": usage.cache_read, "cache_creation_input_tokens": usage.cache_write,
            },
        }),
        Family::Nova => json!({
            "output": {"message": {"role": "assistant", "content": [{"text": text}]}}, "stopReason": reason,
            "usage": {
                "inputTokens": usage.input, "outputTokens": usage.output,
                "cacheReadInputTokenCount": usage.cache_read, "cacheWriteInputTokenCount": usage.cache_write,
            },
        }),
        Family::Titan => json!({
            "inputTextTokenCount": usage.input,
            "results": [{"tokenCount": usage.output, "outputText": text, "completionReason": "FINISH"}],
        }),
        Family::Llama => json!({
            "generation": text, "prompt_token_count": usage.input, "generation_token_count": usage.output, "stop_reason": "stop",
        }),
        Family::Jurassic => json!({
            "id": 1234, "prompt": {"text": "", "tokens": vec![json!({}); usize::try_from(usage.input).unwrap_or(0)]},
            "completions": [{
                "data": {"text": text, "tokens": vec![json!({}); usize::try_from(usage.output).unwrap_or(0)]},
                "finishReason": {"reason": "endoftext"},
            }],
        }),
        Family::Mistral => json!({ "outputs": [{"text": text, "stop_reason": "stop"}] }),
    }
}

fn opening(family: Family, usage: &Usage) -> Vec<Value> {
    match family {
        Family::Claude => vec![
            json!({"type": "message_start", "message": {"usage": {"input_tokens": usage.input, "output_tokens": 1}}}),
            json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        ],
        Family::Nova => vec![json!({"messageStart": {"role": "assistant"}})],
        Family::Titan | Family::Jurassic | Family::Llama | Family::Mistral => Vec::new(),
    }
}

fn part(family: Family, text: &str) -> Value {
    match family {
        Family::Claude => {
            json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}})
        }
        Family::Nova => json!({"contentBlockDelta": {"delta": {"text": text}, "contentBlockIndex": 0}}),
        Family::Titan => json!({"outputText": text, "index": 0, "completionReason": null}),
        Family::Llama => json!({"generation": text, "stop_reason": null}),
        Family::Jurassic | Family::Mistral => json!({"outputs": [{"text": text, "stop_reason": null}]}),
    }
}

fn closing(family: Family, reason: &str, usage: &Usage) -> Vec<Value> {
    match family {
        Family::Claude => vec![
            json!({"type": "content_block_stop", "index": 0}),
            json!({"type": "message_delta", "delta": {"stop_reason": reason}, "usage": {"output_tokens": usage.output}}),
            json!({"type": "message_stop"}),
        ],
        Family::Nova => vec![
            json!({"messageStop": {"stopReason": reason}}),
            json!({"metadata": {"usage": {"inputTokens": usage.input, "outputTokens": usage.output}}}),
        ],
        Family::Titan => vec![json!({"outputText": "", "index": 0, "completionReason": "FINISH"})],
        Family::Llama => vec![json!({"generation": "", "stop_reason": "stop"})],
        Family::Jurassic | Family::Mistral => vec![json!({"outputs": [{"text": "", "stop_reason": "stop"}]})],
    }
}
