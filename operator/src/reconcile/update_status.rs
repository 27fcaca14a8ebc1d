//! Status documents in; written to the API server out, the newest of each only, and only when it differs from the one before.
//!
//! # Why apart from the loop that compiles
//! An edit must reach proxies within a second even when a thousand objects have a status to write.

use crate::dirty::Dirty;
use crate::index::{Id, api_resource};
use crate::metrics::Metrics;
use kube::api::{DynamicObject, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// Writes under way at once.
const WORKERS: usize = 8;
/// Pause after a write that failed.
const PAUSE: Duration = Duration::from_secs(1);

/// The status of one resource.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// Its namespace.
    pub namespace: String,
    /// What it is.
    pub id: Id,
    /// Its uid: one that was made anew does not get the status of the old one.
    pub uid: String,
    /// Everything under `status` that the operator owns.
    pub status: Value,
}

type Place = (String, Id);

/// Documents on their way.
pub struct Writer {
    client: Client,
    metrics: Arc<Metrics>,
    wanted: Arc<Mutex<HashMap<Place, Document>>>,
    lanes: [Arc<Dirty<Place>>; WORKERS],
}

impl Writer {
    /// Writes nothing yet.
    pub fn new(client: Client, metrics: Arc<Metrics>) -> Writer {
        Writer { client, metrics, wanted: Arc::default(), lanes: std::array::from_fn(|_| Arc::default()) }
    }

    /// Has this status written, unless it was the last one wanted.
    pub fn want(&self, document: Document) {
        let place = (document.namespace.clone(), document.id.clone());
        let before = lock(&self.wanted).insert(place.clone(), document.clone());
        if before.as_ref() != Some(&document) {
            let mut hasher = DefaultHasher::new();
            place.hash(&mut hasher);
            let lane = usize::try_from(hasher.finish() % WORKERS as u64).unwrap_or(0);
            if let Some(lane) = self.lanes.get(lane) {
                lane.mark(place);
            }
        }
    }

    /// The status that was wanted last for this very object: newer than what a watch brought back.
    pub fn last(&self, namespace: &str, id: &Id, uid: &str) -> Option<Value> {
        let wanted = lock(&self.wanted);
        wanted.get(&(namespace.to_owned(), id.clone())).filter(|held| held.uid == uid).map(|held| held.status.clone())
    }

    /// Forgets the resources of a namespace that are not there any more.
    pub fn retain(&self, namespace: &str, present: impl Fn(&Id) -> bool) {
        lock(&self.wanted).retain(|(of, id), _| of != namespace || present(id));
    }

    /// The tasks that write; each resource is always written by the same one, in order.
    pub fn workers(&self) -> impl Iterator<Item = impl Future<Output = ()> + Send + 'static> {
        let lanes = self.lanes.clone();
        let (client, wanted, metrics) = (self.client.clone(), self.wanted.clone(), self.metrics.clone());
        lanes.into_iter().map(move |lane| work(client.clone(), wanted.clone(), metrics.clone(), lane))
    }
}

fn lock(wanted: &Mutex<HashMap<Place, Document>>) -> MutexGuard<'_, HashMap<Place, Document>> {
    wanted.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

async fn work(
    client: Client,
    wanted: Arc<Mutex<HashMap<Place, Document>>>,
    metrics: Arc<Metrics>,
    lane: Arc<Dirty<Place>>,
) {
    loop {
        for place in lane.take().await {
            let Some(document) = lock(&wanted).get(&place).cloned() else { continue };
            match write(&client, &document).await {
                Ok(()) => metrics.status_writes.with_label_values(&["written"]).inc(),
                // Deleted, or made anew: its new self gets its own status.
                Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => {
                    let mut wanted = lock(&wanted);
                    if wanted.get(&place).is_some_and(|held| held.uid == document.uid) {
                        wanted.remove(&place);
                    }
                }
                Err(error) => {
                    metrics.status_writes.with_label_values(&["failed"]).inc();
                    tracing::warn!(namespace = place.0, resource = %place.1, %error, "status not written; trying again");
                    tokio::time::sleep(PAUSE).await;
                    lane.mark(place);
                }
            }
        }
    }
}

async fn write(client: &Client, document: &Document) -> kube::Result<()> {
    let Document { namespace, id, uid, status } = document;
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &api_resource(id.kind));
    let patch = json!({
        "apiVersion": tollway_crds::API_VERSION,
        "kind": id.kind.as_str(),
        "metadata": {"uid": uid},
        "status": status,
    });
    let apply = PatchParams::apply(crate::FIELD_MANAGER).force();
    api.patch_status(&id.name, &apply, &Patch::Apply(&patch)).await.map(|_| ())
}
