//! The text of a JSON object in; places of its members and the same text with some of them written anew out.

use crate::error::ApiError;
use serde::de::{Deserializer as _, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

/// The members of one object, as they stand in its text.
pub(super) struct Object<'a> {
    text: &'a str,
    members: Vec<(Cow<'a, str>, &'a str)>,
}

impl<'a> Object<'a> {
    /// Reads an object; `place` names it in errors. Two members of one name are an error: an upstream might take the
    /// other one, and so escape the bound.
    pub(super) fn read(text: &'a str, place: &str) -> Result<Self, ApiError> {
        let mut reader = serde_json::Deserializer::from_str(text);
        let members = reader
            .deserialize_map(Members)
            .map_err(|e| ApiError::invalid(format!("{place} is not a well-formed JSON object: {e}")).param(place))?;
        reader
            .end()
            .map_err(|e| ApiError::invalid(format!("{place} does not end with its object: {e}")).param(place))?;
        let mut names: Vec<&str> = members.iter().map(|(name, _)| name.as_ref()).collect();
        names.sort_unstable();
        if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            let name = pair[0];
            return Err(ApiError::invalid(format!("{name} appears twice in {place}; leave one out")).param(name));
        }
        Ok(Self { text, members })
    }

    /// The member's text, unless it is absent or null.
    pub(super) fn get(&self, name: &str) -> Option<&'a str> {
        self.members.iter().find(|(known, _)| known == name).map(|(_, text)| *text).filter(|text| *text != "null")
    }

    pub(super) fn members(&self) -> impl Iterator<Item = (&str, &'a str)> {
        self.members.iter().map(|(name, text)| (name.as_ref(), *text))
    }

    /// Where the member's value stands in the object's text, null included.
    pub(super) fn span(&self, name: &str) -> Option<Range<usize>> {
        let (_, text) = self.members.iter().find(|(known, _)| known == name)?;
        let from = text.as_ptr() as usize - self.text.as_ptr() as usize;
        Some(from..from + text.len())
    }

    /// The object's text with `changes` written over or added. Every other byte stays as it was.
    pub(super) fn with(&self, changes: &[(&str, String)]) -> String {
        let mut edits = Edits::default();
        for (name, value) in changes {
            edits.set(self.span(name), name, value.clone());
        }
        edits.apply(self.text, self.members.is_empty())
    }
}

/// Changes to the text of one object.
#[derive(Default)]
pub(super) struct Edits {
    replaced: Vec<(Range<usize>, String)>,
    added: Vec<String>,
}

impl Edits {
    /// Writes over the value at `span`, or adds the member.
    pub(super) fn set(&mut self, span: Option<Range<usize>>, name: &str, value: String) {
        match span {
            Some(span) => self.replaced.push((span, value)),
            None => self.added.push(format!("\"{name}\":{value}")),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.replaced.is_empty() && self.added.is_empty()
    }

    pub(super) fn apply(mut self, text: &str, is_empty: bool) -> String {
        if !self.added.is_empty() {
            let after_brace = text.find('{').map_or(0, |at| at + 1);
            let comma = if is_empty { "" } else { "," };
            self.replaced.push((after_brace..after_brace, self.added.join(",") + comma));
        }
        self.replaced.sort_by_key(|(span, _)| span.start);
        let grown: usize = self.replaced.iter().map(|(_, value)| value.len()).sum();
        let mut out = String::with_capacity(text.len() + grown);
        let mut from = 0;
        for (span, value) in &self.replaced {
            out.push_str(&text[from..span.start]);
            out.push_str(value);
            from = span.end;
        }
        out.push_str(&text[from..]);
        out
    }
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Vec<(Cow<'de, str>, &'de str)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(name) = map.next_key::<Name<'de>>()? {
            members.push((name.0, map.next_value::<&'de RawValue>()?.get()));
        }
        Ok(members)
    }
}

/// A member's name, copied only when it has escapes.
#[derive(serde::Deserialize)]
#[serde(transparent)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);
