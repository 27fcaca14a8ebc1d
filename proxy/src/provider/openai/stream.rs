//! `Decoder`: bytes of a chat completions stream in, stream events out.

use super::malformed;
use super::response::finish_reason;
use crate::chat::{BlockStart, Delta, ErrorKind, StreamEvent, UpstreamError};
use crate::provider::names::ToolNames;
use crate::surface::anthropic::SseReader;
use crate::surface::openai::usage_of;
use serde::Deserialize;

/// Decodes one stream.
#[derive(Debug)]
pub struct Decoder {
    reader: SseReader,
    names: ToolNames,
    state: State,
    /// The block that has begun and not ended.
    open: Option<Open>,
    next: u32,
    /// Calls seen: the position that the server gives each, and its id.
    call: Option<(u64, Option<String>)>,
    calls: u32,
    refused: bool,
    reason: Option<String>,
    usage: Option<StreamEvent>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting,
    Running,
    Complete,
    Failed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    Text,
    Reasoning,
    Tool,
}

#[derive(Deserialize)]
struct Chunk {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    choices: Option<Vec<Choice>>,
    #[serde(default)]
    error: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    delta: Option<Said>,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Said {
    #[serde(default)]
    content: Option<String>,
    #[serde(default)]
    refusal: Option<String>,
    #[serde(default, alias = "reasoning")]
    reasoning_content: Option<String>,
    #[serde(default)]
    tool_calls: Option<Vec<Call>>,
}

#[derive(Deserialize)]
struct Call {
    #[serde(default)]
    index: Option<u64>,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    function: Option<Function>,
}

#[derive(Default, Deserialize)]
struct Function {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    arguments: Option<String>,
}

impl Decoder {
    /// A decoder for the answer to one request, whose `names` these are.
    #[must_use]
    pub fn new(names: ToolNames) -> Self {
        Self {
            reader: SseReader::default(),
            names,
            state: State::Waiting,
            open: None,
            next: 0,
            call: None,
            calls: 0,
            refused: false,
            reason: None,
            usage: None,
        }
    }

    /// Whether everything has come: the stream may end now.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.state == State::Complete
    }

    fn is_over(&self) -> bool {
        matches!(self.state, State::Complete | State::Failed)
    }

    /// Takes the next bytes; gives what they say. After an error nothing more is said.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<StreamEvent> {
        let mut out = Vec::new();
        if self.is_over() {
            return out;
        }
        self.reader.push(bytes);
        while !self.is_over() {
            let step = match self.reader.next_event() {
                Ok(None) => break,
                Ok(Some(event)) => self.event(&event.data, &mut out),
                Err(what) => Err(malformed(what)),
            };
            if let Err(error) = step {
                self.state = State::Failed;
                out.push(StreamEvent::Error(error));
            }
        }
        out
    }

    /// The upstream has ended: nothing when everything had come, else the error that it had not. Some servers close a
    /// complete answer without the done marker, which then leaves nothing to be said but the end.
    pub fn end(&mut self) -> Vec<StreamEvent> {
        let mut out = Vec::new();
        if self.is_over() {
            return out;
        }
        if let Some(event) = self.reader.take_rest()
            && let Err(error) = self.event(&event.data, &mut out)
        {
            self.state = State::Failed;
            out.push(StreamEvent::Error(error));
            return out;
        }
        if self.state != State::Complete && self.reason.is_some() {
            self.complete(&mut out);
        }
        if self.state != State::Complete {
            self.state = State::Failed;
            out.push(StreamEvent::Error(UpstreamError {
                kind: ErrorKind::Truncated,
                status: 502,
                name: "truncated".to_owned(),
                message: "the stream ended before the answer was complete".to_owned(),
            }));
        }
        out
    }

    fn event(&mut self, data: &str, out: &mut Vec<StreamEvent>) -> Result<(), UpstreamError> {
        match data.trim() {
            "" => return Ok(()),
            "[DONE]" if self.reason.is_some() => {
                self.complete(out);
                return Ok(());
            }
            "[DONE]" => return Err(malformed("the stream is done without a finish reason")),
            _ => {}
        }
        let Chunk { id, model, choices, error } = serde_json::from_str(data)
            .map_err(|e| malformed(format!("an event is not of a chat completions stream: {e}")))?;
        if let Some(error) = error.filter(|error| !error.is_null()) {
            let text = |name: &str| error.get(name).and_then(|v| v.as_str()).map(str::to_owned);
            let message = text("message").or_else(|| error.as_str().map(str::to_owned)).unwrap_or_default();
            let name = text("type").or_else(|| text("code")).unwrap_or_else(|| "error".to_owned());
            return Err(UpstreamError { kind: ErrorKind::Model, status: 502, name, message });
        }
        if self.state == State::Waiting {
            self.state = State::Running;
            out.push(StreamEvent::Start { id, model });
        }
        if let Some(usage) = usage_of(data.as_bytes()) {
            self.usage = Some(StreamEvent::Usage(usage));
        }
        for Choice { delta, finish_reason } in choices.unwrap_or_default().into_iter().take(1) {
            if let Some(said) = delta {
                self.said(said, out)?;
            }
            self.reason = finish_reason.or(self.reason.take());
        }
        Ok(())
    }

    fn said(&mut self, said: Said, out: &mut Vec<StreamEvent>) -> Result<(), UpstreamError> {
        let Said { content, refusal, reasoning_content, tool_calls } = said;
        let full = |text: &String| !text.is_empty();
        if let Some(text) = reasoning_content.filter(full) {
            self.open(Open::Reasoning, BlockStart::Reasoning, out);
            self.delta(Delta::Reasoning(text), out);
        }
        let refusal = refusal.filter(full);
        self.refused |= refusal.is_some();
        for text in [content.filter(full), refusal].into_iter().flatten() {
            self.open(Open::Text, BlockStart::Text, out);
            self.delta(Delta::Text(text), out);
        }
        for call in tool_calls.unwrap_or_default() {
            self.called(call, out)?;
        }
        Ok(())
    }

    /// Part of a call. Some servers give every call the position 0 and tell them apart by id only.
    fn called(&mut self, call: Call, out: &mut Vec<StreamEvent>) -> Result<(), UpstreamError> {
        let Call { index, id, function } = call;
        let Function { name, arguments } = function.unwrap_or_default();
        let id = id.filter(|id| !id.is_empty());
        let name = name.filter(|name| !name.is_empty());
        let same = self.call.as_ref().is_some_and(|(at, known)| {
            index.is_none_or(|index| index == *at) && id.as_ref().is_none_or(|id| known.as_ref() == Some(id))
        });
        if !(same && self.open == Some(Open::Tool)) {
            let Some(name) = name else {
                return Err(malformed("a part of a tool call belongs to no call that is open"));
            };
            let at = index.unwrap_or_else(|| self.calls.into());
            let shown = id.clone().unwrap_or_else(|| format!("call_{}", self.calls));
            self.calls += 1;
            self.call = Some((at, id));
            self.close(out);
            self.open(Open::Tool, BlockStart::ToolUse { id: shown, name: self.names.client(&name) }, out);
        }
        if let Some(part) = arguments.filter(|part| !part.is_empty()) {
            self.delta(Delta::ToolInput(part), out);
        }
        Ok(())
    }

    fn open(&mut self, kind: Open, block: BlockStart, out: &mut Vec<StreamEvent>) {
        if self.open == Some(kind) {
            return;
        }
        self.close(out);
        self.open = Some(kind);
        out.push(StreamEvent::BlockStart { index: self.next, block });
    }

    fn delta(&self, delta: Delta, out: &mut Vec<StreamEvent>) {
        out.push(StreamEvent::BlockDelta { index: self.next, delta });
    }

    fn close(&mut self, out: &mut Vec<StreamEvent>) {
        if self.open.take().is_some() {
            out.push(StreamEvent::BlockStop { index: self.next });
            self.next += 1;
        }
    }

    fn complete(&mut self, out: &mut Vec<StreamEvent>) {
        self.close(out);
        let reason = finish_reason(self.reason.as_deref(), self.calls > 0, self.refused);
        out.push(StreamEvent::Finish { reason, stop_sequence: None });
        out.extend(self.usage.take());
        self.state = State::Complete;
    }
}
