//! `StreamRenderer`: stream events in, the dialect's named and numbered server-sent events out.

use super::object::{Echo, Item, Object, Part, REDACTED, item_id, object, status};
use crate::chat::{BlockStart, Delta, FinishReason, StreamEvent, Usage};
use crate::error::ApiError;
use crate::surface::Head;
use bytes::Bytes;
use http::StatusCode;
use serde::Serialize;
use std::collections::BTreeMap;

#[derive(Serialize)]
struct Event<T> {
    r#type: &'static str,
    sequence_number: u64,
    #[serde(flatten)]
    body: T,
}

#[derive(Serialize)]
struct Whole<'a> {
    response: Object<'a>,
}

#[derive(Serialize)]
struct OfItem<'a> {
    output_index: usize,
    item: &'a Item,
}

/// What happens inside an item; which of the fields are there depends on the event.
#[derive(Default, Serialize)]
struct Inside<'a> {
    item_id: &'a str,
    output_index: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_index: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    summary_index: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delta: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    arguments: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    part: Option<Part>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<[(); 0]>,
}

#[derive(Serialize)]
struct Broken<'a> {
    code: &'a str,
    message: &'a str,
    param: Option<&'a str>,
}

/// An item that is being said.
struct Open {
    /// Its place in the output, once it has one: a text or thought that never comes has none.
    at: Option<usize>,
    id: String,
    kind: Kind,
    said: String,
    /// Proof of origin of a thought.
    proof: String,
}

enum Kind {
    Text,
    Thought,
    Call { id: String, name: String },
}

/// Renders one stream.
pub struct StreamRenderer {
    head: Head,
    echo: Echo,
    number: u64,
    open: BTreeMap<u32, Open>,
    /// Items by their place; one that is not complete is none.
    output: Vec<Option<Item>>,
    finish: Option<FinishReason>,
    usage: Option<Usage>,
    failed: bool,
}

impl StreamRenderer {
    /// A renderer for one answer.
    #[must_use]
    pub fn new(head: Head, echo: Echo) -> Self {
        let (open, output) = (BTreeMap::new(), Vec::new());
        Self { head, echo, number: 0, open, output, finish: None, usage: None, failed: false }
    }

    /// Tokens used, once the upstream has said it.
    #[must_use]
    pub const fn usage(&self) -> Option<&Usage> {
        self.usage.as_ref()
    }

    /// How many events were rendered.
    #[must_use]
    pub const fn events(&self) -> u64 {
        self.number
    }

    /// Appends what `event` says to `out`.
    pub fn event(&mut self, event: &StreamEvent, out: &mut Vec<u8>) {
        if self.failed {
            return;
        }
        match event {
            StreamEvent::Start { .. } => {
                self.whole("response.created", out);
                self.whole("response.in_progress", out);
            }
            StreamEvent::BlockStart { index, block } => self.block_start(*index, block, out),
            StreamEvent::BlockDelta { index, delta } => self.block_delta(*index, delta, out),
            StreamEvent::BlockStop { index } => self.block_stop(*index, out),
            StreamEvent::Finish { reason, stop_sequence: _ } => self.finish = Some(*reason),
            StreamEvent::Usage(usage) => self.usage = Some(*usage),
            StreamEvent::Error(error) => {
                self.failed = true;
                let error = ApiError::upstream(StatusCode::BAD_GATEWAY, error.to_string());
                out.extend_from_slice(&render_stream_error(&error, self.number));
            }
        }
    }

    /// Ends the stream; nothing when the answer is not complete.
    pub fn end(&mut self, out: &mut Vec<u8>) {
        let Some(reason) = self.finish.filter(|_| !self.failed) else { return };
        while let Some((index, _)) = self.open.first_key_value() {
            self.block_stop(*index, out);
        }
        let (status, _) = status(reason);
        self.whole(if status == "completed" { "response.completed" } else { "response.incomplete" }, out);
    }

    fn block_start(&mut self, index: u32, block: &BlockStart, out: &mut Vec<u8>) {
        let kind = match block {
            BlockStart::Text => Kind::Text,
            BlockStart::Reasoning => Kind::Thought,
            BlockStart::ToolUse { id, name } => Kind::Call { id: id.clone(), name: name.clone() },
        };
        let is_call = matches!(kind, Kind::Call { .. });
        let open = Open { at: None, id: String::new(), kind, said: String::new(), proof: String::new() };
        self.open.insert(index, open);
        // A call is something even before its arguments come; a text is not.
        if is_call {
            self.begin(index, out);
        }
    }

    /// Gives the item its place and says that it begins.
    fn begin(&mut self, index: u32, out: &mut Vec<u8>) {
        let Some(open) = self.open.get_mut(&index).filter(|open| open.at.is_none()) else { return };
        let at = self.output.len();
        let head = &self.head;
        let (prefix, item) = match &open.kind {
            Kind::Text => ("msg", Item::message(head, at, "in_progress", Vec::new())),
            Kind::Thought => ("rs", Item::thought(head, at, "", None)),
            Kind::Call { id, name } => ("fc", Item::call(head, at, "in_progress", (id, name), "")),
        };
        (open.at, open.id) = (Some(at), item_id(prefix, head, at));
        let id = open.id.clone();
        let inside = Inside { item_id: &id, output_index: at, ..Inside::default() };
        let first = match &open.kind {
            Kind::Text => {
                let part = Some(Part::text(String::new()));
                Some(("response.content_part.added", Inside { content_index: Some(0), part, ..inside }))
            }
            // A thought that only its provider can read has no summary.
            Kind::Thought | Kind::Call { .. } => None,
        };
        self.output.push(None);
        self.send("response.output_item.added", OfItem { output_index: at, item: &item }, out);
        if let Some((kind, inside)) = first {
            self.send(kind, inside, out);
        }
    }

    fn block_delta(&mut self, index: u32, delta: &Delta, out: &mut Vec<u8>) {
        let Some(open) = self.open.get_mut(&index) else { return };
        let part = match delta {
            Delta::Text(part) | Delta::Reasoning(part) | Delta::ToolInput(part) => part,
            Delta::Signature(part) => return open.proof.push_str(part),
            Delta::RedactedReasoning(data) => {
                open.proof.push_str(REDACTED);
                return open.proof.push_str(data);
            }
        };
        if part.is_empty() {
            return;
        }
        let is_first = open.said.is_empty();
        open.said.push_str(part);
        self.begin(index, out);
        let Some(Open { at: Some(at), id, kind, .. }) = self.open.get(&index) else { return };
        let (id, at) = (id.clone(), *at);
        let inside = || Inside { item_id: &id, output_index: at, delta: Some(part), ..Inside::default() };
        match kind {
            Kind::Text => {
                let inside = Inside { content_index: Some(0), logprobs: Some([]), ..inside() };
                self.send("response.output_text.delta", inside, out);
            }
            Kind::Thought => {
                if is_first {
                    let part = Some(Part::SummaryText { text: String::new() });
                    let inside = Inside { summary_index: Some(0), delta: None, part, ..inside() };
                    self.send("response.reasoning_summary_part.added", inside, out);
                }
                let inside = Inside { summary_index: Some(0), ..inside() };
                self.send("response.reasoning_summary_text.delta", inside, out);
            }
            Kind::Call { .. } => self.send("response.function_call_arguments.delta", inside(), out),
        }
    }

    fn block_stop(&mut self, index: u32, out: &mut Vec<u8>) {
        if self.open.get(&index).is_some_and(|open| !open.proof.is_empty()) {
            self.begin(index, out);
        }
        let Some(Open { at: Some(at), id, kind, said, proof }) = self.open.remove(&index) else { return };
        let inside = || Inside { item_id: &id, output_index: at, ..Inside::default() };
        let item = match kind {
            Kind::Text => {
                let (content_index, logprobs) = (Some(0), Some([]));
                let done = Inside { content_index, text: Some(&said), logprobs, ..inside() };
                self.send("response.output_text.done", done, out);
                let part = Some(Part::text(said.clone()));
                self.send("response.content_part.done", Inside { content_index, part, ..inside() }, out);
                Item::message(&self.head, at, "completed", vec![Part::text(said)])
            }
            Kind::Thought => {
                if !said.is_empty() {
                    let summary_index = Some(0);
                    let done = Inside { summary_index, text: Some(&said), ..inside() };
                    self.send("response.reasoning_summary_text.done", done, out);
                    let part = Some(Part::SummaryText { text: said.clone() });
                    let done = Inside { summary_index, part, ..inside() };
                    self.send("response.reasoning_summary_part.done", done, out);
                }
                Item::thought(&self.head, at, &said, (!proof.is_empty()).then_some(proof))
            }
            Kind::Call { id: call, name } => {
                // Clients parse the text, and an empty one is not JSON.
                let arguments = if said.is_empty() { "{}" } else { &said };
                let done = Inside { name: Some(&name), arguments: Some(arguments), ..inside() };
                self.send("response.function_call_arguments.done", done, out);
                Item::call(&self.head, at, "completed", (&call, &name), arguments)
            }
        };
        self.send("response.output_item.done", OfItem { output_index: at, item: &item }, out);
        if let Some(place) = self.output.get_mut(at) {
            *place = Some(item);
        }
    }

    fn whole(&mut self, kind: &'static str, out: &mut Vec<u8>) {
        let number = self.number;
        self.number += 1;
        let output = self.output.iter().flatten().collect();
        let response = object(&self.head, &self.echo, output, self.finish, self.usage.as_ref());
        write(kind, number, Whole { response }, out);
    }

    fn send<T: Serialize>(&mut self, kind: &'static str, body: T, out: &mut Vec<u8>) {
        write(kind, self.number, body, out);
        self.number += 1;
    }
}

fn write<T: Serialize>(kind: &'static str, sequence_number: u64, body: T, out: &mut Vec<u8>) {
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(kind.as_bytes());
    out.extend_from_slice(b"\ndata: ");
    // Writing strings and numbers to memory cannot fail.
    let _ = serde_json::to_writer(&mut *out, &Event { r#type: kind, sequence_number, body });
    out.extend_from_slice(b"\n\n");
}

/// The event that ends a stream which cannot be completed, after `said` events.
#[must_use]
pub fn render_stream_error(error: &ApiError, said: u64) -> Bytes {
    let code = error.upstream_code.as_deref().unwrap_or(error.code.as_str());
    let mut event = Vec::new();
    write("error", said, Broken { code, message: &error.message, param: error.param.as_deref() }, &mut event);
    Bytes::from(event)
}
