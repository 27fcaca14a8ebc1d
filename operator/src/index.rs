//! Objects as watches bring them in; each namespace's snapshot out, ready to be compiled. Synchronous: no cluster, no clock.
//!
//! # Why the index remembers what was accepted
//! `status.lastAccepted` is written after a table is published and comes back later still. A spec that is broken in between must
//! fall back to the newest accepted one, so the index keeps that itself and believes status only where it knows nothing newer.

use crate::aws::claim;
use kube::api::{ApiResource, ObjectMeta};
use kube::core::GroupVersionKind;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
pub use tollway_core::manifest::{Id, Kind};
use tollway_core::snapshot::{Accepted, Snapshot};
use tollway_core::table::CACHE_SECRET;

/// An object as it is, whatever its form.
#[derive(Clone, Debug)]
pub struct Raw {
    /// Its metadata.
    pub metadata: ObjectMeta,
    /// All of it, metadata included.
    pub value: Value,
}

/// What a watch says.
#[derive(Clone, Debug)]
pub enum Event {
    /// Every object of the kind there is.
    Listed {
        /// The kind.
        kind: Kind,
        /// All of them.
        objects: Vec<Raw>,
    },
    /// One was made or changed.
    Applied {
        /// The kind.
        kind: Kind,
        /// The object.
        object: Raw,
    },
    /// One was deleted.
    Deleted {
        /// The kind.
        kind: Kind,
        /// The object as it was.
        object: Raw,
    },
}

/// The resource of a kind at the API server.
pub fn api_resource(kind: Kind) -> ApiResource {
    let plural = match kind {
        Kind::ModelRoute => "modelroutes",
        Kind::EmbeddingEndpoint => "embeddingendpoints",
        Kind::CostBudget => "costbudgets",
    };
    let kind = GroupVersionKind::gvk(tollway_crds::GROUP, tollway_crds::VERSION, kind.as_str());
    ApiResource::from_gvk_with_plural(&kind, plural)
}

/// Every namespace's resources.
#[derive(Debug, Default)]
pub struct Index {
    spaces: BTreeMap<String, Space>,
    listed: BTreeSet<Kind>,
}

/// One namespace's resources.
#[derive(Clone, Debug)]
pub struct Space {
    /// What `compile` reads.
    pub snapshot: Snapshot,
    /// What `compile` does not need to know of each resource.
    pub about: BTreeMap<Id, About>,
    /// Highest resourceVersion seen here, deletions included.
    pub revision: u64,
}

/// What the operator needs to know of a resource beside its spec.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct About {
    /// Its uid.
    pub uid: String,
    /// `status` as last seen, without `lastAccepted`.
    pub status: Value,
    /// ConfigMaps and Secrets that its spec or its last accepted spec names.
    pub config_maps: BTreeSet<String>,
    /// Secrets likewise.
    pub secrets: BTreeSet<String>,
    /// The place in AWS that it claims: what is there was made for it.
    pub claim: Option<String>,
    /// What else in AWS was made for it.
    pub made: Option<String>,
    /// It is being deleted and waits for its finalizers.
    pub is_deleting: bool,
}

impl Index {
    /// Takes an event; the namespaces that it changed come back.
    pub fn apply(&mut self, event: Event) -> BTreeSet<String> {
        match event {
            Event::Listed { kind, objects } => self.listed(kind, objects),
            Event::Applied { kind, object } => self.applied(kind, object).into_iter().collect(),
            Event::Deleted { kind, object } => self.deleted(kind, &object).into_iter().collect(),
        }
    }

    /// Whether every kind was listed once: before that, a missing resource may only be late.
    pub fn complete(&self) -> bool {
        Kind::ALL.iter().all(|kind| self.listed.contains(kind))
    }

    /// Every namespace that has or had a resource.
    pub fn namespaces(&self) -> BTreeSet<String> {
        self.spaces.keys().cloned().collect()
    }

    /// One namespace as it is now; empty when it has no resource.
    pub fn space(&self, namespace: &str) -> Space {
        self.spaces.get(namespace).cloned().unwrap_or_else(|| Space::new(namespace))
    }

    /// Notes the specs that a compilation accepted.
    pub fn accepted(&mut self, namespace: &str, accepted: impl IntoIterator<Item = (Id, Accepted)>) {
        let Some(space) = self.spaces.get_mut(namespace) else { return };
        for (id, accepted) in accepted {
            if let Some(entry) = space.snapshot.resources.get_mut(&id)
                && entry.last_accepted.as_ref().is_none_or(|held| held.generation <= accepted.generation)
            {
                entry.last_accepted = Some(accepted);
            }
        }
    }

    fn listed(&mut self, kind: Kind, objects: Vec<Raw>) -> BTreeSet<String> {
        self.listed.insert(kind);
        let present: BTreeSet<(String, String)> = objects.iter().map(|object| place(&object.metadata)).collect();
        let mut changed = BTreeSet::new();
        for (namespace, space) in &mut self.spaces {
            let gone: Vec<Id> = space
                .about
                .keys()
                .filter(|id| id.kind == kind && !present.contains(&(namespace.clone(), id.name.clone())))
                .cloned()
                .collect();
            for id in gone {
                space.remove(&id);
                changed.insert(namespace.clone());
            }
        }
        changed.extend(objects.into_iter().filter_map(|object| self.applied(kind, object)));
        changed
    }

    fn applied(&mut self, kind: Kind, object: Raw) -> Option<String> {
        let Raw { metadata, mut value } = object;
        let (namespace, name) = place(&metadata);
        if let Some(fields) = value.as_object_mut() {
            fields.insert("kind".into(), kind.as_str().into());
        }
        let id = Id::new(kind, name);
        let space = self.spaces.entry(namespace.clone()).or_insert_with(|| Space::new(&namespace));
        let uid = metadata.uid.clone().unwrap_or_default();
        let same = space.about.get(&id).is_some_and(|about| about.uid == uid);
        let remembered =
            space.snapshot.resources.get(&id).filter(|_| same).and_then(|entry| entry.last_accepted.clone());
        let before = space.snapshot.resources.get(&id).cloned();
        if let Err(error) = space.snapshot.read(&value) {
            tracing::warn!(%kind, namespace, %error, "object left out");
            return None;
        }
        if let Some(entry) = space.snapshot.resources.get_mut(&id)
            && let Some(remembered) = remembered
            && entry.last_accepted.as_ref().is_none_or(|held| held.generation < remembered.generation)
        {
            entry.last_accepted = Some(remembered);
        }
        let mut about = About::read(uid, &value);
        about.claim = match kind {
            Kind::CostBudget => claim::claimed(claim::BUDGET, &metadata),
            Kind::EmbeddingEndpoint => claim::claimed(claim::SCALING, &metadata),
            Kind::ModelRoute => None,
        };
        about.made = claim::claimed(claim::PROVISION, &metadata);
        about.is_deleting = metadata.deletion_timestamp.is_some();
        let beside = |about: &About| {
            (
                about.config_maps.clone(),
                about.secrets.clone(),
                about.claim.clone(),
                about.made.clone(),
                about.is_deleting,
            )
        };
        let news = !same
            || before.as_ref() != space.snapshot.resources.get(&id)
            || space.about.get(&id).is_none_or(|held| beside(held) != beside(&about));
        space.about.insert(id, about);
        space.saw(&metadata);
        news.then_some(namespace)
    }

    fn deleted(&mut self, kind: Kind, object: &Raw) -> Option<String> {
        let (namespace, name) = place(&object.metadata);
        let space = self.spaces.get_mut(&namespace)?;
        space.remove(&Id::new(kind, name));
        space.saw(&object.metadata);
        Some(namespace)
    }
}

impl Space {
    fn new(namespace: &str) -> Space {
        Space { snapshot: Snapshot::new(namespace), about: BTreeMap::new(), revision: 0 }
    }

    fn remove(&mut self, id: &Id) {
        self.snapshot.resources.remove(id);
        self.about.remove(id);
    }

    fn saw(&mut self, metadata: &ObjectMeta) {
        let version = metadata.resource_version.as_deref().and_then(|version| version.parse().ok());
        self.revision = self.revision.max(version.unwrap_or(0));
    }
}

impl About {
    fn read(uid: String, value: &Value) -> About {
        let mut about = About { uid, status: value["status"].clone(), ..About::default() };
        for spec in [&value["spec"], &value["status"]["lastAccepted"]["spec"]] {
            about.refer(spec);
            // The one Secret that is found by a name of its own: shared answers are encrypted under it.
            about.secrets.extend((spec["cache"]["scope"] == "Shared").then(|| CACHE_SECRET.to_owned()));
        }
        if let Some(status) = about.status.as_object_mut() {
            status.remove("lastAccepted");
        }
        about
    }

    /// Every `secretRef` and `configMapRef`, wherever it stands: a field that is added later needs no word here.
    fn refer(&mut self, value: &Value) {
        match value {
            Value::Object(fields) => {
                for (field, value) in fields {
                    let name = value["name"].as_str().map(str::to_owned);
                    match field.as_str() {
                        "secretRef" => self.secrets.extend(name),
                        "configMapRef" => self.config_maps.extend(name),
                        _ => {}
                    }
                    self.refer(value);
                }
            }
            Value::Array(values) => values.iter().for_each(|value| self.refer(value)),
            _ => {}
        }
    }
}

fn place(metadata: &ObjectMeta) -> (String, String) {
    (metadata.namespace.clone().unwrap_or_default(), metadata.name.clone().unwrap_or_default())
}

#[cfg(test)]
mod tests;
