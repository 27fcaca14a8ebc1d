//! `splice`: the client's own bytes in, the same bytes with only the fields that must change out.

use super::peek::Spans;
use super::wire::Field;
use crate::surface::Peek;
use bytes::{Bytes, BytesMut};
use serde::de::{Deserializer as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
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

/// Rewrites `body`, of which `peek` and `spans` were read; every byte outside the changed values stays as it was.
#[must_use]
pub fn splice(body: &Bytes, peek: &Peek, spans: &Spans, change: &Splice<'_>) -> Bytes {
    let Splice { model, max_tokens, as_completion_tokens, include_usage, defaults } = *change;
    let mut edits = Edits { body, spans, replaced: Vec::new(), added: Vec::new() };
    if let Some(model) = model.filter(|model| *model != peek.model) {
        edits.set(Field::Model, &json_string(model));
    }
    if let Some(bound) = max_tokens {
        let bound = bound.to_string();
        let written = [Field::MaxTokens, Field::MaxCompletionTokens].map(|field| edits.replace_value(field, &bound));
        if written == [false, false] {
            edits.add(if as_completion_tokens { Field::MaxCompletionTokens } else { Field::MaxTokens }, &bound);
        }
    }
    if include_usage && !peek.include_usage {
        edits.ask_for_usage();
    }
    if let Some(Defaults { temperature, top_p, top_k: _, max_tokens: _, stop }) = defaults {
        for (field, value) in [(Field::Temperature, temperature), (Field::TopP, top_p)] {
            if let Some(value) = value.filter(|_| !edits.has_value(field)) {
                edits.set(field, &value.to_string());
            }
        }
        if !stop.is_empty() && !edits.has_value(Field::Stop) {
            let texts: Vec<String> = stop.iter().map(|text| json_string(text)).collect();
            edits.set(Field::Stop, &format!("[{}]", texts.join(",")));
        }
    }
    edits.apply()
}

fn json_string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

struct Edits<'a> {
    body: &'a Bytes,
    spans: &'a Spans,
    replaced: Vec<(Range<usize>, String)>,
    added: Vec<String>,
}

impl Edits<'_> {
    fn span(&self, field: Field) -> Option<Range<usize>> {
        self.spans.0[field as usize].clone()
    }

    fn has_value(&self, field: Field) -> bool {
        self.span(field).is_some_and(|span| &self.body[span] != b"null")
    }

    /// Writes over the field's value, null included, or adds the field.
    fn set(&mut self, field: Field, value: &str) {
        match self.span(field) {
            Some(span) => self.replaced.push((span, value.to_owned())),
            None => self.add(field, value),
        }
    }

    /// Writes over the field's value unless it is absent or null.
    fn replace_value(&mut self, field: Field, value: &str) -> bool {
        match self.span(field).filter(|_| self.has_value(field)) {
            Some(span) => {
                if self.body[span.clone()] != *value.as_bytes() {
                    self.replaced.push((span, value.to_owned()));
                }
                true
            }
            None => false,
        }
    }

    fn add(&mut self, field: Field, value: &str) {
        // A field that is there as null is written over: two of a name would be malformed.
        match self.span(field) {
            Some(span) => self.replaced.push((span, value.to_owned())),
            None => self.added.push(format!("\"{}\":{value}", field.name())),
        }
    }

    fn ask_for_usage(&mut self) {
        const WHOLE: &str = r#"{"include_usage":true}"#;
        let Some(span) = self.span(Field::StreamOptions).filter(|_| self.has_value(Field::StreamOptions)) else {
            return self.set(Field::StreamOptions, WHOLE);
        };
        // `peek` read the object, so it reads here too; were it not one, the whole value would be replaced.
        let inner = std::str::from_utf8(&self.body[span.clone()]).ok().and_then(|text| {
            serde_json::Deserializer::from_str(text).deserialize_map(FindUsage).ok().map(|found| (text, found))
        });
        match inner {
            None => self.replaced.push((span, WHOLE.to_owned())),
            Some((text, Found { value: Some(raw), .. })) => {
                let from = span.start + (raw.as_ptr() as usize - text.as_ptr() as usize);
                self.replaced.push((from..from + raw.len(), "true".to_owned()));
            }
            Some((_, Found { value: None, empty })) => {
                let after_brace = span.start + 1;
                let comma = if empty { "" } else { "," };
                self.replaced.push((after_brace..after_brace, format!("\"include_usage\":true{comma}")));
            }
        }
    }

    fn apply(mut self) -> Bytes {
        if !self.added.is_empty() {
            // `peek` saw an object with a model in it: there is a brace, and a member follows it.
            let after_brace = self.body.iter().position(|b| *b == b'{').map_or(0, |at| at + 1);
            self.replaced.push((after_brace..after_brace, self.added.join(",") + ","));
        }
        if self.replaced.is_empty() {
            return self.body.clone();
        }
        self.replaced.sort_by_key(|(span, _)| span.start);
        let grown: usize = self.replaced.iter().map(|(_, value)| value.len()).sum();
        let mut out = BytesMut::with_capacity(self.body.len() + grown);
        let mut from = 0;
        for (span, value) in &self.replaced {
            out.extend_from_slice(&self.body[from..span.start]);
            out.extend_from_slice(value.as_bytes());
            from = span.end;
        }
        out.extend_from_slice(&self.body[from..]);
        out.freeze()
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
