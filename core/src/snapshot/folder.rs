//! The files of a folder and what was good before in, a snapshot with its facts out; every mistake keeps its file and line.

mod companions;

use super::{Accepted, Entry, Facts, Mode, Snapshot};
use crate::{
    compile::Verdicts,
    manifest::{self, Document, FieldError, Id, Kind, Lines, Located, Parsed},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use tollway_crds::model_route::LastAccepted;

/// What a folder holds.
pub struct Folder {
    /// The resources.
    pub snapshot: Snapshot,
    /// Secrets and ConfigMaps that manifests of the folder give.
    pub facts: Facts,
    /// Values of the Secrets: name, key, value.
    pub secrets: BTreeMap<String, BTreeMap<String, Vec<u8>>>,
    /// Mistakes that belong to no resource: YAML that cannot be read, kinds that are not ours, names given twice.
    pub errors: Vec<Located>,
    sources: BTreeMap<Id, Source>,
}

struct Source {
    file: String,
    lines: Lines,
    spec: Value,
}

/// What a folder held when it was last good; standalone keeps it in the state directory.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LastGood {
    namespace: String,
    resources: BTreeMap<String, Held>,
    config_maps: BTreeMap<String, BTreeMap<String, String>>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Held {
    kind: Kind,
    name: String,
    file: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<String, String>,
    generation: i64,
    spec: Value,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    accepted: Option<LastAccepted>,
}

impl Folder {
    /// Reads files by name. While there is anything in a file that cannot be told to be a resource, the resources last seen in that file
    /// stay as they were last good: a slip in a name or a kind must not take a route or a cap away.
    #[must_use]
    pub fn read(files: &BTreeMap<String, String>, last: &LastGood) -> Self {
        let mut folder = Self {
            snapshot: Snapshot::default(),
            facts: Facts {
                mode: Mode::Standalone,
                config_maps: last.config_maps.clone(),
                stale_config_maps: last.config_maps.keys().cloned().collect(),
                ..Facts::default()
            },
            secrets: BTreeMap::new(),
            errors: Vec::new(),
            sources: BTreeMap::new(),
        };
        for (file, text) in files {
            let (documents, errors) = manifest::documents(file, text);
            folder.errors.extend(errors);
            for document in documents {
                folder.add(file, document, last);
            }
        }
        let broken: BTreeSet<String> = folder.errors.iter().map(|error| error.file.clone()).collect();
        if folder.snapshot.namespace.is_empty() && !broken.is_empty() {
            folder.snapshot.namespace.clone_from(&last.namespace);
        }
        if folder.snapshot.namespace.is_empty() {
            folder.snapshot.namespace = "default".to_owned();
        }
        folder.keep(last, &broken);
        folder.errors.sort();
        folder
    }

    /// Every mistake, by file and line: those of the folder and those of its resources.
    #[must_use]
    pub fn mistakes(&self, verdicts: &Verdicts) -> Vec<Located> {
        let of_resources =
            verdicts.iter().flat_map(|(id, verdict)| verdict.mistakes().map(move |error| self.locate(id, error)));
        let mut all: Vec<Located> = self.errors.iter().cloned().chain(of_resources).collect();
        all.sort();
        all.dedup();
        all
    }

    /// Where a mistake of a resource is.
    #[must_use]
    pub fn locate(&self, id: &Id, error: &FieldError) -> Located {
        let source = self.sources.get(id);
        Located {
            file: source.map_or_else(String::new, |s| s.file.clone()),
            line: source.map_or(0, |s| s.lines.line(&error.field)),
            message: format!("{id} {error}"),
        }
    }

    /// What to keep for the next reading, after `compile`.
    #[must_use]
    pub fn remember(&self, verdicts: &Verdicts) -> LastGood {
        let held = |(id, entry): (&Id, &Entry)| {
            let source = self.sources.get(id)?;
            let accepted = verdicts.get(id).and_then(|verdict| verdict.last_accepted.as_ref());
            let held = Held {
                kind: id.kind,
                name: id.name.clone(),
                file: source.file.clone(),
                labels: entry.labels.clone(),
                generation: entry.generation,
                spec: source.spec.clone(),
                accepted: accepted.map(|a| LastAccepted { generation: a.generation, spec: a.spec.to_value() }),
            };
            Some((id.to_string(), held))
        };
        LastGood {
            namespace: self.snapshot.namespace.clone(),
            resources: self.snapshot.resources.iter().filter_map(held).collect(),
            config_maps: self.facts.config_maps.clone(),
        }
    }

    fn add(&mut self, file: &str, document: Document, last: &LastGood) {
        let Document { mut value, lines } = document;
        let mut wrong = companions::header(&value, &mut self.snapshot.namespace);
        let (api, kind) =
            (value["apiVersion"].as_str().unwrap_or_default(), value["kind"].as_str().unwrap_or_default());
        match (api, Kind::from_name(kind)) {
            ("v1", None) if kind == "Secret" => {
                wrong.extend(companions::secret(&value, &mut self.secrets, &mut self.facts.secrets));
            }
            ("v1", None) if kind == "ConfigMap" => wrong.extend(companions::config_map(&value, &mut self.facts)),
            (tollway_crds::API_VERSION, Some(kind)) => {
                // What is wrong around the spec belongs to the resource, as long as it can be told which one that is.
                let named = value["metadata"]["name"].as_str().filter(|_| !wrong.iter().any(|e| e.field == "metadata.name"));
                if let Some(id) = named.map(|name| Id::new(kind, name)) {
                    let read = self.resource(&id, &mut value, (file, &lines), last, std::mem::take(&mut wrong));
                    wrong.extend(read.err());
                }
            }
            _ if !value.is_object() => {}
            _ => wrong.push(FieldError::new(
                "kind",
                format!(
                    "{api} {kind} has no place here: use {} ModelRoute, EmbeddingEndpoint or CostBudget, or v1 Secret or ConfigMap",
                    tollway_crds::API_VERSION
                ),
            )),
        }
        let located =
            |e: FieldError| Located { file: file.to_owned(), line: lines.line(&e.field), message: e.to_string() };
        self.errors.extend(wrong.into_iter().map(located));
    }

    fn resource(
        &mut self,
        id: &Id,
        object: &mut Value,
        (file, lines): (&str, &Lines),
        last: &LastGood,
        around: Vec<FieldError>,
    ) -> Result<(), FieldError> {
        if let Some(first) = self.sources.get(id) {
            let at = format!("{}:{}", first.file, first.lines.line("kind"));
            return Err(FieldError::new("metadata.name", format!("{id} is already in {at}: give each resource once")));
        }
        let spec = object["spec"].take();
        let held = last.resources.get(&id.to_string());
        let generation = held.map_or(1, |h| if h.spec == spec { h.generation } else { h.generation + 1 });
        object["metadata"]["generation"] = generation.into();
        // A creation time exported from a cluster says nothing about the seniority of files.
        object["metadata"]["creationTimestamp"] = Value::Null;
        object["status"] = held.and_then(|h| h.accepted.as_ref()).map_or(
            Value::Null,
            |a| serde_json::json!({ "lastAccepted": { "generation": a.generation, "spec": a.spec } }),
        );
        object["spec"] = spec.clone();
        self.snapshot.read(object)?;
        self.sources.insert(id.clone(), Source { file: file.to_owned(), lines: lines.clone(), spec });
        if let Some(entry) = self.snapshot.resources.get_mut(id)
            && !around.is_empty()
        {
            // Labels that are in doubt must not take a resource out of a budget's selector.
            if let Some(held) = held {
                entry.labels.clone_from(&held.labels);
            }
            entry.parsed.errors.retain(|e| !around.iter().any(|a| a.field == e.field));
            entry.parsed.errors.splice(0..0, around);
        }
        Ok(())
    }

    /// Resources of files that could not be read stay as they were last good.
    fn keep(&mut self, last: &LastGood, broken: &BTreeSet<String>) {
        for held in last.resources.values().filter(|held| broken.contains(&held.file)) {
            let id = Id::new(held.kind, held.name.clone());
            if self.snapshot.resources.contains_key(&id) {
                continue;
            }
            let accepted = held.accepted.as_ref();
            let accepted =
                accepted.and_then(|a| Accepted::read(held.kind, &serde_json::to_value(a).unwrap_or_default()));
            let message =
                format!("is not found in {} while something in it cannot be read: correct the file", held.file);
            let entry = Entry {
                created: None,
                generation: held.generation,
                labels: held.labels.clone(),
                parsed: Parsed { spec: None, errors: vec![FieldError::new("spec", message)] },
                last_accepted: accepted,
            };
            self.snapshot.resources.insert(id.clone(), entry);
            let source = Source { file: held.file.clone(), lines: Lines::of("", 0), spec: held.spec.clone() };
            self.sources.insert(id, source);
        }
    }
}

#[cfg(test)]
mod tests;
