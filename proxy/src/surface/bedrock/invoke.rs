//! InvokeModel bodies: what a model family calls its output bound and its usage in, `Peek`, spliced bytes and usage out.
//!
//! # Why a table
//! Every family has words of its own for the same few things, and nothing else about it matters here: the body passes
//! through. A family that is not in the table is refused, for nothing would bound its answer.

use super::call::Call;
use super::edit::Object;
use super::peek::{text, tokens};
use crate::chat::Size;
use crate::error::ApiError;
use crate::surface::{Form, Peek};
use bytes::Bytes;
use serde_json::Value;

/// What must be known of a family to bound its answers.
#[derive(Debug, PartialEq, Eq)]
pub struct Family {
    /// What its model ids contain, behind the name of the region.
    pub ids: &'static [&'static str],
    /// A body of its has one of these.
    pub prompts: &'static [&'static str],
    /// The object that holds the bound; absent: the body itself.
    pub within: Option<&'static str>,
    /// The bound's names; the first is the one that is added when a body has none.
    pub bounds: &'static [&'static str],
    /// The name of the number of answers, where it can be chosen.
    pub count: Option<&'static str>,
    /// The largest bound that every model of the family takes, where that is less than is usual.
    pub most: u32,
}

const OPENAI: &[&str] = &["max_tokens", "max_completion_tokens"];

/// The families whose bodies pass; the first one that matches counts.
pub static MODEL_FAMILIES: [Family; 15] = [
    family(&["anthropic."], &["messages"], None, &["max_tokens"], None),
    family(&["anthropic."], &["prompt"], None, &["max_tokens_to_sample"], None),
    family(
        &[
            "amazon.nova-micro",
            "amazon.nova-lite",
            "amazon.nova-pro",
            "amazon.nova-premier",
            "amazon.nova-2-lite",
            "amazon.nova-2-pro",
        ],
        &["messages"],
        Some("inferenceConfig"),
        &["maxTokens", "max_new_tokens"],
        None,
    ),
    family(
        &["amazon.titan-text", "amazon.titan-tg1"],
        &["inputText"],
        Some("textGenerationConfig"),
        &["maxTokenCount"],
        None,
    )
    .at_most(3_072),
    family(&["meta.llama"], &["prompt"], None, &["max_gen_len"], None).at_most(2_048),
    family(&["mistral."], &["prompt", "messages"], None, &["max_tokens"], None),
    family(&["cohere.command-r", "cohere.command-a"], &["message", "messages"], None, &["max_tokens"], None),
    family(&["cohere.command"], &["prompt"], None, &["max_tokens"], Some("num_generations")),
    family(&["ai21.jamba"], &["messages"], None, &["max_tokens"], Some("n")),
    family(&["ai21.j2"], &["prompt"], None, &["maxTokens"], Some("numResults")),
    family(&["deepseek."], &["prompt", "messages"], None, OPENAI, Some("n")),
    family(&["openai.gpt-oss"], &["messages"], None, &["max_completion_tokens", "max_tokens"], Some("n")),
    family(&["qwen."], &["messages", "prompt"], None, OPENAI, Some("n")),
    family(&["writer.palmyra"], &["messages", "prompt"], None, OPENAI, Some("n")),
    family(&["google.gemma", "moonshot", "minimax.", "zai.", "nvidia."], &["messages"], None, OPENAI, Some("n")),
];

const fn family(
    ids: &'static [&'static str],
    prompts: &'static [&'static str],
    within: Option<&'static str>,
    bounds: &'static [&'static str],
    count: Option<&'static str>,
) -> Family {
    Family { ids, prompts, within, bounds, count, most: u32::MAX }
}

impl Family {
    const fn at_most(self, most: u32) -> Self {
        Self { most, ..self }
    }

    fn has_model(&self, model_id: &str) -> bool {
        // Of an ARN, the resource says the model.
        let name = model_id.rsplit('/').next().unwrap_or(model_id);
        self.ids.iter().any(|id| name.starts_with(id) || name.contains(&format!(".{id}")))
    }
}

/// An InvokeModel request, as far as it was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Invoke {
    /// The families that its body and the name the client sent allow.
    families: Vec<&'static Family>,
}

/// Reads a request without building it.
pub(super) fn peek_invoke(call: &Call, body: &[u8]) -> Result<Peek, ApiError> {
    let text = text(body)?;
    let top = Object::read(text, "the body")?;
    let named: Vec<&Family> = MODEL_FAMILIES.iter().filter(|family| family.has_model(&call.model)).collect();
    let is_known = !named.is_empty();
    // A name that is no model's may stand for any.
    let allowed = if is_known { named } else { MODEL_FAMILIES.iter().collect() };
    let families: Vec<&Family> =
        allowed.into_iter().filter(|family| family.prompts.iter().any(|prompt| top.get(prompt).is_some())).collect();
    if families.is_empty() {
        let why = if is_known { "not one that this model takes" } else { "of no model family that is known here" };
        return Err(ApiError::invalid(format!("the body is {why}; Converse takes every model's messages in one form")));
    }
    let mut max_tokens: Option<u32> = None;
    let mut n = 1;
    for family in &families {
        let held = family.within.and_then(|within| Some((within, top.get(within)?)));
        let inner = held.map(|(within, text)| Object::read(text, within)).transpose()?;
        let holder = if family.within.is_some() { inner.as_ref() } else { Some(&top) };
        for bound in family.bounds {
            if let Some(text) = holder.and_then(|holder| holder.get(bound)) {
                let said = tokens(text, bound)?;
                max_tokens = Some(max_tokens.map_or(said, |other| other.min(said)));
            }
        }
        if let Some(count) = family.count.and_then(|name| top.get(name)) {
            n = n.max(tokens(count, "the number of answers")?);
        }
    }
    // Whatever is not plain text may be read as more tokens than it has bytes.
    let list = |name| top.get(name).and_then(|text| serde_json::from_str::<Vec<Value>>(text).ok()).unwrap_or_default();
    let messages = list("messages");
    let size = Size {
        text_bytes: body.len() as u64,
        messages: u32::try_from(messages.len().max(1)).unwrap_or(u32::MAX),
        tools: u32::try_from(list("tools").len()).unwrap_or(u32::MAX),
        images: 0,
        unbounded: u32::from(
            top.get("images").is_some() || messages.iter().any(|message| !is_text(&message["content"])),
        ),
    };
    let form = Form::Invoke(Invoke { families });
    let (model, stream) = (call.model.clone(), call.stream);
    Ok(Peek { model, stream, include_usage: true, max_tokens, n, user: None, size, form })
}

/// Whether content is text, tool calls and their textual results only.
fn is_text(content: &Value) -> bool {
    match content {
        Value::Array(blocks) => blocks.iter().all(|block| {
            let kind = block["type"].as_str();
            let plain = |kind: &str| ["text", "tool_use", "thinking", "redacted_thinking"].contains(&kind);
            match kind {
                Some("tool_result") => is_text(&block["content"]),
                Some(kind) => plain(kind),
                None => block.as_object().is_some_and(|block| {
                    block.keys().all(|key| ["text", "toolUse", "cachePoint"].contains(&key.as_str()))
                }),
            }
        }),
        Value::String(_) | Value::Null => true,
        _ => false,
    }
}

/// The client's bytes with the output bound of the model's family in them, whatever they said.
pub fn splice_invoke(body: &Bytes, invoke: &Invoke, model_id: &str, max_tokens: u32) -> Result<Bytes, ApiError> {
    let family = invoke.families.iter().find(|family| family.has_model(model_id)).ok_or_else(|| {
        ApiError::invalid(format!(
            "this body is not one that the target's model {model_id:?} takes; Converse takes every model's messages in one form"
        ))
    })?;
    let text = text(body)?;
    let top = Object::read(text, "the body")?;
    let bounds = |holder: &Object<'_>| -> Vec<(&'static str, String)> {
        let is_said = family.bounds.iter().any(|name| holder.get(name).is_some());
        // A client that said nothing gets an answer: the most that its model takes is less than what was reserved.
        let bound = if is_said { max_tokens } else { max_tokens.min(family.most) }.to_string();
        let there: Vec<_> = family.bounds.iter().filter(|name| holder.span(name).is_some()).collect();
        let names = if there.is_empty() { family.bounds.first().into_iter().collect() } else { there };
        let changed = names.into_iter().filter(|name| holder.get(name) != Some(bound.as_str()));
        changed.map(|name| (*name, bound.clone())).collect()
    };
    let changes = match family.within {
        None => bounds(&top),
        Some(within) => {
            let inner = Object::read(top.get(within).unwrap_or("{}"), within)?;
            let changes = bounds(&inner);
            if changes.is_empty() { Vec::new() } else { vec![(within, inner.with(&changes))] }
        }
    };
    Ok(if changes.is_empty() { body.clone() } else { Bytes::from(top.with(&changes)) })
}
