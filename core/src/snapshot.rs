//! Every resource of one namespace by identity, and the facts around them: what `compile` reads. A folder and a cluster fill it through `Snapshot::read`.

mod folder;

pub use folder::{Folder, LastGood};

use crate::{
    manifest::{self, FieldError, Id, Kind, Parsed, Spec},
    spend::catalog::Catalog,
};
use jiff::Timestamp;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Every resource of one namespace.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// The namespace.
    pub namespace: String,
    /// Resources by identity.
    pub resources: BTreeMap<Id, Entry>,
}

/// One resource.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// When it was created; absent in a folder, where names decide seniority.
    pub created: Option<Timestamp>,
    /// Generation of the spec.
    pub generation: i64,
    /// Labels, for selectors.
    pub labels: BTreeMap<String, String>,
    /// The spec as written.
    pub parsed: Parsed,
    /// The spec that was in force before.
    pub last_accepted: Option<Accepted>,
}

/// A spec that was accepted, and the generation it had.
#[derive(Clone, Debug, PartialEq)]
pub struct Accepted {
    /// Generation of the spec.
    pub generation: i64,
    /// The spec.
    pub spec: Spec,
}

/// Where the table will be served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// In a cluster: loopback addresses belong to the Pod and must be asked for.
    #[default]
    Cluster,
    /// From a folder, on a machine of one's own.
    Standalone,
}

/// What is true around the resources.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Where the table will be served.
    pub mode: Mode,
    /// Secrets that exist and the keys they have; never their values.
    pub secrets: BTreeMap<String, BTreeSet<String>>,
    /// ConfigMaps: their content, or the last good one while they are missing.
    pub config_maps: BTreeMap<String, BTreeMap<String, String>>,
    /// Those of the ConfigMaps that are missing.
    pub stale_config_maps: BTreeSet<String>,
    /// Prices and token bounds: the shipped catalog with the operator's own word over it.
    pub catalog: Catalog,
}

impl Default for Facts {
    fn default() -> Self {
        Self {
            mode: Mode::default(),
            secrets: BTreeMap::new(),
            config_maps: BTreeMap::new(),
            stale_config_maps: BTreeSet::new(),
            catalog: Catalog::shipped().clone(),
        }
    }
}

impl Snapshot {
    /// A namespace without resources.
    #[must_use]
    pub fn new(namespace: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), resources: BTreeMap::new() }
    }

    /// Reads one object as the API server has it (`kind`, `metadata`, `spec`, `status.lastAccepted`) and adds it.
    ///
    /// # Errors
    /// It has no identity that could be added: the kind is not one of ours or the name is missing.
    pub fn read(&mut self, object: &Value) -> Result<Id, FieldError> {
        let kind = object["kind"].as_str().unwrap_or_default();
        let kind = Kind::from_name(kind).ok_or_else(|| {
            FieldError::new(
                "kind",
                format!("{kind:?} is not a kind of tollway.dev: use ModelRoute, EmbeddingEndpoint or CostBudget"),
            )
        })?;
        let metadata = &object["metadata"];
        let name = metadata["name"].as_str().filter(|name| !name.is_empty());
        let id = Id::new(kind, name.ok_or_else(|| FieldError::new("metadata.name", "is missing: it must be given"))?);
        let labels = metadata["labels"].as_object().into_iter().flatten();
        let labels = labels.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect();
        let entry = Entry {
            created: metadata["creationTimestamp"].as_str().and_then(|text| text.parse().ok()),
            generation: metadata["generation"].as_i64().unwrap_or_default(),
            labels,
            parsed: manifest::spec(kind, &object["spec"]),
            last_accepted: Accepted::read(kind, &object["status"]["lastAccepted"]),
        };
        self.resources.insert(id.clone(), entry);
        Ok(id)
    }
}

impl Accepted {
    /// Reads `{generation, spec}` as status keeps it; one that is no longer of the right form is no last good spec.
    #[must_use]
    pub fn read(kind: Kind, value: &Value) -> Option<Self> {
        let generation = value["generation"].as_i64()?;
        let Parsed { spec, errors } = manifest::spec(kind, &value["spec"]);
        errors.is_empty().then_some(())?;
        Some(Self { generation, spec: spec? })
    }
}
