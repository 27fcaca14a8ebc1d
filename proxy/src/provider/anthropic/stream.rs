//! `Decoder`: bytes of a Messages stream in, stream events out.

use super::error::{decode_error, malformed};
use super::response::finish_reason;
use crate::chat::{BlockStart, Delta, ErrorKind, StreamEvent, UpstreamError};
use crate::provider::answer::Answer;
use crate::provider::names::ToolNames;
use crate::surface::anthropic::{SseEvent, SseReader, WireUsage};
use serde::Deserialize;

/// Decodes one stream.
#[derive(Debug)]
pub struct Decoder {
    reader: SseReader,
    answer: Answer,
    usage: WireUsage,
    /// Why the answer ended, once that was said.
    finish: Option<StreamEvent>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Running,
    Complete,
    Failed,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Event {
    MessageStart {
        message: Started,
    },
    ContentBlockStart {
        index: u32,
        content_block: Block,
    },
    ContentBlockDelta {
        index: u32,
        delta: Part,
    },
    ContentBlockStop {
        index: u32,
    },
    MessageDelta {
        delta: Ended,
        #[serde(default)]
        usage: Option<WireUsage>,
    },
    MessageStop,
    Error {
        error: Failure,
    },
    /// `ping`, and kinds yet unknown.
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Started {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    usage: Option<WireUsage>,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Block {
    Text {
        #[serde(default)]
        text: String,
    },
    Thinking {
        #[serde(default)]
        thinking: String,
    },
    RedactedThinking {
        data: String,
    },
    ToolUse {
        id: String,
        name: String,
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Part {
    TextDelta {
        text: String,
    },
    ThinkingDelta {
        thinking: String,
    },
    SignatureDelta {
        signature: String,
    },
    InputJsonDelta {
        partial_json: String,
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Ended {
    #[serde(default)]
    stop_reason: Option<String>,
    #[serde(default)]
    stop_sequence: Option<String>,
}

#[derive(Deserialize)]
struct Failure {
    #[serde(default)]
    r#type: String,
    #[serde(default)]
    message: String,
}

impl Decoder {
    /// A decoder for the answer to one request, whose `names` these are.
    #[must_use]
    pub fn new(names: ToolNames) -> Self {
        Self {
            reader: SseReader::default(),
            answer: Answer::new(names),
            usage: WireUsage::default(),
            finish: None,
            state: State::Running,
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
        if self.state != State::Running {
            return out;
        }
        self.reader.push(bytes);
        while self.state == State::Running {
            let step = match self.reader.next_event() {
                Ok(None) => break,
                Ok(Some(event)) => self.event(&event, &mut out),
                Err(what) => Err(malformed(what)),
            };
            if let Err(error) = step {
                self.state = State::Failed;
                out.push(StreamEvent::Error(error));
            }
        }
        out
    }

    /// The upstream has ended: nothing when everything had come, else the error that it had not.
    pub fn end(&mut self) -> Option<StreamEvent> {
        if self.state != State::Running {
            return None;
        }
        self.state = State::Failed;
        let within = if self.reader.has_rest() { ", in the middle of an event" } else { "" };
        Some(StreamEvent::Error(UpstreamError {
            kind: ErrorKind::Truncated,
            status: 502,
            name: "truncated".to_owned(),
            message: format!("the stream ended before the answer was complete{within}"),
        }))
    }

    fn event(&mut self, event: &SseEvent, out: &mut Vec<StreamEvent>) -> Result<(), UpstreamError> {
        if event.data.is_empty() {
            return Ok(());
        }
        let said = serde_json::from_str(&event.data)
            .map_err(|e| malformed(format!("an event is not of a Messages stream: {e}")))?;
        match said {
            Event::MessageStart { message: Started { id, model, usage } } => {
                self.usage.update(usage.unwrap_or_default());
                out.push(StreamEvent::Start { id, model });
            }
            Event::ContentBlockStart { index, content_block } => self.block_start(index, content_block, out),
            Event::ContentBlockDelta { index, delta } => {
                let delta = match delta {
                    Part::TextDelta { text } => Delta::Text(text),
                    Part::ThinkingDelta { thinking } => Delta::Reasoning(thinking),
                    Part::SignatureDelta { signature } => Delta::Signature(signature),
                    Part::InputJsonDelta { partial_json } => Delta::ToolInput(partial_json),
                    Part::Other => return Ok(()),
                };
                self.answer.event(StreamEvent::BlockDelta { index, delta }, out);
            }
            Event::ContentBlockStop { index } => self.answer.event(StreamEvent::BlockStop { index }, out),
            Event::MessageDelta { delta: Ended { stop_reason, stop_sequence }, usage } => {
                self.usage.update(usage.unwrap_or_default());
                if let Some(reason) = stop_reason {
                    let reason = finish_reason(Some(&reason));
                    self.finish = Some(StreamEvent::Finish { reason, stop_sequence });
                }
            }
            Event::MessageStop => {
                let finish = self.finish.take().ok_or_else(|| malformed("the answer stopped without a reason"))?;
                self.answer.event(finish, out);
                out.extend(self.usage.said().map(StreamEvent::Usage));
                self.state = State::Complete;
            }
            Event::Error { error: Failure { r#type, message } } => return Err(decode_error(&r#type, &message)),
            Event::Other => {}
        }
        Ok(())
    }

    fn block_start(&mut self, index: u32, block: Block, out: &mut Vec<StreamEvent>) {
        let (block, first) = match block {
            Block::Text { text } => (BlockStart::Text, (!text.is_empty()).then_some(Delta::Text(text))),
            Block::Thinking { thinking } => {
                (BlockStart::Reasoning, (!thinking.is_empty()).then_some(Delta::Reasoning(thinking)))
            }
            Block::RedactedThinking { data } => (BlockStart::Reasoning, Some(Delta::RedactedReasoning(data))),
            Block::ToolUse { id, name } => (BlockStart::ToolUse { id, name }, None),
            Block::Other => return,
        };
        self.answer.event(StreamEvent::BlockStart { index, block }, out);
        if let Some(delta) = first {
            self.answer.event(StreamEvent::BlockDelta { index, delta }, out);
        }
    }
}
