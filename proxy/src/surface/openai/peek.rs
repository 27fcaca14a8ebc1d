//! `peek`: the bytes of a chat completions request in, what routing, limits and money need to know out, in one pass.

use super::wire::{Field, Key, MessageCount, ToolCount, malformed};
use crate::chat::Size;
use crate::error::ApiError;
use crate::surface::node::Node;
use crate::surface::{Form, Peek};
use serde::de::{Deserializer as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::cell::Cell;
use std::fmt;
use std::ops::Range;

/// Where the fields that a splice may change stand in the bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct Spans(pub(super) [Option<Range<usize>>; Field::SPLICED]);

/// Most output tokens that every upstream can be told.
const MOST_TOKENS: u32 = i32::MAX as u32;

/// Reads a request without building it. Well-formedness, the fields of `Peek`, the roles and the sampling parameters
/// are checked; whatever else is wrong the upstream will say.
pub fn peek(body: &[u8]) -> Result<Peek, ApiError> {
    let top = Top::read(body, Messages::Counted)?;
    top.peek(body)
}

/// How the messages of a request are read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Messages {
    /// In passing.
    Counted,
    /// Kept as text for `parse`.
    Kept,
}

/// The top level of a request.
pub(super) struct Top<'a> {
    known: [Option<&'a RawValue>; Field::COUNT],
    /// Fields that the dialect does not have.
    pub(super) unknown: Vec<(String, &'a RawValue)>,
    count: MessageCount,
    tools: u32,
    has_messages: bool,
}

impl<'a> Top<'a> {
    pub(super) fn read(body: &'a [u8], messages: Messages) -> Result<Self, ApiError> {
        let text = std::str::from_utf8(body).map_err(|e| {
            ApiError::invalid(format!("the body is not UTF-8: byte {} is wrong; send JSON in UTF-8", e.valid_up_to()))
        })?;
        match text.trim_ascii().as_bytes().first() {
            Some(b'{') => {}
            None => return Err(ApiError::invalid("the body is empty; send a JSON object with model and messages")),
            Some(_) => {
                return Err(ApiError::invalid(
                    "the body is not a JSON object; it must begin with { and name model and messages",
                ));
            }
        }
        let at = Cell::new(None);
        let mut reader = serde_json::Deserializer::from_str(text);
        let top = reader.deserialize_map(TopVisitor { messages, at: &at }).map_err(|e| malformed(&e, at.get()))?;
        reader.end().map_err(|e| malformed(&e, None))?;
        Ok(top)
    }

    /// The field, unless it is absent or null.
    pub(super) fn get(&self, field: Field) -> Option<Node<'a>> {
        self.known[field as usize].map(|raw| Node::new(raw, field.name())).filter(|node| !node.is_null())
    }

    pub(super) fn peek(&self, body: &[u8]) -> Result<Peek, ApiError> {
        let missing = |field: Field, what: &str| {
            ApiError::invalid(format!("{} is missing: {what}", field.name())).param(field.name())
        };
        let model =
            self.get(Field::Model).ok_or_else(|| missing(Field::Model, "name the model to use"))?.non_empty_string()?;
        if !self.has_messages {
            return Err(missing(Field::Messages, "send at least one message"));
        }
        let stream = self.get(Field::Stream).map(|node| node.boolean()).transpose()?.unwrap_or(false);
        let include_usage = self.include_usage(stream)?;
        let tokens = |field| self.get(field).map(|node| node.whole(1, MOST_TOKENS)).transpose();
        let max_tokens = match (tokens(Field::MaxTokens)?, tokens(Field::MaxCompletionTokens)?) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        let count = |field| self.get(field).map_or(Ok(1), |node| node.whole(1, 128));
        let n = count(Field::N)?.max(count(Field::BestOf)?);
        let user = self.get(Field::User).map(|node| node.string()).transpose()?;
        for (field, min, max) in Field::RANGES {
            self.get(field).map(|node| node.number(min, max)).transpose()?;
        }
        let start = body.as_ptr() as usize;
        let spans = std::array::from_fn(|i| {
            self.known[i].map(|raw| {
                let from = raw.get().as_ptr() as usize - start;
                from..from + raw.get().len()
            })
        });
        let MessageCount { messages, images, unbounded, not_text } = self.count;
        let size = Size {
            text_bytes: (body.len() as u64).saturating_sub(not_text),
            messages,
            tools: self.tools,
            images,
            unbounded,
        };
        let form = Form::ChatCompletions(Spans(spans));
        Ok(Peek { model, stream, include_usage, max_tokens, n, user, size, form })
    }

    fn include_usage(&self, stream: bool) -> Result<bool, ApiError> {
        let Some(options) = self.get(Field::StreamOptions) else { return Ok(false) };
        if !stream {
            return Err(options.invalid("is only allowed when stream is true"));
        }
        options.object()?.take("include_usage").map_or(Ok(false), |node| node.boolean())
    }
}

struct TopVisitor<'c> {
    messages: Messages,
    at: &'c Cell<Option<&'static str>>,
}

impl<'de> Visitor<'de> for TopVisitor<'_> {
    type Value = Top<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Top<'de>, A::Error> {
        let mut top = Top {
            known: [None; Field::COUNT],
            unknown: Vec::new(),
            count: MessageCount::default(),
            tools: 0,
            has_messages: false,
        };
        let mut seen = [false; Field::COUNT];
        while let Some(key) = map.next_key::<Key>()? {
            let field = match key {
                Key::Known(field) => field,
                Key::Unknown(name) if self.messages == Messages::Kept => {
                    let value = map.next_value::<&RawValue>()?;
                    top.unknown.push((name, value));
                    continue;
                }
                Key::Unknown(_) => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            self.at.set(Some(field.name()));
            // An upstream might take the last of two equal keys where we take the first; that would escape the cap.
            if std::mem::replace(&mut seen[field as usize], true) {
                return Err(serde::de::Error::custom(format_args!("{} appears twice", field.name())));
            }
            match field {
                Field::Messages if self.messages == Messages::Counted => {
                    top.count = map.next_value::<MessageCount>()?;
                    top.has_messages = true;
                }
                Field::Tools if self.messages == Messages::Counted => top.tools = map.next_value::<ToolCount>()?.0,
                _ => {
                    top.known[field as usize] = Some(map.next_value::<&RawValue>()?);
                    top.has_messages |= field == Field::Messages && top.get(field).is_some();
                }
            }
            self.at.set(None);
        }
        Ok(top)
    }
}
