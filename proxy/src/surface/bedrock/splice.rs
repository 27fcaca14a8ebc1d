//! `splice`: the client's own Converse bytes in, the same bytes with only what must change out.

use super::edit::{Edits, Object};
use super::peek::Spans;
use crate::error::ApiError;
use crate::provider::bedrock::Family;
use bytes::Bytes;
use serde_json::{Value, json};
use std::ops::Range;
use tollway_core::table::{Bedrock, Defaults};

/// What must change before a target gets a request.
#[derive(Clone, Copy, Debug)]
pub struct Splice<'a> {
    /// Output bound that the upstream must enforce.
    pub max_tokens: u32,
    /// Whose guardrail and habits count.
    pub target: &'a Bedrock,
    /// Parameters for what the client left open.
    pub defaults: &'a Defaults,
}

/// Rewrites `body`, of which `spans` were read; every byte outside the changed values stays as it was.
pub fn splice(body: &Bytes, spans: &Spans, change: &Splice<'_>) -> Result<Bytes, ApiError> {
    let text = super::peek::text(body)?;
    let object = |span: &Option<Range<usize>>| {
        let text = span.clone().map_or("null", |span| &text[span]);
        if text == "null" { "{}" } else { text }
    };
    let inference = Object::read(object(&spans.inference), "inferenceConfig")?;
    let additional = Object::read(object(&spans.additional), "additionalModelRequestFields")?;
    let (defaults, family) = (change.defaults, Family::of(change.target.known_as()));
    let mut edits = Edits::default();
    let wanted = inference_changes(&inference, &additional, change, family);
    if !wanted.is_empty() {
        edits.set(spans.inference.clone(), "inferenceConfig", inference.with(&wanted));
    }
    let thinks = additional.get("thinking").is_some();
    if let Some((name, value)) = defaults.top_k.filter(|_| !thinks).and_then(|k| family.top_k(k)) {
        // A default never stands in the way of what the client says there.
        if additional.span(name).is_none() {
            let changed = additional.with(&[(name, value.to_string())]);
            edits.set(spans.additional.clone(), "additionalModelRequestFields", changed);
        }
    }
    if let Some(guardrail) = &change.target.guardrail {
        // The route's guardrail holds whatever the client asks for.
        let config = json!({"guardrailIdentifier": guardrail.id, "guardrailVersion": guardrail.version});
        edits.set(spans.guardrail.clone(), "guardrailConfig", config.to_string());
    }
    let is_empty = text.trim_ascii().trim_start_matches('{').trim_ascii_start().starts_with('}');
    Ok(if edits.is_empty() { body.clone() } else { Bytes::from(edits.apply(text, is_empty)) })
}

fn inference_changes(
    inference: &Object<'_>,
    additional: &Object<'_>,
    change: &Splice<'_>,
    family: Family,
) -> Vec<(&'static str, String)> {
    let defaults = change.defaults;
    let mut changes = Vec::new();
    let bound = change.max_tokens.to_string();
    if inference.get("maxTokens") != Some(bound.as_str()) {
        changes.push(("maxTokens", bound));
    }
    // Claude thinks only at its own temperature, and its newer models take temperature or top_p, not both.
    let claude = family == Family::Claude;
    let open = |name| inference.get(name).is_none() && !(claude && additional.get("thinking").is_some());
    let temperature =
        defaults.temperature.filter(|_| open("temperature") && !(claude && inference.get("topP").is_some()));
    let has_temperature = temperature.is_some() || inference.get("temperature").is_some();
    let top_p = defaults.top_p.filter(|_| open("topP") && !(claude && has_temperature));
    changes.extend(temperature.map(|value| ("temperature", Value::from(value).to_string())));
    changes.extend(top_p.map(|value| ("topP", Value::from(value).to_string())));
    if !defaults.stop.is_empty() && inference.get("stopSequences").is_none() {
        changes.push(("stopSequences", json!(defaults.stop).to_string()));
    }
    changes
}
