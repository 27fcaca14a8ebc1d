//! What was generated as a chat completion says it: blocks and counts in, a JSON body or server-sent events out. Pure.

use super::read::Asked;
use crate::sim::book::now_ms;
use crate::sim::generate::{Generated, Generation, Kind, Stop};
use crate::sim::reply::Reply;
use crate::sim::serve::{Answer, Event};
use bytes::Bytes;
use serde_json::{Value, json};

/// Everything an answer is made of.
pub(super) struct Said<'a> {
    pub id: u64,
    pub model: &'a str,
    pub asked: &'a Asked,
    pub made: &'a Generation,
    pub reply: &'a Reply,
    pub cache_read: u64,
}

pub(super) fn answer(said: &Said<'_>) -> Answer {
    let events = said.events();
    let plain = (!said.asked.stream).then(|| said.plain());
    let content_type = if said.asked.stream { "text/event-stream; charset=utf-8" } else { "application/json" };
    Answer { content_type, headers: Vec::new(), events, plain, error_event: None }
}

fn finish_reason(stop: &Stop) -> &str {
    match stop {
        Stop::EndTurn | Stop::Sequence => "stop",
        Stop::MaxTokens => "length",
        Stop::ToolUse => "tool_calls",
        Stop::Other(reason) if reason == "content_filtered" => "content_filter",
        Stop::Other(reason) => reason,
    }
}

fn sse(value: &Value) -> Bytes {
    Bytes::from(format!("data: {value}\n\n"))
}

impl Said<'_> {
    fn usage(&self) -> Value {
        let (prompt, output) = (self.asked.prompt.tokens, self.made.tokens * self.asked.choices);
        json!({
            "prompt_tokens": prompt, "completion_tokens": output, "total_tokens": prompt + output,
            "prompt_tokens_details": { "cached_tokens": self.cache_read },
        })
    }

    fn envelope(&self, object: &str, choices: Value) -> Value {
        let created = now_ms() / 1_000;
        json!({ "id": format!("chatcmpl-{}", self.id), "object": object, "created": created, "model": self.model, "choices": choices })
    }

    fn of(&self, wanted: fn(&Kind) -> bool) -> Option<String> {
        let mut texts = self.made.blocks.iter().filter(|block| wanted(&block.kind)).map(Generated::text).peekable();
        texts.peek()?;
        Some(texts.collect())
    }

    fn plain(&self) -> Bytes {
        let mut message = json!({ "role": "assistant", "content": self.of(|kind| *kind == Kind::Text) });
        if let Some(reasoning) = self.of(|kind| matches!(kind, Kind::Reasoning { .. })) {
            message["reasoning_content"] = json!(reasoning);
        }
        let calls: Vec<Value> = self
            .made
            .blocks
            .iter()
            .filter_map(|block| match &block.kind {
                Kind::ToolUse { id, name } => Some(
                    json!({ "id": id, "type": "function", "function": { "name": name, "arguments": block.text() } }),
                ),
                Kind::Text | Kind::Reasoning { .. } => None,
            })
            .collect();
        if !calls.is_empty() {
            message["tool_calls"] = json!(calls);
        }
        let finish = finish_reason(&self.made.stop);
        let choices: Vec<Value> = (0..self.asked.choices)
            .map(|index| json!({ "index": index, "message": message, "finish_reason": finish, "logprobs": null }))
            .collect();
        let mut body = self.envelope("chat.completion", json!(choices));
        if !self.reply.omit_usage {
            body["usage"] = self.usage();
        }
        Bytes::from(body.to_string())
    }

    /// Every event in order; for a plain answer, which sends none of them, only those that pace its tokens.
    fn events(&self) -> Vec<Event> {
        let with_usage = self.asked.include_usage && !self.reply.omit_usage;
        let mut events = Vec::new();
        let mut tokens = 0;
        let mut add = |chunk: Option<(u64, Value, Option<&str>)>, now: Option<u64>| {
            tokens = now.unwrap_or(tokens);
            let bytes = match chunk {
                _ if !self.asked.stream => Bytes::new(),
                Some((index, delta, finish)) => {
                    let choice = json!([{ "index": index, "delta": delta, "finish_reason": finish, "logprobs": null }]);
                    let mut chunk = self.envelope("chat.completion.chunk", choice);
                    if with_usage {
                        chunk["usage"] = Value::Null;
                    }
                    sse(&chunk)
                }
                None => {
                    let mut last = self.envelope("chat.completion.chunk", json!([]));
                    last["usage"] = self.usage();
                    sse(&last)
                }
            };
            events.push(Event { bytes, tokens, content: now.is_some() });
        };
        for index in 0..self.asked.choices {
            let before = self.made.tokens * index;
            add(Some((index, json!({ "role": "assistant", "content": "" }), None)), None);
            let mut call = 0;
            for block in &self.made.blocks {
                if let Kind::ToolUse { id, name } = &block.kind {
                    let start = json!([{ "index": call, "id": id, "type": "function", "function": { "name": name, "arguments": "" } }]);
                    add(Some((index, json!({ "tool_calls": start }), None)), None);
                }
                for (piece, now) in &block.pieces {
                    let delta = match &block.kind {
                        Kind::Text => json!({ "content": piece }),
                        Kind::Reasoning { .. } => json!({ "reasoning_content": piece }),
                        Kind::ToolUse { .. } => {
                            json!({ "tool_calls": [{ "index": call, "function": { "arguments": piece } }] })
                        }
                    };
                    add(Some((index, delta, None)), Some(before + now));
                }
                call += usize::from(matches!(block.kind, Kind::ToolUse { .. }));
            }
            add(Some((index, json!({}), Some(finish_reason(&self.made.stop)))), Some(before + self.made.tokens));
        }
        if with_usage {
            add(None, None);
        }
        if self.asked.stream {
            events.push(Event {
                bytes: Bytes::from_static(b"data: [DONE]\n\n"),
                tokens: self.made.tokens * self.asked.choices,
                content: false,
            });
        }
        events
    }
}
