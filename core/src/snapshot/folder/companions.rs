//! What stands beside resources in a folder: the head of every manifest, v1 Secrets, v1 ConfigMaps.

use crate::manifest::FieldError;
use crate::snapshot::Facts;
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

const METADATA: [&str; 12] = [
    "name",
    "namespace",
    "labels",
    "annotations",
    "creationTimestamp",
    "generation",
    "resourceVersion",
    "uid",
    "managedFields",
    "finalizers",
    "ownerReferences",
    "selfLink",
];

/// Mistakes in what every manifest has; the first namespace named is the folder's.
pub fn header(manifest: &Value, namespace: &mut String) -> Vec<FieldError> {
    let mut wrong = Vec::new();
    let Some(object) = manifest.as_object() else {
        return vec![FieldError::new("", "a manifest is a group of fields: apiVersion, kind, metadata and spec")];
    };
    for field in ["apiVersion", "kind"] {
        if !object.get(field).is_some_and(Value::is_string) {
            wrong.push(FieldError::new(field, "is missing: it must be given as text"));
        }
    }
    let of_ours = object.get("apiVersion").and_then(Value::as_str) == Some(tollway_crds::API_VERSION);
    let known = |f: &str| ["apiVersion", "kind", "metadata", "spec", "status"].contains(&f);
    if of_ours {
        let unknown = object.keys().filter(|field| !known(field));
        wrong.extend(unknown.map(|f| FieldError::new(f, "no such field: fields of a resource stand under spec")));
        if !object.contains_key("spec") {
            wrong.push(FieldError::new("spec", "is missing: it must be given"));
        }
    }
    let Some(metadata) = object.get("metadata").and_then(Value::as_object) else {
        wrong.push(FieldError::new("metadata", "is missing: it must be given, with a name"));
        return wrong;
    };
    wrong.extend(self::metadata(metadata, if of_ours { 63 } else { 253 }));
    match metadata.get("namespace").and_then(Value::as_str) {
        Some(named) if namespace.is_empty() => named.clone_into(namespace),
        Some(named) if named != namespace => wrong.push(FieldError::new(
            "metadata.namespace",
            format!("{named} is another namespace than {namespace}: a folder holds one namespace"),
        )),
        _ => {}
    }
    wrong
}

fn metadata(metadata: &Map<String, Value>, longest: usize) -> Vec<FieldError> {
    let mut wrong = Vec::new();
    let unknown = metadata.keys().filter(|field| !METADATA.contains(&field.as_str()));
    wrong.extend(unknown.map(|f| FieldError::new(format!("metadata.{f}"), "no such field: remove it")));
    let name = metadata.get("name").and_then(Value::as_str).unwrap_or_default();
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    let outer = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    if name.is_empty() {
        wrong.push(FieldError::new("metadata.name", "is missing: it must be given as text"));
    } else if name.len() > longest || !name.chars().all(inner) || !name.starts_with(outer) || !name.ends_with(outer) {
        wrong.push(FieldError::new(
            "metadata.name",
            format!("{name:?} is no name: write lower case letters, digits, - and ., at most {longest} of them"),
        ));
    }
    for field in ["labels", "annotations"] {
        let Some(group) = metadata.get(field) else { continue };
        let Some(group) = group.as_object() else {
            wrong.push(FieldError::new(format!("metadata.{field}"), "is no group of fields: write names with values"));
            continue;
        };
        let odd = group.iter().filter(|(_, value)| !value.is_string());
        wrong.extend(
            odd.map(|(name, _)| FieldError::new(format!("metadata.{field}.{name}"), "is not text: put it in quotes")),
        );
    }
    wrong
}

/// Adds a v1 Secret: `data` in base64, `stringData` as it is.
pub fn secret(
    manifest: &Value,
    values: &mut BTreeMap<String, BTreeMap<String, Vec<u8>>>,
    keys: &mut BTreeMap<String, BTreeSet<String>>,
) -> Vec<FieldError> {
    let mut wrong = unknown(manifest, &["type", "data", "stringData", "immutable"]);
    let mut data = BTreeMap::new();
    for (key, value) in manifest["data"].as_object().into_iter().flatten() {
        match value.as_str().and_then(|text| STANDARD.decode(text.split_whitespace().collect::<String>()).ok()) {
            Some(bytes) => _ = data.insert(key.clone(), bytes),
            // The value stays out of the message: it is a secret.
            None => wrong.push(FieldError::new(format!("data.{key}"), "is not base64: encode it, or use stringData")),
        }
    }
    for (key, value) in manifest["stringData"].as_object().into_iter().flatten() {
        match value.as_str() {
            Some(text) => _ = data.insert(key.clone(), text.as_bytes().to_vec()),
            None => wrong.push(FieldError::new(format!("stringData.{key}"), "is not text: put it in quotes")),
        }
    }
    let Some(name) = manifest["metadata"]["name"].as_str() else { return wrong };
    if keys.contains_key(name) {
        wrong.push(FieldError::new("metadata.name", format!("Secret/{name} is there twice: give it once")));
    } else {
        keys.insert(name.to_owned(), data.keys().cloned().collect());
        values.insert(name.to_owned(), data);
    }
    wrong
}

/// Adds a v1 ConfigMap.
pub fn config_map(manifest: &Value, facts: &mut Facts) -> Vec<FieldError> {
    let mut wrong = unknown(manifest, &["data", "binaryData", "immutable"]);
    let mut data = BTreeMap::new();
    for (key, value) in manifest["data"].as_object().into_iter().flatten() {
        match value.as_str() {
            Some(text) => _ = data.insert(key.clone(), text.to_owned()),
            None => wrong.push(FieldError::new(format!("data.{key}"), "is not text: put it in quotes")),
        }
    }
    if let Some(name) = manifest["metadata"]["name"].as_str() {
        facts.stale_config_maps.remove(name);
        facts.config_maps.insert(name.to_owned(), data);
    }
    wrong
}

fn unknown(manifest: &Value, known: &[&str]) -> Vec<FieldError> {
    let fields = manifest.as_object().into_iter().flat_map(Map::keys);
    let unknown =
        fields.filter(|f| !["apiVersion", "kind", "metadata"].contains(&f.as_str()) && !known.contains(&f.as_str()));
    unknown.map(|f| FieldError::new(f, format!("no such field: use {}", known.join(", ")))).collect()
}
