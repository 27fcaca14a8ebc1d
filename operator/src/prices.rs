//! The shipped catalog and the operator's own ConfigMap in; the prices that every table is compiled with out.

use crate::watch::objects::{Objects, Reference, Source};
use kube::Client;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use tollway_core::spend::catalog::Catalog;

/// Key of the ConfigMap.
pub const KEY: &str = "prices.yaml";

/// Prices in force.
pub struct Prices {
    reference: Option<Reference>,
    /// Marks when the ConfigMap changed.
    pub objects: Objects,
    held: Mutex<(u64, Arc<Catalog>)>,
}

impl Prices {
    /// The shipped prices, under those of the ConfigMap if there is one.
    pub fn new(client: Client, namespace: &str, name: Option<&str>) -> Prices {
        let reference = name.map(|name| Reference {
            namespace: namespace.to_owned(),
            source: Source::ConfigMap,
            name: name.to_owned(),
        });
        let held = Mutex::new((0, Arc::new(Catalog::shipped().clone())));
        Prices { reference, objects: Objects::new(client), held }
    }

    /// The catalog now, and the resourceVersion of the ConfigMap in it. One that is missing or wrong leaves what was good before.
    pub async fn catalog(&self) -> (Arc<Catalog>, u64) {
        if let Some(reference) = &self.reference {
            let wanted = BTreeSet::from([reference.clone()]);
            match self.objects.resolve(&reference.namespace, &wanted).await.remove(reference) {
                Some(content) if content.resource_version == self.now().1 => {}
                Some(content) => match overlaid(content.data.get(KEY)) {
                    Ok(catalog) => self.hold(content.resource_version, catalog),
                    Err(error) => tracing::error!(
                        configmap = reference.name,
                        key = KEY,
                        error,
                        "prices not taken: the ones before stay in force"
                    ),
                },
                None => tracing::error!(
                    configmap = reference.name,
                    "no prices of the operator's own: create the ConfigMap, or drop --catalog-configmap"
                ),
            }
        }
        self.now()
    }

    /// The catalog as it was when a table was last compiled.
    pub fn now(&self) -> (Arc<Catalog>, u64) {
        let held = self.held.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        (held.1.clone(), held.0)
    }

    fn hold(&self, version: u64, catalog: Catalog) {
        *self.held.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = (version, Arc::new(catalog));
    }
}

fn overlaid(text: Option<&Vec<u8>>) -> Result<Catalog, String> {
    let text = text.ok_or_else(|| format!("the key {KEY} is missing: add it"))?;
    let text = std::str::from_utf8(text).map_err(|error| error.to_string())?;
    let mut catalog = Catalog::shipped().clone();
    catalog.overlay(text).map_err(|error| error.to_string())?;
    Ok(catalog)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_catalog_says_so() {
        assert!(overlaid(None).unwrap_err().contains(KEY));
        assert!(overlaid(Some(&b"models: [1".to_vec())).is_err());
    }
}
