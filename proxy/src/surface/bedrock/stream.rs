//! `StreamRenderer`: stream events in, the event-stream frames of ConverseStream out.

use super::render::{stop_reason, usage_json};
use crate::chat::{BlockStart, Delta, StreamEvent, Usage};
use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use tokio::time::Instant;

/// Renders one stream.
#[derive(Debug)]
pub struct StreamRenderer {
    began: Option<Instant>,
    /// Tool calls that have got no arguments yet.
    without_input: BTreeSet<u32>,
    usage: Option<Usage>,
    finished: bool,
    failed: bool,
}

impl StreamRenderer {
    /// A renderer for the answer to a request that came in at `began`.
    #[must_use]
    pub const fn new(began: Option<Instant>) -> Self {
        Self { began, without_input: BTreeSet::new(), usage: None, finished: false, failed: false }
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
            StreamEvent::Start { .. } => say("messageStart", &json!({"role": "assistant"}), out),
            StreamEvent::BlockStart { index, block: BlockStart::ToolUse { id, name } } => {
                self.without_input.insert(*index);
                let start = json!({"toolUse": {"toolUseId": id, "name": name}});
                say("contentBlockStart", &json!({"contentBlockIndex": index, "start": start}), out);
            }
            // Text and thoughts begin without saying so.
            StreamEvent::BlockStart { .. } => {}
            StreamEvent::BlockDelta { index, delta } => self.delta(*index, delta, out),
            StreamEvent::BlockStop { index } => {
                // Clients parse the arguments, and no text at all is not JSON.
                if self.without_input.remove(index) {
                    part(*index, &json!({"toolUse": {"input": "{}"}}), out);
                }
                say("contentBlockStop", &json!({"contentBlockIndex": index}), out);
            }
            StreamEvent::Finish { reason, stop_sequence: _ } => {
                self.finished = true;
                say("messageStop", &json!({"stopReason": stop_reason(*reason)}), out);
            }
            StreamEvent::Usage(usage) => self.usage = Some(*usage),
            StreamEvent::Error(error) => {
                self.failed = true;
                out.extend_from_slice(&super::render_stream_error(&error.clone().into()));
            }
        }
    }

    /// Ends the stream with its metadata; nothing when the answer is not complete.
    pub fn end(&mut self, out: &mut Vec<u8>) {
        if self.failed || !self.finished {
            return;
        }
        let mut metadata = json!({"metrics": {"latencyMs": latency(self.began)}});
        if let Some(usage) = &self.usage {
            metadata["usage"] = usage_json(usage);
        }
        say("metadata", &metadata, out);
    }

    fn delta(&mut self, index: u32, delta: &Delta, out: &mut Vec<u8>) {
        let delta = match delta {
            Delta::Text(text) => json!({"text": text}),
            Delta::ToolInput(input) => {
                if !input.is_empty() {
                    self.without_input.remove(&index);
                }
                json!({"toolUse": {"input": input}})
            }
            Delta::Reasoning(text) => json!({"reasoningContent": {"text": text}}),
            Delta::Signature(signature) => json!({"reasoningContent": {"signature": signature}}),
            Delta::RedactedReasoning(data) => json!({"reasoningContent": {"redactedContent": data}}),
        };
        part(index, &delta, out);
    }
}

/// Milliseconds since the request came in.
pub(super) fn latency(began: Option<Instant>) -> u64 {
    began.map_or(0, |began| u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX))
}

fn part(index: u32, delta: &Value, out: &mut Vec<u8>) {
    say("contentBlockDelta", &json!({"contentBlockIndex": index, "delta": delta}), out);
}

fn say(name: &'static str, payload: &impl Serialize, out: &mut Vec<u8>) {
    frame(("event", ":event-type", name), payload, out);
}

/// Appends one frame: what kind of message it is, the header that names it, and its name.
pub(super) fn frame(
    (kind, header, name): (&'static str, &'static str, &'static str),
    payload: &impl Serialize,
    out: &mut Vec<u8>,
) {
    let text = |text: &'static str| HeaderValue::String(text.into());
    let headers = vec![
        Header::new(header, text(name)),
        Header::new(":content-type", text("application/json")),
        Header::new(":message-type", text(kind)),
    ];
    let payload = serde_json::to_vec(payload).unwrap_or_default();
    // Writing three short headers and a payload to memory cannot fail.
    let _ = write_message_to(&Message::new_from_parts(headers, payload), out);
}
