//! `peek`: the bytes of a Converse request in, what routing, limits and money need to know out.

use super::call::{Api, Call, call};
use super::edit::Object;
use super::invoke::peek_invoke;
use crate::chat::Size;
use crate::error::ApiError;
use crate::surface::{Form, Peek};
use http::StatusCode;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

/// Most output tokens that a request can name.
pub(super) const MOST_TOKENS: u64 = i32::MAX as u64;

/// Where the members that a splice may change stand in the bytes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Spans {
    pub(super) inference: Option<Range<usize>>,
    pub(super) guardrail: Option<Range<usize>>,
    pub(super) additional: Option<Range<usize>>,
}

/// Names under which models bound their output; beside Converse's own bound they would be a second one.
const BOUNDS: [&str; 9] = [
    "max_tokens",
    "maxTokens",
    "max_new_tokens",
    "max_completion_tokens",
    "max_output_tokens",
    "max_tokens_to_sample",
    "max_gen_len",
    "maxTokenCount",
    "max_length",
];
/// Names under which models make several answers of one request.
const COUNTS: [&str; 4] = ["n", "best_of", "num_generations", "numResults"];

/// Reads the request that came to `path` without building it.
pub fn peek(path: &str, body: &[u8]) -> Result<Peek, ApiError> {
    let unknown = || ApiError::invalid(format!("{path} is no operation on a model")).status(StatusCode::NOT_FOUND);
    let call = call(path).ok_or_else(unknown)?;
    match call.api {
        Api::Converse => peek_converse(&call, body),
        Api::Invoke => peek_invoke(&call, body),
    }
}

/// Well-formedness, the output bound and what would escape the cap are checked;
/// whatever else is wrong the upstream will say.
fn peek_converse(call: &Call, body: &[u8]) -> Result<Peek, ApiError> {
    let text = text(body)?;
    let top = Object::read(text, "the body")?;
    let max_tokens = match top.get("inferenceConfig") {
        None => None,
        Some(inference) => {
            let inference = Object::read(inference, "inferenceConfig")?;
            inference.get("maxTokens").map(|text| tokens(text, "inferenceConfig.maxTokens")).transpose()?
        }
    };
    ordinary_service(&top)?;
    if let Some(additional) = top.get("additionalModelRequestFields") {
        bounded_once(additional, "additionalModelRequestFields", 0)?;
    }
    let mut count = Count::default();
    if let Some(messages) = top.get("messages") {
        count.messages(messages, "messages")?;
    }
    if let Some(system) = top.get("system") {
        count.blocks(system, "system")?;
    }
    if top.get("promptVariables").is_some() {
        count.size.unbounded += 1;
    }
    let tools = match top.get("toolConfig").map(|text| Object::read(text, "toolConfig")).transpose()? {
        Some(config) => config.get("tools").map_or(Ok(0), tools)?,
        None => 0,
    };
    let size = Size { text_bytes: (body.len() as u64).saturating_sub(count.not_text), tools, ..count.size };
    let spans = Spans {
        inference: top.span("inferenceConfig"),
        guardrail: top.span("guardrailConfig"),
        additional: top.span("additionalModelRequestFields"),
    };
    Ok(Peek {
        model: call.model.clone(),
        stream: call.stream,
        include_usage: true,
        max_tokens,
        n: 1,
        user: None,
        size,
        form: Form::Converse(spans),
    })
}

pub(super) fn text(body: &[u8]) -> Result<&str, ApiError> {
    std::str::from_utf8(body).map_err(|e| {
        ApiError::invalid(format!("the body is not UTF-8: byte {} is wrong; send JSON in UTF-8", e.valid_up_to()))
    })
}

/// A count of output tokens as JSON text.
pub(super) fn tokens(text: &str, place: &str) -> Result<u32, ApiError> {
    let value = text.parse::<u64>().ok().filter(|value| (1..=MOST_TOKENS).contains(value));
    value.and_then(|value| u32::try_from(value).ok()).ok_or_else(|| {
        ApiError::invalid(format!("{place} is {text}; it must be a whole number from 1 to {MOST_TOKENS}")).param(place)
    })
}

/// Faster or preferred service costs more than the price that money is reserved at.
fn ordinary_service(top: &Object<'_>) -> Result<(), ApiError> {
    for (object, member, dear) in [("performanceConfig", "latency", "optimized"), ("serviceTier", "type", "priority")] {
        let Some(text) = top.get(object) else { continue };
        let said = Object::read(text, object)?.get(member).map(serde_json::from_str::<String>).and_then(Result::ok);
        if said.as_deref() == Some(dear) {
            let place = format!("{object}.{member}");
            let why = format!("{place}: {dear:?} costs more than the price of this route's targets; leave it out");
            return Err(ApiError::unsupported(place.as_str(), why));
        }
    }
    Ok(())
}

/// Refuses a second output bound, however deep.
fn bounded_once(text: &str, place: &str, depth: usize) -> Result<(), ApiError> {
    if !text.starts_with('{') {
        return Ok(());
    }
    for (name, value) in Object::read(text, place)?.members() {
        let path = format!("{place}.{name}");
        if BOUNDS.contains(&name) {
            let why = format!("{path}: say it as inferenceConfig.maxTokens, which is the one bound that is enforced");
            return Err(ApiError::unsupported(path.as_str(), why));
        }
        if depth == 0 && COUNTS.contains(&name) && value != "1" {
            let why = format!("{path}: Converse gives one answer a request; leave it out");
            return Err(ApiError::unsupported(path.as_str(), why));
        }
        bounded_once(value, &path, depth + 1)?;
    }
    Ok(())
}

/// The number of tools; those that the service runs itself have a price of their own.
fn tools(text: &str) -> Result<u32, ApiError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Tool {
        #[serde(default)]
        system_tool: Option<IgnoredAny>,
    }
    let tools: Vec<Tool> = serde_json::from_str(text).map_err(|e| not_a_list("toolConfig.tools", &e))?;
    if let Some(at) = tools.iter().position(|tool| tool.system_tool.is_some()) {
        let place = format!("toolConfig.tools[{at}].systemTool");
        let why =
            format!("{place}: the service charges it apart from tokens, which no budget here counts; leave it out");
        return Err(ApiError::unsupported(place.as_str(), why));
    }
    Ok(u32::try_from(tools.len()).unwrap_or(u32::MAX))
}

fn not_a_list(place: &str, error: &serde_json::Error) -> ApiError {
    ApiError::invalid(format!("{place}: {error}")).param(place)
}

/// What bounds the cost of reading a request.
#[derive(Default)]
struct Count {
    size: Size,
    /// Bytes of pictures, recordings and documents: no text.
    not_text: u64,
}

impl Count {
    fn messages(&mut self, text: &str, place: &str) -> Result<(), ApiError> {
        #[derive(Deserialize)]
        struct Turn {
            #[serde(default)]
            content: Vec<Block>,
        }
        let turns: Vec<Turn> = serde_json::from_str(text).map_err(|e| not_a_list(place, &e))?;
        for turn in turns {
            self.size.messages = self.size.messages.saturating_add(1);
            turn.content.iter().for_each(|block| self.block(block));
        }
        Ok(())
    }

    fn blocks(&mut self, text: &str, place: &str) -> Result<(), ApiError> {
        let blocks: Vec<Block> = serde_json::from_str(text).map_err(|e| not_a_list(place, &e))?;
        for block in &blocks {
            self.size.messages = self.size.messages.saturating_add(1);
            self.block(block);
        }
        Ok(())
    }

    fn block(&mut self, block: &Block) {
        self.not_text = self.not_text.saturating_add(block.not_text);
        self.size.images = self.size.images.saturating_add(block.images);
        self.size.unbounded = self.size.unbounded.saturating_add(block.unbounded);
    }
}

/// One content block, or what a block holds: counted, not kept.
#[derive(Default)]
struct Block {
    not_text: u64,
    images: u32,
    unbounded: u32,
}

impl<'de> Deserialize<'de> for Block {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(BlockVisitor)
    }
}

struct BlockVisitor;

impl<'de> Visitor<'de> for BlockVisitor {
    type Value = Block;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a content block")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Block, A::Error> {
        #[derive(Deserialize)]
        struct Held {
            #[serde(default)]
            content: Vec<Block>,
        }
        #[derive(Deserialize)]
        struct Picture<'b> {
            #[serde(borrow, default)]
            source: Option<Place<'b>>,
        }
        #[derive(Deserialize)]
        struct Place<'b> {
            #[serde(borrow, default)]
            bytes: Option<&'b RawValue>,
        }
        let mut block = Block::default();
        while let Some(kind) = map.next_key::<Cow<'de, str>>()? {
            match kind.as_ref() {
                "text" | "toolUse" | "reasoningContent" | "cachePoint" | "json" | "citationsContent" => {
                    map.next_value::<IgnoredAny>()?;
                }
                "toolResult" => {
                    for held in map.next_value::<Held>()?.content {
                        block.not_text += held.not_text;
                        block.images += held.images;
                        block.unbounded += held.unbounded;
                    }
                }
                "image" => {
                    let bytes = map.next_value::<Picture<'de>>()?.source.and_then(|source| source.bytes);
                    block.not_text += bytes.map_or(0, |raw| raw.get().len() as u64);
                    block.images += 1;
                }
                // Documents, recordings, guarded content and kinds yet unknown: no byte count bounds them.
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    block.unbounded += 1;
                }
            }
        }
        Ok(block)
    }
}
