//! A namespace's resources in; the ConfigMaps and Secrets they name out, as facts to compile with and as values to send.

use crate::index::Space;
use crate::publish::Secrets;
use crate::term::Term;
use crate::watch::objects::{Reference, Source};
use std::collections::{BTreeMap, BTreeSet};
use tollway_core::snapshot::{Facts, Mode};

/// What was found.
pub struct Found {
    /// What `compile` may know: names and keys of Secrets, content of ConfigMaps.
    pub facts: Facts,
    /// Values of the Secrets, for proxies only.
    pub secrets: Secrets,
    /// Highest resourceVersion among them.
    pub revision: u64,
}

pub async fn dereference(term: &Term, space: &Space) -> Found {
    let namespace = &space.snapshot.namespace;
    let reference = |source, name: &String| Reference { namespace: namespace.clone(), source, name: name.clone() };
    let wanted: BTreeSet<Reference> = space
        .about
        .values()
        .flat_map(|about| {
            let maps = about.config_maps.iter().map(|name| reference(Source::ConfigMap, name));
            let secrets = about.secrets.iter().map(|name| reference(Source::Secret, name));
            maps.chain(secrets).collect::<Vec<_>>()
        })
        .collect();
    let (catalog, revision) = term.prices.catalog().await;
    let facts = Facts { mode: Mode::Cluster, catalog: (*catalog).clone(), ..Facts::default() };
    let mut found = Found { facts, secrets: Secrets::new(), revision };
    let resolved = term.objects.resolve(namespace, &wanted).await;
    for (name, content) in term.objects.last_good(namespace, &wanted, &resolved) {
        found.facts.config_maps.insert(name.clone(), text(&content.data));
        found.facts.stale_config_maps.insert(name);
    }
    for (Reference { source, name, .. }, content) in resolved {
        found.revision = found.revision.max(content.resource_version);
        match source {
            Source::Secret => {
                found.facts.secrets.insert(name.clone(), content.data.keys().cloned().collect());
                found.secrets.insert(name, content.data.clone());
            }
            Source::ConfigMap => _ = found.facts.config_maps.insert(name, text(&content.data)),
        }
    }
    found
}

/// The keys of a ConfigMap whose content is text.
fn text(data: &BTreeMap<String, Vec<u8>>) -> BTreeMap<String, String> {
    data.iter().filter_map(|(key, value)| Some((key.clone(), String::from_utf8(value.clone()).ok()?))).collect()
}
