//! What was generated as Converse says it: blocks and usage in, a JSON body or event-stream frames out. Pure.

use super::event;
use crate::sim::generate::{Generated, Generation, Kind, Stop};
use crate::sim::reply::Reply;
use crate::sim::script::Pace;
use crate::sim::serve::{Answer, Event};
use bytes::Bytes;
use serde_json::{Value, json};

/// The tokens of one request as the service reports them; the input counts are disjoint.
pub(super) struct Usage {
    pub input: u64,
    pub cache_read: u64,
    pub cache_write: u64,
    pub output: u64,
}

impl Usage {
    pub(super) fn new(read: u64, output: u64, reply: &Reply) -> Self {
        let cache_read = reply.cache_read.min(read);
        let cache_write = reply.cache_write.min(read - cache_read);
        Self { input: read - cache_read - cache_write, cache_read, cache_write, output }
    }

    fn json(&self) -> Value {
        let Self { input, cache_read, cache_write, output } = self;
        json!({
            "inputTokens": input, "outputTokens": output, "totalTokens": input + cache_read + cache_write + output,
            "cacheReadInputTokens": cache_read, "cacheWriteInputTokens": cache_write,
        })
    }
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

pub(super) fn answer(made: &Generation, usage: &Usage, reply: &Reply, stream: bool, pace: Pace) -> Answer {
    // Said, not measured: an answer depends on nothing but the request and the script.
    let generating =
        if pace.tokens_per_second == 0 { 0 } else { usage.output * 1_000 / u64::from(pace.tokens_per_second) };
    let metrics = json!({ "latencyMs": pace.first_token_ms + generating });
    let events = events(made, usage, reply, &metrics, stream);
    let plain = (!stream).then(|| plain(made, usage, &metrics));
    let content_type = if stream { "application/vnd.amazon.eventstream" } else { "application/json" };
    Answer { content_type, headers: Vec::new(), events, plain, error_event: None }
}

fn plain(made: &Generation, usage: &Usage, metrics: &Value) -> Bytes {
    let content: Vec<Value> = made.blocks.iter().filter_map(block).collect();
    let body = json!({
        "output": { "message": { "role": "assistant", "content": content } },
        "stopReason": stop_reason(&made.stop), "usage": usage.json(), "metrics": metrics,
    });
    Bytes::from(body.to_string())
}

fn block(block: &Generated) -> Option<Value> {
    Some(match &block.kind {
        Kind::Text => json!({ "text": block.text() }),
        Kind::Reasoning { signature } => {
            let mut text = json!({ "text": block.text() });
            if let Some(signature) = signature {
                text["signature"] = json!(signature);
            }
            json!({ "reasoningContent": { "reasoningText": text } })
        }
        // Arguments that the limit cut are no document any more.
        Kind::ToolUse { id, name } => {
            let input: Value = serde_json::from_str(&block.text()).ok()?;
            json!({ "toolUse": { "toolUseId": id, "name": name, "input": input } })
        }
    })
}

/// The padding real events carry, so that their length tells nothing.
fn padded(mut payload: Value, index: usize) -> Value {
    const LETTERS: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    payload["p"] = json!(LETTERS[..1 + index * 7 % LETTERS.len()]);
    payload
}

/// Every event in order; for a plain answer, which sends none of them, only those that pace its tokens.
fn events(made: &Generation, usage: &Usage, reply: &Reply, metrics: &Value, stream: bool) -> Vec<Event> {
    let mut events = Vec::new();
    let mut tokens = 0;
    let mut add = |name: &str, payload: Value, now: Option<u64>| {
        tokens = now.unwrap_or(tokens);
        let bytes = if stream { event(name, &padded(payload, events.len())) } else { Bytes::new() };
        events.push(Event { bytes, tokens, content: now.is_some() });
    };
    add("messageStart", json!({ "role": "assistant" }), None);
    for (index, block) in made.blocks.iter().enumerate() {
        if let Kind::ToolUse { id, name } = &block.kind {
            let start = json!({ "toolUse": { "toolUseId": id, "name": name } });
            add("contentBlockStart", json!({ "contentBlockIndex": index, "start": start }), None);
        }
        for (piece, now) in &block.pieces {
            let delta = match &block.kind {
                Kind::Text => json!({ "text": piece }),
                Kind::Reasoning { .. } => json!({ "reasoningContent": { "text": piece } }),
                Kind::ToolUse { .. } => json!({ "toolUse": { "input": piece } }),
            };
            add("contentBlockDelta", json!({ "contentBlockIndex": index, "delta": delta }), Some(*now));
        }
        if let Kind::Reasoning { signature: Some(signature) } = &block.kind {
            let delta = json!({ "reasoningContent": { "signature": signature } });
            add("contentBlockDelta", json!({ "contentBlockIndex": index, "delta": delta }), None);
        }
        add("contentBlockStop", json!({ "contentBlockIndex": index }), None);
    }
    add("messageStop", json!({ "stopReason": stop_reason(&made.stop) }), Some(usage.output));
    if !reply.omit_usage {
        add("metadata", json!({ "usage": usage.json(), "metrics": metrics }), None);
    }
    events
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::bedrock::Shapes;
    use crate::sim::config::Model;
    use crate::sim::generate::{Prompt, generate};
    use crate::sim::reply::Block;
    use aws_smithy_eventstream::frame::read_message_from;

    /// What goes out has only members the service model has, but for the padding.
    #[test]
    fn answers_keep_to_the_shapes() {
        let reply = Reply::blocks([
            Block::Reasoning { text: "hm, let me think".to_owned(), signature: Some("sig".to_owned()) },
            Block::Text("the time is".to_owned()),
            Block::ToolUse { id: "t1".to_owned(), name: "now".to_owned(), input: json!({ "zone": "UTC" }) },
        ]);
        let made = generate(&Model::default(), &Prompt::default(), &reply);
        let usage = Usage::new(100, made.tokens, &Reply { cache_read: 30, cache_write: 90, ..reply.clone() });
        assert_eq!((usage.input, usage.cache_read, usage.cache_write), (0, 30, 70));
        let plain = answer(&made, &usage, &reply, false, Pace::default()).plain.unwrap();
        let plain: Value = serde_json::from_slice(&plain).unwrap();
        assert_eq!(Shapes::table().faults("ConverseResponse", &plain), [""; 0]);

        let names: Vec<String> = answer(&made, &usage, &reply, true, Pace::default())
            .events
            .iter()
            .map(|event| {
                let message = read_message_from(&event.bytes[..]).unwrap();
                let name = message.headers()[0].value().as_string().unwrap().as_str().to_owned();
                let mut payload: Value = serde_json::from_slice(message.payload()).unwrap();
                payload.as_object_mut().unwrap().remove("p");
                let union = json!({ name.as_str(): payload });
                assert_eq!(Shapes::table().faults("ConverseStreamOutput", &union), [""; 0]);
                name
            })
            .collect();
        let mut order = names.iter().map(String::as_str).collect::<Vec<_>>();
        order.dedup();
        assert_eq!(
            order,
            [
                "messageStart",
                "contentBlockDelta",
                "contentBlockStop",
                "contentBlockDelta",
                "contentBlockStop",
                "contentBlockStart",
                "contentBlockDelta",
                "contentBlockStop",
                "messageStop",
                "metadata",
            ]
        );
    }
}
