//! `Node`: one JSON value of a request and its path; reads it as what it must be, or says which field is wrong and how.

use crate::chat::Json;
use crate::error::ApiError;
use serde::de::{Deserializer as _, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

/// A value and where it stands.
#[derive(Clone)]
pub(super) struct Node<'a> {
    raw: &'a RawValue,
    pub(super) path: String,
}

impl<'a> Node<'a> {
    pub(super) fn new(raw: &'a RawValue, path: impl Into<String>) -> Self {
        Self { raw, path: path.into() }
    }

    pub(super) fn json(&self) -> Json {
        Json::from(self.raw)
    }

    /// The text of the value.
    pub(super) fn text(&self) -> &'a str {
        self.raw.get()
    }

    pub(super) fn is_null(&self) -> bool {
        self.raw.get() == "null"
    }

    pub(super) fn is_string(&self) -> bool {
        self.raw.get().starts_with('"')
    }

    /// The error that this value is not `wanted`.
    pub(super) fn wrong(&self, wanted: &str) -> ApiError {
        let found = match self.raw.get().as_bytes().first() {
            Some(b'"') => "a string",
            Some(b'{') => "an object",
            Some(b'[') => "an array",
            Some(b't' | b'f') => "a boolean",
            Some(b'n') => "null",
            _ => self.raw.get(),
        };
        ApiError::invalid(format!("{} must be {wanted}, not {found}", self.path)).param(self.path.as_str())
    }

    /// The error `message` about this value.
    pub(super) fn invalid(&self, message: impl fmt::Display) -> ApiError {
        ApiError::invalid(format!("{}: {message}", self.path)).param(self.path.as_str())
    }

    pub(super) fn string(&self) -> Result<String, ApiError> {
        serde_json::from_str(self.raw.get()).map_err(|_| self.wrong("a string"))
    }

    pub(super) fn non_empty_string(&self) -> Result<String, ApiError> {
        let text = self.string()?;
        if text.is_empty() { Err(self.invalid("must not be empty")) } else { Ok(text) }
    }

    pub(super) fn boolean(&self) -> Result<bool, ApiError> {
        serde_json::from_str(self.raw.get()).map_err(|_| self.wrong("a boolean"))
    }

    /// A whole number in `min..=max`.
    pub(super) fn whole(&self, min: u32, max: u32) -> Result<u32, ApiError> {
        match serde_json::from_str::<u32>(self.raw.get()) {
            Ok(number) if (min..=max).contains(&number) => Ok(number),
            _ => Err(self.wrong(&format!("a whole number from {min} to {max}"))),
        }
    }

    pub(super) fn signed(&self) -> Result<i64, ApiError> {
        serde_json::from_str(self.raw.get()).map_err(|_| self.wrong("a whole number"))
    }

    /// A number in `min..=max`.
    pub(super) fn number(&self, min: f64, max: f64) -> Result<f64, ApiError> {
        match serde_json::from_str::<f64>(self.raw.get()) {
            Ok(number) if (min..=max).contains(&number) => Ok(number),
            _ => Err(self.wrong(&format!("a number from {min} to {max}"))),
        }
    }

    pub(super) fn array(&self) -> Result<Vec<Node<'a>>, ApiError> {
        let items: Vec<&RawValue> = serde_json::from_str(self.raw.get()).map_err(|_| self.wrong("an array"))?;
        Ok(items.into_iter().enumerate().map(|(i, raw)| Self { raw, path: format!("{}[{i}]", self.path) }).collect())
    }

    pub(super) fn object(&self) -> Result<Object<'a>, ApiError> {
        if !self.raw.get().starts_with('{') {
            return Err(self.wrong("an object"));
        }
        let mut reader = serde_json::Deserializer::from_str(self.raw.get());
        let members = reader.deserialize_map(Members).map_err(|e| self.invalid(without_position(&e)))?;
        Ok(Object { path: self.path.clone(), members })
    }
}

/// A JSON error without its line and column, which are relative to an inner value here.
fn without_position(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ").map_or(text.clone(), |(what, _)| what.to_owned())
}

/// The members of one object, each taken once.
pub(super) struct Object<'a> {
    path: String,
    members: Vec<(String, &'a RawValue)>,
}

impl<'a> Object<'a> {
    /// The member `name`; null counts as absent.
    pub(super) fn take(&mut self, name: &str) -> Option<Node<'a>> {
        let at = self.members.iter().position(|(key, _)| key == name)?;
        let (_, raw) = self.members.swap_remove(at);
        let node = Node::new(raw, self.path_of(name));
        (!node.is_null()).then_some(node)
    }

    /// The member `name`, which must be there.
    pub(super) fn need(&mut self, name: &str) -> Result<Node<'a>, ApiError> {
        let path = self.path_of(name);
        self.take(name).ok_or_else(|| ApiError::invalid(format!("{path} is missing")).param(path))
    }

    /// Every member that is left, by name.
    pub(super) fn into_nodes(self) -> impl Iterator<Item = (String, Node<'a>)> {
        let Self { path, members } = self;
        members.into_iter().map(move |(name, raw)| {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            (name, Node::new(raw, path))
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Refuses what was not taken: a field left out here would change the request's meaning.
    pub(super) fn finish(self) -> Result<(), ApiError> {
        match self.members.iter().find(|(_, raw)| raw.get() != "null") {
            None => Ok(()),
            Some((name, _)) => {
                let path = self.path_of(name);
                Err(ApiError::unsupported(
                    path.as_str(),
                    format!("{path} has no translation for this model; leave it out"),
                ))
            }
        }
    }

    fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Vec<(String, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members: Self::Value = Vec::new();
        while let Some((name, raw)) = map.next_entry::<String, &RawValue>()? {
            if members.iter().any(|(seen, _)| *seen == name) {
                return Err(serde::de::Error::custom(format_args!("{name} appears twice")));
            }
            members.push((name, raw));
        }
        Ok(members)
    }
}
