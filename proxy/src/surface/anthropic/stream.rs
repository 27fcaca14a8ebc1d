//! `StreamRenderer`: stream events in, server-sent events with the dialect's names out.

use super::error::render_stream_error;
use super::render::stop_reason;
use super::usage::WireUsage;
use crate::chat::{BlockStart, Delta, FinishReason, StreamEvent, Usage};
use crate::error::ApiError;
use crate::surface::Head;
use http::StatusCode;
use serde::Serialize;
use serde_json::json;
use std::collections::BTreeMap;

/// Renders one stream.
pub struct StreamRenderer {
    head: Head,
    /// Blocks that have begun, by the number that the provider gave them.
    open: BTreeMap<u32, Open>,
    /// Number of the next block: the client's blocks have no gaps.
    next: u32,
    finish: Option<(FinishReason, Option<String>)>,
    usage: Option<Usage>,
    failed: bool,
}

/// A block that has begun.
#[derive(Clone, Copy)]
enum Open {
    /// The client has heard of it, under this number.
    Shown(u32),
    /// A thought of which nothing has come: it may be one that nobody may read.
    Thought,
}

#[derive(Serialize)]
struct MessageDelta<'a> {
    r#type: &'static str,
    delta: Ended<'a>,
    usage: WireUsage,
}

#[derive(Serialize)]
struct Ended<'a> {
    stop_reason: &'static str,
    stop_sequence: Option<&'a str>,
}

impl StreamRenderer {
    /// A renderer for one answer.
    #[must_use]
    pub const fn new(head: Head) -> Self {
        Self { head, open: BTreeMap::new(), next: 0, finish: None, usage: None, failed: false }
    }

    /// Tokens used, once the upstream has said it.
    #[must_use]
    pub const fn usage(&self) -> Option<&Usage> {
        self.usage.as_ref()
    }

    /// Appends what `event` says to `out`.
    pub fn event(&mut self, event: &StreamEvent, out: &mut Vec<u8>) {
        if self.failed {
            return;
        }
        match event {
            StreamEvent::Start { .. } => self.start(out),
            StreamEvent::BlockStart { index, block } => match block {
                BlockStart::Text => self.show(*index, &json!({"type": "text", "text": ""}), out),
                BlockStart::Reasoning => _ = self.open.insert(*index, Open::Thought),
                BlockStart::ToolUse { id, name } => {
                    self.show(*index, &json!({"type": "tool_use", "id": id, "name": name, "input": {}}), out);
                }
            },
            StreamEvent::BlockDelta { index, delta } => self.delta(*index, delta, out),
            StreamEvent::BlockStop { index } => self.stop(*index, out),
            StreamEvent::Finish { reason, stop_sequence } => {
                let left: Vec<u32> = self.open.keys().copied().collect();
                for index in left {
                    self.stop(index, out);
                }
                self.finish = Some((*reason, stop_sequence.clone()));
            }
            StreamEvent::Usage(usage) => self.usage = Some(*usage),
            StreamEvent::Error(error) => {
                self.failed = true;
                let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::BAD_GATEWAY);
                out.extend_from_slice(&render_stream_error(&ApiError::upstream(status, error.to_string())));
            }
        }
    }

    /// Ends the stream: why it ended, what it used and the stop marker; nothing when the answer is not complete.
    pub fn end(&mut self, out: &mut Vec<u8>) {
        let Some((reason, stop_sequence)) = self.finish.take().filter(|_| !self.failed) else { return };
        let usage = WireUsage::from(&self.usage.unwrap_or_default());
        let delta = Ended { stop_reason: stop_reason(reason), stop_sequence: stop_sequence.as_deref() };
        write(out, "message_delta", &MessageDelta { r#type: "message_delta", delta, usage });
        write(out, "message_stop", &json!({"type": "message_stop"}));
    }

    /// Most upstreams say what was used at the end only, so nothing is counted here: the last event says it all.
    fn start(&self, out: &mut Vec<u8>) {
        let Head { id, created: _, began: _, model } = &self.head;
        let message = json!({
            "id": id, "type": "message", "role": "assistant", "model": model, "content": [],
            "stop_reason": null, "stop_sequence": null, "usage": {"input_tokens": 0, "output_tokens": 0},
        });
        write(out, "message_start", &json!({"type": "message_start", "message": message}));
    }

    fn show(&mut self, index: u32, block: &serde_json::Value, out: &mut Vec<u8>) {
        let shown = self.next;
        self.next += 1;
        self.open.insert(index, Open::Shown(shown));
        let event = json!({"type": "content_block_start", "index": shown, "content_block": block});
        write(out, "content_block_start", &event);
    }

    fn delta(&mut self, index: u32, delta: &Delta, out: &mut Vec<u8>) {
        if let (Some(Open::Thought), Delta::RedactedReasoning(data)) = (self.open.get(&index), delta) {
            return self.show(index, &json!({"type": "redacted_thinking", "data": data}), out);
        }
        if let Some(Open::Thought) = self.open.get(&index) {
            self.show(index, &json!({"type": "thinking", "thinking": "", "signature": ""}), out);
        }
        let Some(Open::Shown(shown)) = self.open.get(&index) else { return };
        let delta = match delta {
            Delta::Text(text) => json!({"type": "text_delta", "text": text}),
            Delta::ToolInput(part) => json!({"type": "input_json_delta", "partial_json": part}),
            Delta::Reasoning(text) => json!({"type": "thinking_delta", "thinking": text}),
            Delta::Signature(part) => json!({"type": "signature_delta", "signature": part}),
            // Such a thought comes whole, and was shown when its block began.
            Delta::RedactedReasoning(_) => return,
        };
        let event = json!({"type": "content_block_delta", "index": shown, "delta": delta});
        write(out, "content_block_delta", &event);
    }

    fn stop(&mut self, index: u32, out: &mut Vec<u8>) {
        if let Some(Open::Shown(shown)) = self.open.remove(&index) {
            write(out, "content_block_stop", &json!({"type": "content_block_stop", "index": shown}));
        }
    }
}

fn write(out: &mut Vec<u8>, name: &str, event: &impl Serialize) {
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\ndata: ");
    // Writing strings and numbers to memory cannot fail.
    let _ = serde_json::to_writer(&mut *out, event);
    out.extend_from_slice(b"\n\n");
}
