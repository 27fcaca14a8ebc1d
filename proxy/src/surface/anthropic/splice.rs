//! `splice`: the client's own bytes in, the same bytes with only the fields that must change out.

use super::peek::{Field, Spans};
use crate::surface::edits::{Edits, json_string, json_strings};
use bytes::Bytes;
use tollway_core::table::Defaults;

/// What must change before the upstream gets a request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Splice<'a> {
    /// Model name the upstream knows.
    pub model: &'a str,
    /// Output bound that the upstream must enforce. Absent: none is written, as for a count.
    pub max_tokens: Option<u32>,
    /// Parameters for what the client left open.
    pub defaults: Option<&'a Defaults>,
}

/// Rewrites `body`, of which `spans` were read; every byte outside the changed values stays as it was.
#[must_use]
pub fn splice(body: &Bytes, spans: &Spans, change: &Splice<'_>) -> Bytes {
    let Splice { model, max_tokens, defaults } = *change;
    let mut edits = Edits::new(body, &spans.at);
    if !edits.replace_value(Field::Model, &json_string(model)) {
        edits.set(Field::Model, &json_string(model));
    }
    if let Some(bound) = max_tokens.map(|bound| bound.to_string())
        && !edits.replace_value(Field::MaxTokens, &bound)
    {
        edits.set(Field::MaxTokens, &bound);
    }
    if let Some(Defaults { temperature, top_p, top_k, max_tokens: _, stop }) = defaults {
        // A model that thinks takes its own temperature only, and newer ones take temperature or top_p, not both: a
        // default never stands in the way of what the client asked for, nor of another default.
        let thinks = edits.has_value(Field::Thinking);
        if let Some(value) = temperature.filter(|_| !thinks && !edits.has_value(Field::TopP)) {
            edits.fill(Field::Temperature, &value.to_string());
        }
        let warm = edits.has_value(Field::Temperature) || temperature.is_some();
        if let Some(value) = top_p.filter(|_| !thinks && !warm) {
            edits.fill(Field::TopP, &value.to_string());
        }
        if let Some(value) = top_k.filter(|_| !thinks) {
            edits.fill(Field::TopK, &value.to_string());
        }
        if !stop.is_empty() {
            edits.fill(Field::StopSequences, &json_strings(stop));
        }
    }
    edits.apply()
}
