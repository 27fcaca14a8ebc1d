//! A JSON object or array in, its members or elements as the text they stand as out: for edits that leave every other byte alone.

use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;

#[derive(Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(transparent)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// The members of an object by name; none of what is no object.
pub fn members(text: &str) -> BTreeMap<String, &str> {
    let read = serde_json::from_str::<BTreeMap<Name<'_>, &RawValue>>(text).unwrap_or_default();
    read.into_iter().map(|(name, raw)| (name.0.into_owned(), raw.get())).collect()
}

/// The elements of an array; none of what is no array.
pub fn elements(text: &str) -> Vec<&str> {
    let read = serde_json::from_str::<Vec<&RawValue>>(text).unwrap_or_default();
    read.into_iter().map(RawValue::get).collect()
}
