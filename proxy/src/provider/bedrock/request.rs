//! `build`: the internal form and a target in, the bytes of a Converse request and what bounds its cost out.

use super::content::{Conversation, Translator};
use super::family::Family;
use super::inference::inference;
use super::tools::tool_config;
use super::wire::{Converse, Guardrail};
use crate::chat::{ChatRequest, Size};
use crate::error::ApiError;
use crate::provider::names::ToolNames;
use bytes::Bytes;
use serde_json::Map;
use std::collections::BTreeMap;
use tollway_core::table;

/// A Converse request; the same bytes serve Converse and ConverseStream.
#[derive(Clone, Debug)]
pub struct ConverseRequest {
    /// The JSON body.
    pub body: Bytes,
    /// How large it is, for the bound on what it can cost.
    pub size: Size,
    /// What the answer's tool names mean; needed to read the answer.
    pub names: ToolNames,
}

/// Translates `request` for `target`. `max_tokens` is the output bound that money was reserved for; `defaults` fill what
/// the client left open.
pub fn build(
    request: &ChatRequest,
    target: &table::Bedrock,
    defaults: &table::Defaults,
    max_tokens: u32,
) -> Result<ConverseRequest, ApiError> {
    if let Some(name) = request.dialect_only.keys().next() {
        return Err(ApiError::unsupported(name, format!("{name} has no translation for this model; leave it out")));
    }
    if request.n > 1 {
        return Err(ApiError::unsupported("n", "n: this model gives one completion a request; leave it out"));
    }
    let family = Family::of(target.known_as());
    let mut names = ToolNames::default();
    // The client's own tools first, so that they keep their names whatever the conversation mentions.
    for tool in &request.tools {
        names.upstream(&tool.name);
    }
    let mut translator = Translator::new(family, &mut names);
    let Conversation { system, messages } = translator.conversation(&request.system, &request.messages)?;
    let Translator { mut size, picture_bytes, called, .. } = translator;
    let mut additional = Map::new();
    let tool_config = tool_config(request, family, &called, &mut names, &mut additional)?;
    let converse = Converse {
        messages,
        system,
        inference_config: inference(request, defaults, family, max_tokens, &mut additional)?,
        tool_config,
        guardrail_config: target
            .guardrail
            .as_ref()
            .map(|table::Guardrail { id, version }| Guardrail { guardrail_identifier: id, guardrail_version: version }),
        additional_model_request_fields: additional,
        request_metadata: metadata(request),
    };
    size.tools = converse.tool_config.as_ref().map_or(0, |tools| u32::try_from(tools.tools.len()).unwrap_or(u32::MAX));
    let body = serde_json::to_vec(&converse)
        .map_err(|e| ApiError::invalid(format!("the request cannot be written for this model: {e}")))?;
    size.text_bytes = (body.len() as u64).saturating_sub(picture_bytes);
    Ok(ConverseRequest { body: Bytes::from(body), size, names })
}

/// Labels in the characters and number that Converse takes; they never change an answer, so others stay behind.
fn metadata(request: &ChatRequest) -> BTreeMap<&str, &str> {
    let fits = |text: &str| {
        text.len() <= 256
            && text.chars().all(|c| c.is_ascii_alphanumeric() || c.is_ascii_whitespace() || ":_@$#=/+,-.".contains(c))
    };
    let labels = request.metadata.iter().filter(|(key, value)| !key.is_empty() && fits(key) && fits(value));
    labels.take(16).map(|(key, value)| (key.as_str(), value.as_str())).collect()
}
