//! `Edits`: a request's bytes and where its fields stand in, changes collected, the same bytes with only those changes out.

use bytes::{Bytes, BytesMut};
use std::ops::Range;

/// A field that may be spliced.
pub(super) trait Spot: Copy {
    /// Its number among the spans.
    fn at(self) -> usize;
    fn name(self) -> &'static str;
}

/// Changes to one request, not yet made.
pub(super) struct Edits<'a> {
    pub(super) body: &'a Bytes,
    spans: &'a [Option<Range<usize>>],
    pub(super) replaced: Vec<(Range<usize>, String)>,
    added: Vec<String>,
}

impl<'a> Edits<'a> {
    pub(super) const fn new(body: &'a Bytes, spans: &'a [Option<Range<usize>>]) -> Self {
        Self { body, spans, replaced: Vec::new(), added: Vec::new() }
    }

    pub(super) fn span(&self, field: impl Spot) -> Option<Range<usize>> {
        self.spans.get(field.at()).cloned().flatten()
    }

    pub(super) fn has_value(&self, field: impl Spot) -> bool {
        self.span(field).is_some_and(|span| &self.body[span] != b"null")
    }

    /// Writes over the field's value, null included, or adds the field.
    pub(super) fn set(&mut self, field: impl Spot, value: &str) {
        match self.span(field) {
            // A field that is there as null is written over: two of a name would be malformed.
            Some(span) => self.replaced.push((span, value.to_owned())),
            None => self.added.push(format!("\"{}\":{value}", field.name())),
        }
    }

    /// Writes the field unless the client did.
    pub(super) fn fill(&mut self, field: impl Spot, value: &str) {
        if !self.has_value(field) {
            self.set(field, value);
        }
    }

    /// Writes over the field's value unless it is absent or null.
    pub(super) fn replace_value(&mut self, field: impl Spot, value: &str) -> bool {
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

    pub(super) fn apply(mut self) -> Bytes {
        if !self.added.is_empty() {
            // Whoever found the spans saw an object with a model in it: there is a brace, and a member follows it.
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

/// Text as a JSON string.
pub(super) fn json_string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Texts as a JSON array.
pub(super) fn json_strings(texts: &[String]) -> String {
    let texts: Vec<String> = texts.iter().map(|text| json_string(text)).collect();
    format!("[{}]", texts.join(","))
}
