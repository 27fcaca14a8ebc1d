//! `peek`: the bytes of a Messages request in, what routing, limits and money need to know out, without building it.

use super::super::{Form, Peek};
use crate::chat::Size;
use crate::error::ApiError;
use crate::surface::edits::Spot;
use crate::surface::node::Node;
use serde::Deserialize;
use serde::de::{Deserializer as _, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

/// A top-level field of a request. The first ones may be spliced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Model,
    MaxTokens,
    Temperature,
    TopP,
    TopK,
    StopSequences,
    Thinking,
    Messages,
    System,
    Stream,
    Tools,
    ToolChoice,
    Metadata,
    ServiceTier,
    OutputConfig,
    OutputFormat,
    Speed,
    InferenceGeo,
    McpServers,
    Container,
}

impl Field {
    /// How many fields may be spliced.
    pub(super) const SPLICED: usize = 7;

    const NAMES: [(Self, &'static str); 20] = [
        (Self::Model, "model"),
        (Self::MaxTokens, "max_tokens"),
        (Self::Temperature, "temperature"),
        (Self::TopP, "top_p"),
        (Self::TopK, "top_k"),
        (Self::StopSequences, "stop_sequences"),
        (Self::Thinking, "thinking"),
        (Self::Messages, "messages"),
        (Self::System, "system"),
        (Self::Stream, "stream"),
        (Self::Tools, "tools"),
        (Self::ToolChoice, "tool_choice"),
        (Self::Metadata, "metadata"),
        (Self::ServiceTier, "service_tier"),
        (Self::OutputConfig, "output_config"),
        (Self::OutputFormat, "output_format"),
        (Self::Speed, "speed"),
        (Self::InferenceGeo, "inference_geo"),
        (Self::McpServers, "mcp_servers"),
        (Self::Container, "container"),
    ];

    pub(super) const COUNT: usize = Self::NAMES.len();
}

impl Spot for Field {
    fn at(self) -> usize {
        self as usize
    }

    fn name(self) -> &'static str {
        Self::NAMES[self as usize].1
    }
}

/// Where the fields that a splice may change stand in a request's bytes, and what makes it cost more than its tokens.
#[derive(Clone, Debug, PartialEq)]
pub struct Spans {
    pub(super) at: [Option<Range<usize>>; Field::SPLICED],
    /// The first field that the provider charges for beside the tokens, as a path: no price of ours covers it.
    pub unpriced: Option<String>,
}

/// Most output tokens that every upstream can be told.
const MOST_TOKENS: u32 = i32::MAX as u32;

/// Reads a request without building it. Well-formedness, the fields of `Peek` and the roles are checked; whatever else
/// is wrong the upstream will say. Unlike at Anthropic `max_tokens` may be left out: the route has a default.
pub fn peek(body: &[u8]) -> Result<Peek, ApiError> {
    Top::read(body)?.peek(body)
}

/// The top level of a request.
pub(super) struct Top<'a> {
    known: [Option<&'a RawValue>; Field::COUNT],
    /// Fields that the dialect does not have.
    pub(super) unknown: Vec<(String, &'a RawValue)>,
}

impl<'a> Top<'a> {
    pub(super) fn read(body: &'a [u8]) -> Result<Self, ApiError> {
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
        let malformed = |error: serde_json::Error| match error.classify() {
            serde_json::error::Category::Data => ApiError::invalid(format!("the body: {error}")),
            _ => ApiError::invalid(format!("the body is not well-formed JSON: {error}")),
        };
        let mut reader = serde_json::Deserializer::from_str(text);
        let top = reader.deserialize_map(TopVisitor).map_err(malformed)?;
        reader.end().map_err(malformed)?;
        Ok(top)
    }

    /// The field, unless it is absent or null.
    pub(super) fn get(&self, field: Field) -> Option<Node<'a>> {
        self.known[field as usize].map(|raw| Node::new(raw, field.name())).filter(|node| !node.is_null())
    }

    pub(super) fn need(&self, field: Field, what: &str) -> Result<Node<'a>, ApiError> {
        let missing = || ApiError::invalid(format!("{} is missing: {what}", field.name())).param(field.name());
        self.get(field).ok_or_else(missing)
    }

    pub(super) fn peek(&self, body: &[u8]) -> Result<Peek, ApiError> {
        let model = self.need(Field::Model, "name the model to use")?.non_empty_string()?;
        let messages = self.need(Field::Messages, "send at least one message")?;
        let stream = self.get(Field::Stream).map(|node| node.boolean()).transpose()?.unwrap_or(false);
        let max_tokens = self.get(Field::MaxTokens).map(|node| node.whole(1, MOST_TOKENS)).transpose()?;
        for (field, most) in [(Field::Temperature, 1.0), (Field::TopP, 1.0)] {
            self.get(field).map(|node| node.number(0.0, most)).transpose()?;
        }
        let user = match self.get(Field::Metadata) {
            Some(node) => node.object()?.take("user_id").map(|node| node.string()).transpose()?,
            None => None,
        };
        let mut count = Count::default();
        count.messages(&messages)?;
        count.system(self.get(Field::System).as_ref())?;
        let tools = self.get(Field::Tools).map_or(Ok(Vec::new()), |node| node.array())?;
        let at = std::array::from_fn(|i| {
            self.known[i].map(|raw| {
                let from = raw.get().as_ptr() as usize - body.as_ptr() as usize;
                from..from + raw.get().len()
            })
        });
        let unpriced = self.unpriced(&tools);
        let Count { messages, images, unbounded, not_text } = count;
        let size = Size {
            text_bytes: (body.len() as u64).saturating_sub(not_text),
            messages,
            tools: u32::try_from(tools.len()).unwrap_or(u32::MAX),
            images,
            unbounded,
        };
        let form = Form::Messages(Spans { at, unpriced });
        Ok(Peek { model, stream, include_usage: stream, max_tokens, n: 1, user, size, form })
    }

    /// Tools that run at the provider, and faster or placed inference, cost more than our prices say.
    fn unpriced(&self, tools: &[Node<'_>]) -> Option<String> {
        let asks = |field: &Field| self.get(*field).is_some_and(|node| !matches!(node.text(), "[]" | "\"standard\""));
        let fields = [Field::Speed, Field::InferenceGeo, Field::McpServers, Field::Container];
        let server_tool = |node: &&Node<'_>| {
            let kind = node.object().ok()?.take("type")?.string().ok()?;
            const HERE: [&str; 5] = ["custom", "bash_", "text_editor_", "computer_", "memory_"];
            (!HERE.iter().any(|known| kind.starts_with(known))).then_some(())
        };
        let tool = tools.iter().find(|node| server_tool(node).is_some()).map(|node| node.path.clone());
        fields.into_iter().find(asks).map(|field| field.name().to_owned()).or(tool)
    }
}

struct TopVisitor;

impl<'de> Visitor<'de> for TopVisitor {
    type Value = Top<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Top<'de>, A::Error> {
        let mut top = Top { known: [None; Field::COUNT], unknown: Vec::new() };
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            let value = map.next_value::<&RawValue>()?;
            match Field::NAMES.iter().find(|(_, name)| name.eq_ignore_ascii_case(&key)) {
                Some((field, name)) if *name == key => {
                    // An upstream might take the last of two equal keys where we take the first; that would escape the cap.
                    if top.known[*field as usize].replace(value).is_some() {
                        return Err(serde::de::Error::custom(format_args!("{name} appears twice")));
                    }
                }
                // Some servers match keys without regard to case; what they would read must be what we read.
                Some((_, name)) => {
                    return Err(serde::de::Error::custom(format_args!("unknown field {key:?}: write {name:?}")));
                }
                None => top.unknown.push((key.into_owned(), value)),
            }
        }
        Ok(top)
    }
}

/// What the messages of a request hold, counted in passing.
#[derive(Default)]
struct Count {
    messages: u32,
    images: u32,
    unbounded: u32,
    /// Bytes that no model reads as text.
    not_text: u64,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    role: Cow<'a, str>,
    #[serde(borrow)]
    content: &'a RawValue,
}

#[derive(Deserialize)]
struct Part<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    source: Option<Source<'a>>,
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Source<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
}

impl Count {
    fn messages(&mut self, node: &Node<'_>) -> Result<(), ApiError> {
        let messages = node.array()?;
        if messages.is_empty() {
            return Err(node.invalid("is empty: send at least one message"));
        }
        for node in &messages {
            self.messages = self.messages.saturating_add(1);
            let message: Message<'_> = serde_json::from_str(node.text()).map_err(|e| wrong(node, &e))?;
            if !matches!(message.role.as_ref(), "user" | "assistant") {
                return Err(node.invalid(format!("unknown role {:?}: use \"user\" or \"assistant\"", message.role)));
            }
            self.content(message.content).map_err(|e| wrong(node, &e))?;
        }
        Ok(())
    }

    fn system(&mut self, node: Option<&Node<'_>>) -> Result<(), ApiError> {
        let Some(node) = node else { return Ok(()) };
        self.messages = self.messages.saturating_add(1);
        if node.is_string() {
            Ok(())
        } else {
            node.array().map(|_| ()).map_err(|_| node.wrong("a string or an array of text blocks"))
        }
    }

    fn content(&mut self, raw: &RawValue) -> Result<(), serde_json::Error> {
        if raw.get().starts_with('"') {
            return Ok(());
        }
        for Part { kind, source, content } in serde_json::from_str::<Vec<Part<'_>>>(raw.get())? {
            match kind.as_ref() {
                "text" | "thinking" | "redacted_thinking" | "tool_use" | "search_result" => {}
                "image" => {
                    self.images = self.images.saturating_add(1);
                    self.not_text += source.and_then(|source| source.data).map_or(0, |data| data.get().len() as u64);
                }
                "document" => match source {
                    Some(Source { kind, content: Some(content), .. }) if kind == "content" => self.content(content)?,
                    Some(Source { kind, .. }) if kind == "text" => {}
                    _ => self.unbounded = self.unbounded.saturating_add(1),
                },
                "tool_result" => content.map_or(Ok(()), |content| self.content(content))?,
                _ => self.unbounded = self.unbounded.saturating_add(1),
            }
        }
        Ok(())
    }
}

fn wrong(node: &Node<'_>, error: &serde_json::Error) -> ApiError {
    let text = error.to_string();
    let what = text.rsplit_once(" at line ").map_or(text.as_str(), |(what, _)| what);
    node.invalid(what)
}
