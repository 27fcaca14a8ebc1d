//! Compiled tables and Secrets in; for each namespace, the newest of both as values that streams follow, and who has taken what.

pub mod fleet;

use crate::dirty::Dirty;
pub use fleet::Fleet;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::watch;

/// A table on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// Highest resourceVersion of what went in.
    pub revision: u64,
    /// Digest of the bytes.
    pub digest: String,
    /// Canonical bytes.
    pub bytes: Vec<u8>,
}

/// Secret name -> key -> value.
pub type Secrets = BTreeMap<String, BTreeMap<String, Vec<u8>>>;

/// What one namespace's streams follow.
pub struct Space {
    table: watch::Sender<Option<Arc<Published>>>,
    secrets: watch::Sender<Option<Arc<Secrets>>>,
    fleet: Mutex<Fleet>,
}

impl Space {
    fn new() -> Space {
        Space { table: watch::Sender::new(None), secrets: watch::Sender::new(None), fleet: Mutex::default() }
    }

    /// The newest table, from now on.
    pub fn table(&self) -> watch::Receiver<Option<Arc<Published>>> {
        self.table.subscribe()
    }

    /// The newest Secrets, from now on.
    pub fn secrets(&self) -> watch::Receiver<Option<Arc<Secrets>>> {
        self.secrets.subscribe()
    }

    /// Who has taken what.
    pub fn fleet(&self) -> MutexGuard<'_, Fleet> {
        self.fleet.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// Every namespace that is compiled or asked for.
#[derive(Default)]
pub struct Hub {
    spaces: Mutex<HashMap<String, Arc<Space>>>,
    /// Namespaces that a proxy asked for first: they need a table even without a resource.
    pub wanted: Dirty<String>,
    /// Namespaces whose proxies came, went or took something.
    pub moved: Dirty<String>,
}

impl Hub {
    /// The namespace's place, made at first use.
    pub fn space(&self, namespace: &str) -> Arc<Space> {
        let mut spaces = self.spaces.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(space) = spaces.get(namespace) {
            return space.clone();
        }
        let space = Arc::new(Space::new());
        spaces.insert(namespace.to_owned(), space.clone());
        self.wanted.mark(namespace.to_owned());
        space
    }

    /// Sends Secrets before the table that needs them, and each only when it differs. `routes` are the generations that the
    /// table holds; `revision` is used when the table differs from the one before. True when a table went out.
    pub fn publish(
        &self,
        namespace: &str,
        revision: u64,
        digest: &str,
        bytes: Vec<u8>,
        secrets: Secrets,
        routes: &BTreeMap<String, i64>,
    ) -> bool {
        let space = self.space(namespace);
        space.secrets.send_if_modified(|held| {
            let differs = held.as_deref() != Some(&secrets);
            if differs {
                *held = Some(Arc::new(secrets));
            }
            differs
        });
        // The fleet learns of it first: an acknowledgement must not arrive before the publication it is for.
        let held = space.table.borrow().clone();
        let (revision, sent) = match held {
            Some(held) if held.digest == digest => (held.revision, false),
            held => (revision.max(held.map_or(0, |held| held.revision + 1)), true),
        };
        space.fleet().published(revision, routes);
        if sent {
            space.table.send_replace(Some(Arc::new(Published { revision, digest: digest.to_owned(), bytes })));
        }
        self.moved.mark(namespace.to_owned());
        sent
    }

    /// Proxies connected in all namespaces.
    pub fn connected(&self) -> usize {
        let spaces = self.spaces.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        spaces.values().map(|space| space.fleet().connected()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publish(hub: &Hub, revision: u64, digest: &str) -> bool {
        hub.publish("ns", revision, digest, vec![1], Secrets::new(), &BTreeMap::from([("r".to_owned(), 1)]))
    }

    #[test]
    fn the_same_digest_is_not_sent_again_and_keeps_its_revision() {
        let hub = Hub::default();
        assert!(publish(&hub, 10, "a"));
        assert!(!publish(&hub, 11, "a"));
        assert_eq!(hub.space("ns").table().borrow().as_ref().unwrap().revision, 10);
    }

    #[test]
    fn another_table_has_a_higher_revision_even_if_its_inputs_have_not() {
        let hub = Hub::default();
        publish(&hub, 10, "a");
        assert!(publish(&hub, 10, "b"));
        assert_eq!(hub.space("ns").table().borrow().as_ref().unwrap().revision, 11);
    }

    #[tokio::test]
    async fn a_namespace_that_a_proxy_asks_for_is_wanted_once() {
        let hub = Hub::default();
        hub.space("ns");
        hub.space("ns");
        assert_eq!(hub.wanted.take().await.len(), 1);
    }
}
