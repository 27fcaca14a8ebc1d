//! Pieces of an answer in plain text in, stream events out; and a whole answer as the events of a stream.

use crate::chat::{Block, BlockStart, ChatResponse, Delta, ErrorKind, FinishReason, StreamEvent, UpstreamError, Usage};

/// What one part of a stream says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Piece {
    pub text: String,
    /// The answer is complete.
    pub finish: Option<FinishReason>,
    /// Tokens used, as far as this part says it.
    pub usage: Option<Usage>,
}

/// A stream of plain text.
#[derive(Clone, Debug, Default)]
pub struct TextStream {
    started: bool,
    open: bool,
    finish: Option<FinishReason>,
    usage: Option<Usage>,
    complete: bool,
}

impl TextStream {
    /// Takes the next part.
    pub fn push(&mut self, piece: Piece, out: &mut Vec<StreamEvent>) {
        let Piece { text, finish, usage } = piece;
        if !std::mem::replace(&mut self.started, true) {
            out.push(StreamEvent::Start { id: None, model: None });
        }
        if !text.is_empty() {
            if !std::mem::replace(&mut self.open, true) {
                out.push(StreamEvent::BlockStart { index: 0, block: BlockStart::Text });
            }
            out.push(StreamEvent::BlockDelta { index: 0, delta: Delta::Text(text) });
        }
        self.usage = usage.or(self.usage);
        self.finish = finish.or(self.finish);
    }

    /// Whether the model has said that it is done.
    #[must_use]
    pub const fn is_finished(&self) -> bool {
        self.finish.is_some()
    }

    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.complete
    }

    /// Nothing more comes: the last events, or the error that the answer is not complete.
    pub fn end(&mut self, out: &mut Vec<StreamEvent>) {
        if self.complete {
            return;
        }
        let Some(reason) = self.finish else {
            out.push(StreamEvent::Error(truncated()));
            return;
        };
        if self.open {
            out.push(StreamEvent::BlockStop { index: 0 });
        }
        out.push(StreamEvent::Finish { reason, stop_sequence: None });
        out.extend(self.usage.map(StreamEvent::Usage));
        self.complete = true;
    }
}

/// The stream ended too early.
#[must_use]
pub fn truncated() -> UpstreamError {
    UpstreamError {
        kind: ErrorKind::Truncated,
        status: 502,
        name: "truncated".to_owned(),
        message: "the stream ended before the answer was complete".to_owned(),
    }
}

/// An answer in plain text.
#[must_use]
pub fn whole(text: String, finish: FinishReason, usage: Option<Usage>) -> ChatResponse {
    let content = if text.is_empty() { Vec::new() } else { vec![Block::Text(text)] };
    ChatResponse { id: None, model: None, content, finish, stop_sequence: None, usage }
}

/// A whole answer in plain text as the parts of a stream.
#[must_use]
pub fn events(response: ChatResponse) -> Vec<StreamEvent> {
    let ChatResponse { content, finish, usage, .. } = response;
    let text = content.into_iter().filter_map(|block| match block {
        Block::Text(text) => Some(text),
        _ => None,
    });
    let (mut stream, mut out) = (TextStream::default(), Vec::new());
    stream.push(Piece { text: text.collect(), finish: Some(finish), usage }, &mut out);
    stream.end(&mut out);
    out
}
