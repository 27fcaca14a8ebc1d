//! `StreamRenderer`: stream events in, server-sent `chat.completion.chunk` events out.

use super::error::render_stream_error;
use super::render::{Thinking, WireUsage, finish_reason};
use crate::chat::{BlockStart, Delta as Part, StreamEvent, Usage};
use crate::error::ApiError;
use crate::surface::Head;
use http::StatusCode;
use serde::Serialize;
use std::collections::BTreeMap;

#[derive(Serialize)]
struct Chunk<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: &'a [Choice<'a>],
    /// Absent unless the client asked; then null on every chunk but the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Option<WireUsage>>,
}

#[derive(Serialize)]
struct Choice<'a> {
    index: u32,
    delta: Delta<'a>,
    logprobs: Option<()>,
    finish_reason: Option<&'static str>,
}

#[derive(Default, Serialize)]
struct Delta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking_blocks: Option<[Thinking<'a>; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_calls: Option<[ToolCall<'a>; 1]>,
}

#[derive(Serialize)]
struct ToolCall<'a> {
    index: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    r#type: Option<&'static str>,
    function: Function<'a>,
}

#[derive(Serialize)]
struct Function<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    arguments: &'a str,
}

/// What is remembered of a block until it stops.
enum Open {
    Tool { call: u32, has_input: bool },
    Thought { text: String, signature: String },
}

/// Renders one stream.
pub struct StreamRenderer {
    head: Head,
    include_usage: bool,
    calls: u32,
    open: BTreeMap<u32, Open>,
    usage: Option<Usage>,
    finished: bool,
    failed: bool,
}

impl StreamRenderer {
    /// A renderer for one answer; `include_usage` as the client asked.
    #[must_use]
    pub fn new(head: Head, include_usage: bool) -> Self {
        Self { head, include_usage, calls: 0, open: BTreeMap::new(), usage: None, finished: false, failed: false }
    }

    /// Tokens used, once the upstream has said it.
    #[must_use]
    pub fn usage(&self) -> Option<&Usage> {
        self.usage.as_ref()
    }

    /// Appends what `event` says to `out`.
    pub fn event(&mut self, event: &StreamEvent, out: &mut Vec<u8>) {
        if self.failed {
            return;
        }
        match event {
            StreamEvent::Start { .. } => {
                self.delta(Delta { role: Some("assistant"), content: Some(""), ..Delta::default() }, out);
            }
            StreamEvent::BlockStart { index, block } => self.block_start(*index, block, out),
            StreamEvent::BlockDelta { index, delta } => self.block_delta(*index, delta, out),
            StreamEvent::BlockStop { index } => self.block_stop(*index, out),
            StreamEvent::Finish { reason, stop_sequence: _ } => {
                self.finished = true;
                self.choice(Delta::default(), Some(finish_reason(*reason)), out);
            }
            StreamEvent::Usage(usage) => self.usage = Some(*usage),
            StreamEvent::Error(error) => {
                self.failed = true;
                let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::BAD_GATEWAY);
                out.extend_from_slice(&render_stream_error(&ApiError::upstream(status, error.to_string())));
            }
        }
    }

    /// Ends the stream: the usage chunk when it was asked for, and the done marker; nothing when the answer is not complete.
    pub fn end(&mut self, out: &mut Vec<u8>) {
        if self.failed || !self.finished {
            return;
        }
        if self.include_usage
            && let Some(usage) = self.usage
        {
            self.chunk(&[], Some(Some(WireUsage::from(&usage))), out);
        }
        out.extend_from_slice(b"data: [DONE]\n\n");
    }

    fn block_start(&mut self, index: u32, block: &BlockStart, out: &mut Vec<u8>) {
        match block {
            BlockStart::Text => {}
            BlockStart::Reasoning => {
                self.open.insert(index, Open::Thought { text: String::new(), signature: String::new() });
            }
            BlockStart::ToolUse { id, name } => {
                let call = self.calls;
                self.calls += 1;
                self.open.insert(index, Open::Tool { call, has_input: false });
                let function = Function { name: Some(name), arguments: "" };
                self.tool_call(ToolCall { index: call, id: Some(id), r#type: Some("function"), function }, out);
            }
        }
    }

    fn block_delta(&mut self, index: u32, delta: &Part, out: &mut Vec<u8>) {
        match delta {
            Part::Text(text) => self.delta(Delta { content: Some(text), ..Delta::default() }, out),
            Part::Reasoning(thought) => {
                if let Some(Open::Thought { text, .. }) = self.open.get_mut(&index) {
                    text.push_str(thought);
                }
                self.delta(Delta { reasoning_content: Some(thought), ..Delta::default() }, out);
            }
            Part::Signature(part) => {
                if let Some(Open::Thought { signature, .. }) = self.open.get_mut(&index) {
                    signature.push_str(part);
                }
            }
            Part::RedactedReasoning(data) => {
                self.delta(Delta { thinking_blocks: Some([Thinking::Redacted { data }]), ..Delta::default() }, out);
            }
            Part::ToolInput(arguments) => {
                if let Some(Open::Tool { call, has_input }) = self.open.get_mut(&index) {
                    *has_input |= !arguments.is_empty();
                    let call = *call;
                    self.tool_arguments(call, arguments, out);
                }
            }
        }
    }

    fn block_stop(&mut self, index: u32, out: &mut Vec<u8>) {
        match self.open.remove(&index) {
            // A call without arguments: clients parse the text, and an empty one is not JSON.
            Some(Open::Tool { call, has_input: false }) => self.tool_arguments(call, "{}", out),
            // The whole thought once more, with its proof, as the client must send it back.
            Some(Open::Thought { text, signature }) if !signature.is_empty() => {
                let block = Thinking::Signed { thinking: &text, signature: &signature };
                self.delta(Delta { thinking_blocks: Some([block]), ..Delta::default() }, out);
            }
            _ => {}
        }
    }

    fn tool_arguments(&self, call: u32, arguments: &str, out: &mut Vec<u8>) {
        let function = Function { name: None, arguments };
        self.tool_call(ToolCall { index: call, id: None, r#type: None, function }, out);
    }

    fn tool_call(&self, call: ToolCall<'_>, out: &mut Vec<u8>) {
        self.delta(Delta { tool_calls: Some([call]), ..Delta::default() }, out);
    }

    fn delta(&self, delta: Delta<'_>, out: &mut Vec<u8>) {
        self.choice(delta, None, out);
    }

    fn choice(&self, delta: Delta<'_>, finish_reason: Option<&'static str>, out: &mut Vec<u8>) {
        let choice = Choice { index: 0, delta, logprobs: None, finish_reason };
        self.chunk(&[choice], self.include_usage.then_some(None), out);
    }

    fn chunk(&self, choices: &[Choice<'_>], usage: Option<Option<WireUsage>>, out: &mut Vec<u8>) {
        let Head { id, created, model, began: _ } = &self.head;
        let chunk = Chunk { id, object: "chat.completion.chunk", created: *created, model, choices, usage };
        out.extend_from_slice(b"data: ");
        // Writing strings and numbers to memory cannot fail.
        let _ = serde_json::to_writer(&mut *out, &chunk);
        out.extend_from_slice(b"\n\n");
    }
}
