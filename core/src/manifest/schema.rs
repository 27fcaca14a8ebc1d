//! A spec and the schema of its kind in, every mistake of form out; the spec is repaired in place so that the rest of it can be read.

use super::{FieldError, Kind};
use regex_lite::Regex;
use serde_json::{Map, Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

static SCHEMAS: LazyLock<BTreeMap<String, Value>> = LazyLock::new(|| {
    let of_spec = |crd: Value| {
        let kind = crd.pointer("/spec/names/kind")?.as_str()?.to_owned();
        let schema = crd.pointer("/spec/versions/0/schema/openAPIV3Schema/properties/spec")?.clone();
        Some((kind, schema))
    };
    tollway_crds::all().into_iter().filter_map(|crd| of_spec(serde_json::to_value(crd).ok()?)).collect()
});

static PATTERNS: LazyLock<BTreeMap<String, Regex>> = LazyLock::new(|| {
    let mut patterns = BTreeMap::new();
    SCHEMAS.values().for_each(|schema| gather(schema, &mut patterns));
    patterns
});

fn gather(schema: &Value, patterns: &mut BTreeMap<String, Regex>) {
    if let Some(pattern) = schema["pattern"].as_str()
        && let Ok(regex) = Regex::new(pattern)
    {
        patterns.insert(pattern.to_owned(), regex);
    }
    schema["properties"].as_object().into_iter().flat_map(Map::values).for_each(|s| gather(s, patterns));
    [&schema["items"], &schema["additionalProperties"]]
        .into_iter()
        .filter(|s| s.is_object())
        .for_each(|s| gather(s, patterns));
}

/// Every mistake of form in `spec`, which is left readable as far as that can be done.
pub fn check(kind: Kind, spec: &mut Value) -> Vec<FieldError> {
    let mut walk = Walk::default();
    if let Some(schema) = SCHEMAS.get(kind.as_str())
        && !walk.value(schema, spec, "spec")
    {
        *spec = harmless(schema);
    }
    walk.errors
}

#[derive(Default)]
struct Walk {
    errors: Vec<FieldError>,
}

impl Walk {
    fn wrong(&mut self, path: &str, message: impl Into<String>) {
        self.errors.push(FieldError::new(path, message));
    }

    /// Whether the value can stay; what is wrong inside it is repaired.
    fn value(&mut self, schema: &Value, value: &mut Value, path: &str) -> bool {
        if schema["x-kubernetes-preserve-unknown-fields"] == true {
            return true;
        }
        match (schema["type"].as_str().unwrap_or_default(), &mut *value) {
            ("object", Value::Object(object)) => self.object(schema, object, path),
            ("array", Value::Array(items)) => self.array(schema, items, path),
            ("string", Value::String(text)) => return self.text(schema, text, path),
            ("integer", Value::Number(number)) if number.is_i64() || number.is_u64() => {
                return self.number(schema, number.as_f64(), path);
            }
            ("number", Value::Number(number)) => return self.number(schema, number.as_f64(), path),
            ("boolean", Value::Bool(_)) => {}
            (expected, found) => {
                self.wrong(path, mistyped(schema, expected, found));
                return false;
            }
        }
        true
    }

    fn object(&mut self, schema: &Value, object: &mut Map<String, Value>, path: &str) {
        let known = schema["properties"].as_object();
        let others = schema["additionalProperties"].as_object().map(|o| Value::Object(o.clone()));
        let required: Vec<&str> =
            schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        for (name, mut value) in std::mem::take(object) {
            let below = format!("{path}.{name}");
            let Some(schema) = known.and_then(|k| k.get(&name)).or(others.as_ref()) else {
                self.wrong(&below, unknown(&name, known));
                continue;
            };
            if self.value(schema, &mut value, &below) {
                object.insert(name, value);
            } else if required.contains(&name.as_str()) {
                object.insert(name, harmless(schema));
            }
        }
        for name in required {
            if !object.contains_key(name) {
                self.wrong(&format!("{path}.{name}"), "is missing: it must be given");
                object.insert(name.to_owned(), harmless(&schema["properties"][name]));
            }
        }
        let count = object.len() as u64;
        if schema["minProperties"].as_u64().is_some_and(|min| count < min) {
            self.wrong(path, "is empty: give at least one entry or leave it out");
        }
        if let Some(max) = schema["maxProperties"].as_u64().filter(|max| count > *max) {
            self.wrong(path, format!("has {count} entries: at most {max} are allowed"));
        }
    }

    fn array(&mut self, schema: &Value, items: &mut [Value], path: &str) {
        let count = items.len() as u64;
        if let Some(min) = schema["minItems"].as_u64().filter(|min| count < *min) {
            self.wrong(path, format!("has {count} items: give at least {min}"));
        }
        if let Some(max) = schema["maxItems"].as_u64().filter(|max| count > *max) {
            self.wrong(path, format!("has {count} items: at most {max} are allowed"));
        }
        let of_items = &schema["items"];
        for (at, item) in items.iter_mut().enumerate() {
            if !self.value(of_items, item, &format!("{path}[{at}]")) {
                *item = harmless(of_items);
            }
        }
        self.unique(schema, items, path);
    }

    /// Sets hold a value once, maps a key once.
    fn unique(&mut self, schema: &Value, items: &[Value], path: &str) {
        let key = match schema["x-kubernetes-list-type"].as_str() {
            Some("set") => None,
            Some("map") => schema["x-kubernetes-list-map-keys"][0].as_str(),
            _ => return,
        };
        let mut seen = BTreeSet::new();
        for (at, item) in items.iter().enumerate() {
            let value = key.map_or(item, |k| &item[k]);
            if *value != harmless(&Value::Null) && *value != json!("") && !seen.insert(value.to_string()) {
                let field = key.map_or_else(|| format!("{path}[{at}]"), |k| format!("{path}[{at}].{k}"));
                self.wrong(&field, format!("{value} is there twice: give each one once"));
            }
        }
    }

    fn text(&mut self, schema: &Value, text: &str, path: &str) -> bool {
        if let Some(allowed) = schema["enum"].as_array() {
            let allowed: Vec<&str> = allowed.iter().filter_map(Value::as_str).collect();
            if !allowed.contains(&text) {
                self.wrong(path, format!("{text:?} is not known: use {}", any_of(&allowed)));
                return false;
            }
        }
        let length = text.chars().count() as u64;
        let shown: String = text.chars().take(64).collect();
        if length == 0 && schema["minLength"].as_u64() > Some(0) {
            self.wrong(path, "is empty: give a value or leave the field out");
            return true;
        }
        if let Some(max) = schema["maxLength"].as_u64().filter(|max| length > *max) {
            self.wrong(path, format!("has {length} characters: at most {max} are allowed"));
            return true;
        }
        if let Some(pattern) = schema["pattern"].as_str()
            && PATTERNS.get(pattern).is_some_and(|regex| !regex.is_match(text))
        {
            let form = tollway_crds::scalar::form(pattern)
                .map_or_else(|| format!("text that matches {pattern}"), str::to_owned);
            self.wrong(path, format!("{shown:?} does not have the right form: write {form}"));
        }
        true
    }

    fn number(&mut self, schema: &Value, number: Option<f64>, path: &str) -> bool {
        let Some(number) = number else { return false };
        let (min, max) = (schema["minimum"].as_f64(), schema["maximum"].as_f64());
        if min.is_some_and(|m| number < m) || max.is_some_and(|m| number > m) {
            let range = match (min, max) {
                (Some(min), Some(max)) => format!("from {min} to {max}"),
                (Some(min), None) => format!("of {min} or more"),
                (_, max) => format!("of {} or less", max.unwrap_or_default()),
            };
            self.wrong(path, format!("{number} is out of range: give a number {range}"));
            return false;
        }
        true
    }
}

fn unknown(name: &str, known: Option<&Map<String, Value>>) -> String {
    let names: Vec<&str> = known.into_iter().flat_map(Map::keys).map(String::as_str).collect();
    let plain = |s: &str| s.to_lowercase().replace(['-', '_'], "");
    match names
        .iter()
        .find(|n| plain(n) == plain(name) || plain(n) == plain(name) + "s" || plain(n) + "s" == plain(name))
    {
        Some(near) => format!("no such field: did you mean {near}?"),
        None => format!("no such field: remove it, or use {}", any_of(&names)),
    }
}

fn mistyped(schema: &Value, expected: &str, found: &Value) -> String {
    let found_is = match found {
        Value::Null => "empty",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a group of fields",
    };
    let advice = match (expected, found) {
        (_, Value::Null) => "give a value or leave the field out".to_owned(),
        ("string", Value::Number(n)) => format!("write it as text, in quotes: \"{n}\""),
        ("string", Value::Bool(b)) => format!("write it as text, in quotes: \"{b}\""),
        ("string", _) => "write text".to_owned(),
        ("integer", Value::Number(_)) => "write a whole number".to_owned(),
        ("integer" | "number", Value::String(_)) => "write a number without quotes".to_owned(),
        ("integer" | "number", _) => "write a number".to_owned(),
        ("boolean", _) => "write true or false without quotes".to_owned(),
        ("array", _) => "write a list, each item after a dash".to_owned(),
        _ => {
            let names: Vec<&str> =
                schema["properties"].as_object().into_iter().flat_map(Map::keys).map(String::as_str).collect();
            format!("write a group of fields: {}", any_of(&names))
        }
    };
    let found_is =
        if matches!((expected, found), ("integer", Value::Number(_))) { "not a whole number" } else { found_is };
    format!("is {found_is}: {advice}")
}

fn any_of(names: &[&str]) -> String {
    match names {
        [] => "nothing".to_owned(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

/// Something of the right type that means as little as possible.
fn harmless(schema: &Value) -> Value {
    match schema["type"].as_str() {
        Some("object") => {
            let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
            required.map(|name| (name.to_owned(), harmless(&schema["properties"][name]))).collect()
        }
        Some("array") => json!([]),
        Some("string") => schema["enum"].as_array().and_then(|e| e.first()).cloned().unwrap_or_else(|| json!("")),
        Some("integer") => json!(schema["minimum"].as_f64().unwrap_or_default() as u32),
        Some("number") => schema["minimum"].clone(),
        Some("boolean") => json!(false),
        _ => Value::Null,
    }
}
