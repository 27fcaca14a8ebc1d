//! A JSON answer that comes as the input of a tool in; the text that the client wants out, whole or in a stream.

use super::ToolNames;
use crate::chat::{Block, BlockStart, ChatResponse, Delta, FinishReason, StreamEvent};
use std::collections::BTreeMap;

/// Turns the tool that takes the answer into text, and gives every other tool the client's own name.
#[derive(Debug)]
pub(super) struct Answer {
    names: ToolNames,
    open: BTreeMap<u32, Kind>,
    /// Text beside the answer: shown only when no answer comes.
    held: Vec<StreamEvent>,
    seen: bool,
    calls: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Answer {
        has_input: bool,
    },
    /// A second answer: not shown.
    Hidden,
}

impl Answer {
    pub(super) const fn new(names: ToolNames) -> Self {
        Self { names, open: BTreeMap::new(), held: Vec::new(), seen: false, calls: false }
    }

    /// A complete answer as the client wants it.
    pub(super) fn whole(mut self, mut response: ChatResponse) -> ChatResponse {
        let mut answer = None;
        let names = &self.names;
        response.content.retain_mut(|block| match block {
            Block::ToolUse { name, input, .. } if names.is_answer(name) => {
                answer.get_or_insert_with(|| input.get().to_owned());
                false
            }
            Block::ToolUse { name, .. } => {
                *name = names.client(name);
                self.calls = true;
                true
            }
            _ => true,
        });
        if let Some(answer) = answer {
            // What the model said around its answer is not part of the JSON that the client wants.
            response.content.retain(|block| !matches!(block, Block::Text(_)));
            response.content.push(Block::Text(answer));
            self.seen = true;
        }
        response.finish = self.finish(response.finish);
        response
    }

    /// One event of a stream as the client wants it.
    pub(super) fn event(&mut self, event: StreamEvent, out: &mut Vec<StreamEvent>) {
        match event {
            StreamEvent::BlockStart { index, block: BlockStart::ToolUse { id, name } } => {
                if !self.names.is_answer(&name) {
                    self.calls = true;
                    let block = BlockStart::ToolUse { id, name: self.names.client(&name) };
                    out.push(StreamEvent::BlockStart { index, block });
                } else if std::mem::replace(&mut self.seen, true) {
                    self.open.insert(index, Kind::Hidden);
                } else {
                    self.open.insert(index, Kind::Answer { has_input: false });
                    out.push(StreamEvent::BlockStart { index, block: BlockStart::Text });
                }
            }
            StreamEvent::BlockStart { index, block: BlockStart::Text } if self.names.answer.is_some() => {
                self.open.insert(index, Kind::Text);
                self.held.push(event);
            }
            StreamEvent::BlockDelta { index, delta } => match (self.open.get_mut(&index), delta) {
                (Some(Kind::Answer { has_input }), Delta::ToolInput(part)) => {
                    *has_input |= !part.is_empty();
                    out.push(StreamEvent::BlockDelta { index, delta: Delta::Text(part) });
                }
                (Some(Kind::Hidden), _) => {}
                (Some(Kind::Text), delta) => self.held.push(StreamEvent::BlockDelta { index, delta }),
                (_, delta) => out.push(StreamEvent::BlockDelta { index, delta }),
            },
            StreamEvent::BlockStop { index } => match self.open.remove(&index) {
                Some(Kind::Hidden) => {}
                Some(Kind::Text) => self.held.push(event),
                Some(Kind::Answer { has_input: false }) => {
                    out.push(StreamEvent::BlockDelta { index, delta: Delta::Text("{}".to_owned()) });
                    out.push(event);
                }
                Some(Kind::Answer { has_input: true }) | None => out.push(event),
            },
            StreamEvent::Finish { reason, stop_sequence } => {
                let held = std::mem::take(&mut self.held);
                if !self.seen {
                    out.extend(held);
                }
                out.push(StreamEvent::Finish { reason: self.finish(reason), stop_sequence });
            }
            other => out.push(other),
        }
    }

    const fn finish(&self, reason: FinishReason) -> FinishReason {
        match reason {
            FinishReason::ToolUse if self.seen && !self.calls => FinishReason::Stop,
            other => other,
        }
    }
}
