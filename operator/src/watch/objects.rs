//! Names of ConfigMaps and Secrets that resources refer to in; their content out, each watched by name while it is referred to.
//!
//! # Why one by one
//! An operator that lists Secrets holds every Secret of the cluster in memory and needs the right to read them all. By name, it
//! reads what a resource names, and a Role can say which those are.

use crate::dirty::Dirty;
use futures_util::StreamExt;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::runtime::watcher;
use kube::{Api, Client, ResourceExt};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How long a first answer is waited for before an object counts as missing.
const FIRST_ANSWER: Duration = Duration::from_secs(2);

/// An object that a resource refers to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    /// Its namespace.
    pub namespace: String,
    /// ConfigMap or Secret.
    pub source: Source,
    /// Its name.
    pub name: String,
}

/// What is referred to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// A ConfigMap.
    ConfigMap,
    /// A Secret.
    Secret,
}

/// Content of an object, as bytes by key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// Bytes by key.
    pub data: BTreeMap<String, Vec<u8>>,
    /// Its resourceVersion.
    pub resource_version: u64,
}

/// `None` before the first answer.
type Answer = Option<Option<Arc<Content>>>;

/// Everything that is referred to now.
pub struct Objects {
    client: Client,
    watched: Mutex<HashMap<Reference, Watched>>,
    /// What ConfigMaps held when they were last there.
    last: Mutex<HashMap<Reference, Arc<Content>>>,
    /// Namespaces with an object that changed.
    pub changed: Arc<Dirty<String>>,
}

struct Watched {
    answer: watch::Receiver<Answer>,
    task: JoinHandle<()>,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Objects {
    /// Watches nothing yet.
    pub fn new(client: Client) -> Objects {
        Objects { client, watched: Mutex::default(), last: Mutex::default(), changed: Arc::default() }
    }

    /// Watches exactly these objects of the namespace from now on, and says what each holds; an object that does not exist is not in the answer.
    pub async fn resolve(&self, namespace: &str, wanted: &BTreeSet<Reference>) -> BTreeMap<Reference, Arc<Content>> {
        let mut answers = self.follow(namespace, wanted);
        let mut out = BTreeMap::new();
        let deadline = tokio::time::Instant::now() + FIRST_ANSWER;
        for (reference, answer) in &mut answers {
            let first = tokio::time::timeout_at(deadline, answer.wait_for(Option::is_some)).await;
            match first {
                Ok(Ok(known)) => {
                    if let Some(Some(content)) = &*known {
                        out.insert(reference.clone(), content.clone());
                    }
                }
                Ok(Err(_)) | Err(_) => {
                    tracing::warn!(?reference, "no answer yet: treated as missing until there is one")
                }
            }
        }
        out
    }

    /// What these ConfigMaps held when they were last there, for those that `found` lacks; what nobody names any more is forgotten.
    pub fn last_good(
        &self,
        namespace: &str,
        wanted: &BTreeSet<Reference>,
        found: &BTreeMap<Reference, Arc<Content>>,
    ) -> BTreeMap<String, Arc<Content>> {
        let mut last = self.last.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        last.retain(|reference, _| reference.namespace != namespace || wanted.contains(reference));
        let maps = found.iter().filter(|(reference, _)| reference.source == Source::ConfigMap);
        last.extend(maps.map(|(reference, content)| (reference.clone(), content.clone())));
        let missing = last.iter().filter(|(held, _)| held.namespace == namespace && !found.contains_key(held));
        missing.map(|(reference, content)| (reference.name.clone(), content.clone())).collect()
    }

    fn follow(&self, namespace: &str, wanted: &BTreeSet<Reference>) -> Vec<(Reference, watch::Receiver<Answer>)> {
        let mut watched = self.watched.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        watched.retain(|reference, _| reference.namespace != namespace || wanted.contains(reference));
        wanted
            .iter()
            .map(|reference| {
                let entry = watched.entry(reference.clone()).or_insert_with(|| self.watch(reference.clone()));
                (reference.clone(), entry.answer.clone())
            })
            .collect()
    }

    fn watch(&self, reference: Reference) -> Watched {
        let (sender, answer) = watch::channel(None);
        let (client, changed) = (self.client.clone(), self.changed.clone());
        let task = tokio::spawn(async move {
            match reference.source {
                Source::ConfigMap => follow::<ConfigMap>(client, reference, config_map, sender, changed).await,
                Source::Secret => follow::<Secret>(client, reference, secret, sender, changed).await,
            }
        });
        Watched { answer, task }
    }
}

async fn follow<K>(
    client: Client,
    reference: Reference,
    read: fn(K) -> Content,
    sender: watch::Sender<Answer>,
    changed: Arc<Dirty<String>>,
) where
    K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned
        + Send
        + 'static,
{
    let api: Api<K> = Api::namespaced(client, &reference.namespace);
    let mut states = watcher::watch_object(api, &reference.name).boxed();
    while let Some(state) = states.next().await {
        match state {
            Ok(object) => {
                let content = object.map(|object| Arc::new(read(object)));
                let news = sender.send_if_modified(|held| {
                    let first = held.is_none();
                    let news = held
                        .as_ref()
                        .is_some_and(|held| held.as_ref().map(|c| &c.data) != content.as_ref().map(|c| &c.data));
                    if first || news {
                        *held = Some(content);
                    }
                    first || news
                });
                if news {
                    changed.mark(reference.namespace.clone());
                }
            }
            Err(error) => {
                tracing::warn!(?reference, %error, "watch interrupted; trying again");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

fn version<K: kube::Resource>(object: &K) -> u64 {
    object.resource_version().and_then(|version| version.parse().ok()).unwrap_or(0)
}

fn config_map(object: ConfigMap) -> Content {
    let resource_version = version(&object);
    let text = object.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.into_bytes()));
    let binary = object.binary_data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0));
    Content { data: text.chain(binary).collect(), resource_version }
}

fn secret(object: Secret) -> Content {
    let resource_version = version(&object);
    Content {
        data: object.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0)).collect(),
        resource_version,
    }
}
