//! `Decoder`: bytes of a ConverseStream answer in, stream events out.

use super::error::{decode_exception, malformed};
use super::frame::{Frame, Frames};
use super::response::{WireUsage, finish_reason};
use crate::chat::{BlockStart, Delta, ErrorKind, FinishReason, StreamEvent, UpstreamError, Usage};
use crate::provider::names::ToolNames;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;

/// Decodes one stream.
#[derive(Debug)]
pub struct Decoder {
    frames: Frames,
    names: ToolNames,
    open: BTreeMap<u32, Kind>,
    answer: Answer,
    calls: bool,
    state: State,
}

/// How far the stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing has come.
    Waiting,
    /// The answer has begun.
    Started,
    /// The answer is complete; the usage is not in yet.
    Finished,
    /// Everything has come.
    Complete,
    /// It went wrong, and that was said.
    Failed,
}

/// What a block is upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Reasoning,
    Tool,
    /// The tool that takes the JSON answer; shown as text.
    Answer {
        has_input: bool,
    },
    /// A kind or a repetition that is not shown.
    Hidden,
}

/// A JSON answer that comes as a tool call.
#[derive(Debug, Default)]
struct Answer {
    seen: bool,
    /// Text beside it: shown only when no such call comes.
    held: Vec<StreamEvent>,
}

impl Decoder {
    /// A decoder for the answer to one request, whose `names` these are.
    #[must_use]
    pub fn new(names: ToolNames) -> Self {
        Self {
            frames: Frames::default(),
            names,
            open: BTreeMap::new(),
            answer: Answer::default(),
            calls: false,
            state: State::Waiting,
        }
    }

    /// Whether everything has come: the stream may end now.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.state == State::Complete
    }

    /// Takes the next bytes; gives what they say. After an error nothing more is said.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<StreamEvent> {
        let mut out = Vec::new();
        if matches!(self.state, State::Complete | State::Failed) {
            return out;
        }
        self.frames.push(bytes);
        loop {
            let step = match self.frames.next_frame() {
                Ok(None) => break,
                Ok(Some(Frame::Event { kind, payload })) => self.event(&kind, &payload, &mut out),
                Ok(Some(Frame::Exception { kind, payload })) => Err(decode_exception(&kind, &payload)),
                Ok(Some(Frame::Error { code, message })) => {
                    Err(UpstreamError { kind: ErrorKind::Internal, status: 500, name: code, message })
                }
                Err(what) => Err(malformed(what)),
            };
            if let Err(error) = step {
                self.fail(error, &mut out);
            }
            if matches!(self.state, State::Complete | State::Failed) {
                break;
            }
        }
        out
    }

    /// The upstream has ended: nothing when everything had come, else the error that it had not.
    pub fn end(&mut self) -> Option<StreamEvent> {
        if matches!(self.state, State::Complete | State::Failed) {
            return None;
        }
        let within = if self.frames.has_rest() { ", in the middle of a frame" } else { "" };
        let message = format!("the stream ended before the answer was complete{within}");
        self.state = State::Failed;
        Some(StreamEvent::Error(UpstreamError {
            kind: ErrorKind::Truncated,
            status: 502,
            name: "TruncatedStream".to_owned(),
            message,
        }))
    }

    fn fail(&mut self, error: UpstreamError, out: &mut Vec<StreamEvent>) {
        self.state = State::Failed;
        out.push(StreamEvent::Error(error));
    }

    fn event(&mut self, kind: &str, payload: &[u8], out: &mut Vec<StreamEvent>) -> Result<(), UpstreamError> {
        if self.state == State::Waiting {
            self.state = State::Started;
            out.push(StreamEvent::Start { id: None, model: None });
        }
        match kind {
            "contentBlockStart" => self.block_start(read(payload)?, out),
            "contentBlockDelta" => self.block_delta(read(payload)?, out),
            "contentBlockStop" => self.block_stop(read::<BlockStopped>(payload)?.content_block_index, out),
            "messageStop" => self.finish(&read::<Stopped>(payload)?, out)?,
            "metadata" => {
                if self.state != State::Finished {
                    return Err(malformed("the usage came before the end of the answer"));
                }
                out.extend(read::<Metadata>(payload)?.usage.map(|usage| StreamEvent::Usage(Usage::from(usage))));
                self.state = State::Complete;
            }
            // messageStart says only the role. Kinds yet unknown say nothing that can be shown.
            _ => {}
        }
        Ok(())
    }

    fn block_start(&mut self, started: BlockStarted, out: &mut Vec<StreamEvent>) {
        let BlockStarted { content_block_index: index, start } = started;
        let Some(tool) = start.and_then(|start| start.tool_use) else { return };
        let kind = if !self.names.is_answer(&tool.name) {
            self.calls = true;
            let block = BlockStart::ToolUse { id: tool.tool_use_id, name: self.names.client(&tool.name) };
            out.push(StreamEvent::BlockStart { index, block });
            Kind::Tool
        } else if std::mem::replace(&mut self.answer.seen, true) {
            Kind::Hidden
        } else {
            out.push(StreamEvent::BlockStart { index, block: BlockStart::Text });
            Kind::Answer { has_input: false }
        };
        self.open.insert(index, kind);
    }

    fn block_delta(&mut self, delta: BlockDelta, out: &mut Vec<StreamEvent>) {
        let BlockDelta { content_block_index: index, delta } = delta;
        let WireDelta { text, tool_use, reasoning_content } = delta;
        if let Some(text) = text {
            self.said(index, Kind::Text, BlockStart::Text, Delta::Text(text), out);
        }
        if let Some(ReasoningDelta { text, signature, redacted_content }) = reasoning_content {
            let parts = [
                text.map(Delta::Reasoning),
                signature.map(Delta::Signature),
                redacted_content.map(Delta::RedactedReasoning),
            ];
            for part in parts.into_iter().flatten() {
                self.said(index, Kind::Reasoning, BlockStart::Reasoning, part, out);
            }
        }
        if let Some(ToolDelta { input }) = tool_use {
            match self.open.get_mut(&index) {
                Some(Kind::Tool) => out.push(StreamEvent::BlockDelta { index, delta: Delta::ToolInput(input) }),
                Some(Kind::Answer { has_input }) => {
                    *has_input |= !input.is_empty();
                    out.push(StreamEvent::BlockDelta { index, delta: Delta::Text(input) });
                }
                _ => {}
            }
        }
    }

    /// Text and thoughts begin without saying so.
    fn said(&mut self, index: u32, kind: Kind, block: BlockStart, delta: Delta, out: &mut Vec<StreamEvent>) {
        let begins = self.open.insert(index, kind) != Some(kind);
        let out = if kind == Kind::Text && self.names.answer.is_some() { &mut self.answer.held } else { out };
        if begins {
            out.push(StreamEvent::BlockStart { index, block });
        }
        out.push(StreamEvent::BlockDelta { index, delta });
    }

    fn block_stop(&mut self, index: u32, out: &mut Vec<StreamEvent>) {
        match self.open.remove(&index) {
            Some(Kind::Text) if self.names.answer.is_some() => self.answer.held.push(StreamEvent::BlockStop { index }),
            Some(Kind::Answer { has_input }) => {
                if !has_input {
                    out.push(StreamEvent::BlockDelta { index, delta: Delta::Text("{}".to_owned()) });
                }
                out.push(StreamEvent::BlockStop { index });
            }
            Some(Kind::Text | Kind::Reasoning | Kind::Tool) => out.push(StreamEvent::BlockStop { index }),
            Some(Kind::Hidden) | None => {}
        }
    }

    fn finish(&mut self, stopped: &Stopped, out: &mut Vec<StreamEvent>) -> Result<(), UpstreamError> {
        let mut reason = finish_reason(&stopped.stop_reason)?;
        let held = std::mem::take(&mut self.answer.held);
        if !self.answer.seen {
            out.extend(held);
        } else if reason == FinishReason::ToolUse && !self.calls {
            reason = FinishReason::Stop;
        }
        out.push(StreamEvent::Finish { reason, stop_sequence: None });
        self.state = State::Finished;
        Ok(())
    }
}

fn read<T: DeserializeOwned>(payload: &[u8]) -> Result<T, UpstreamError> {
    serde_json::from_slice(payload).map_err(|e| malformed(format!("an event is not ConverseStream's: {e}")))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BlockStarted {
    content_block_index: u32,
    #[serde(default)]
    start: Option<Start>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Start {
    #[serde(default)]
    tool_use: Option<ToolStart>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ToolStart {
    tool_use_id: String,
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BlockDelta {
    content_block_index: u32,
    delta: WireDelta,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireDelta {
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    tool_use: Option<ToolDelta>,
    #[serde(default)]
    reasoning_content: Option<ReasoningDelta>,
}

#[derive(Deserialize)]
struct ToolDelta {
    input: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReasoningDelta {
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    signature: Option<String>,
    #[serde(default)]
    redacted_content: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BlockStopped {
    content_block_index: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stopped {
    stop_reason: String,
}

#[derive(Deserialize)]
struct Metadata {
    #[serde(default)]
    usage: Option<WireUsage>,
}
