//! `splice`: the client's own bytes in, the same bytes with only the fields that must change out.

use super::peek::Spans;
use super::wire::Field;
use crate::surface::Peek;
use crate::surface::edits::{Edits, Spot, json_string, json_strings};
use bytes::Bytes;
use serde::de::{Deserializer as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;
use tollway_core::table::Defaults;

/// What must change before the upstream gets a request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Splice<'a> {
    /// Model name the upstream knows; absent: the client's stays.
    pub model: Option<&'a str>,
    /// Output bound that the upstream must enforce; written over the client's, or added. Absent: the client's stays.
    pub max_tokens: Option<u32>,
    /// Name under which a bound is added when the client sent none: `max_tokens` unless this is true, then
    /// `max_completion_tokens`, which is the only one that OpenAI's own reasoning models take.
    pub as_completion_tokens: bool,
    /// Asks for the usage chunk of a stream.
    pub include_usage: bool,
    /// Parameters for what the client left open. Top-k is not in this dialect and stays out.
    pub defaults: Option<&'a Defaults>,
}

impl Spot for Field {
    fn at(self) -> usize {
        self as usize
    }

    fn name(self) -> &'static str {
        Self::name(self)
    }
}

/// Rewrites `body`, of which `peek` and `spans` were read; every byte outside the changed values stays as it was.
#[must_use]
pub fn splice(body: &Bytes, peek: &Peek, spans: &Spans, change: &Splice<'_>) -> Bytes {
    let Splice { model, max_tokens, as_completion_tokens, include_usage, defaults } = *change;
    let mut edits = Edits::new(body, &spans.0);
    if let Some(model) = model.filter(|model| *model != peek.model) {
        edits.set(Field::Model, &json_string(model));
    }
    if let Some(bound) = max_tokens {
        let bound = bound.to_string();
        let written = [Field::MaxTokens, Field::MaxCompletionTokens].map(|field| edits.replace_value(field, &bound));
        if written == [false, false] {
            edits.set(if as_completion_tokens { Field::MaxCompletionTokens } else { Field::MaxTokens }, &bound);
        }
    }
    if include_usage && !peek.include_usage {
        ask_for_usage(&mut edits);
    }
    if let Some(Defaults { temperature, top_p, top_k: _, max_tokens: _, stop }) = defaults {
        for (field, value) in [(Field::Temperature, temperature), (Field::TopP, top_p)] {
            if let Some(value) = value {
                edits.fill(field, &value.to_string());
            }
        }
        if !stop.is_empty() {
            edits.fill(Field::Stop, &json_strings(stop));
        }
    }
    edits.apply()
}

fn ask_for_usage(edits: &mut Edits<'_>) {
    const WHOLE: &str = r#"{"include_usage":true}"#;
    let Some(span) = edits.span(Field::StreamOptions).filter(|_| edits.has_value(Field::StreamOptions)) else {
        return edits.set(Field::StreamOptions, WHOLE);
    };
    // `peek` read the object, so it reads here too; were it not one, the whole value would be replaced.
    let inner = std::str::from_utf8(&edits.body[span.clone()]).ok().and_then(|text| {
        serde_json::Deserializer::from_str(text).deserialize_map(FindUsage).ok().map(|found| (text, found))
    });
    match inner {
        None => edits.replaced.push((span, WHOLE.to_owned())),
        Some((text, Found { value: Some(raw), .. })) => {
            let from = span.start + (raw.as_ptr() as usize - text.as_ptr() as usize);
            edits.replaced.push((from..from + raw.len(), "true".to_owned()));
        }
        Some((_, Found { value: None, empty })) => {
            let after_brace = span.start + 1;
            let comma = if empty { "" } else { "," };
            edits.replaced.push((after_brace..after_brace, format!("\"include_usage\":true{comma}")));
        }
    }
}

/// Looks for `include_usage` in the stream options.
struct FindUsage;

struct Found<'a> {
    value: Option<&'a str>,
    empty: bool,
}

impl<'de> Visitor<'de> for FindUsage {
    type Value = Found<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("stream options")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Found<'de>, A::Error> {
        let mut found = Found { value: None, empty: true };
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            found.empty = false;
            if key == "include_usage" {
                found.value = Some(map.next_value::<&RawValue>()?.get());
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}
