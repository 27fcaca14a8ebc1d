//! One leadership in; everything that exists only while this replica leads out: index, tables, ledgers, observations.

use crate::aws::Aws;
use crate::dirty::Dirty;
use crate::error::{self, Error};
use crate::events::Notes;
use crate::index::{Kind, api_resource};
use crate::ledger::Books;
use crate::metrics::Metrics;
use crate::observe::{Observed, Queue};
use crate::prices::Prices;
use crate::publish::Hub;
use crate::reconcile::{self, update_status::Writer};
use crate::watch::{self, objects::Objects};
use kube::api::{DynamicObject, ListParams};
use kube::{Api, Client};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tollway_core::control::Observation;
use tollway_core::status::TargetSeen;
use tonic::Status;

/// What proxies saw reaches status in steps of this length.
const OBSERVED_EVERY: Duration = Duration::from_secs(3);
/// Watch events that wait for the index.
const EVENTS: usize = 1_024;

/// What every step of a term needs from the process.
#[derive(Clone)]
pub struct Setting {
    /// The API server, for calls: gives up soon.
    pub client: Client,
    /// The API server, for watches: does not.
    pub watches: Client,
    /// The operator's own namespace.
    pub namespace: String,
    /// The only namespace served; `None`: all.
    pub watch_namespace: Option<String>,
    /// ConfigMap with prices, in the operator's own namespace.
    pub catalog: Option<String>,
    /// Namespace of CloudWatch that the figures of budgets are sent to; `None`: they are not.
    pub cloudwatch: Option<String>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Where events go.
    pub notes: Notes,
}

/// One leadership.
pub struct Term {
    /// What the process gave.
    pub setting: Setting,
    /// Tables and who took them.
    pub hub: Hub,
    /// Budgets' ledgers.
    pub books: Arc<Books>,
    /// What budgets ask of AWS.
    pub aws: Arc<Aws>,
    /// What proxies saw.
    pub observed: Observations,
    /// ConfigMaps and Secrets that resources name.
    pub objects: Objects,
    /// Prices for every table.
    pub prices: Prices,
    /// Status on its way to the API server.
    pub writer: Writer,
    /// The cluster's revision when the term began: every earlier leader published at most this.
    pub floor: u64,
}

impl Term {
    /// Reads what must be known before the first proxy is served.
    pub async fn begin(setting: Setting) -> Result<Arc<Term>, Error> {
        let floor = cluster_revision(&setting).await?;
        let Setting { client, watches, namespace, catalog, metrics, notes, watch_namespace: _, cloudwatch: _ } =
            setting.clone();
        let prices = Prices::new(watches.clone(), &namespace, catalog.as_deref());
        let books = Books::open(client.clone(), watches.clone(), namespace, metrics.clone(), notes).await?;
        let term = Term {
            hub: Hub::default(),
            books,
            aws: Aws::new(client.clone()),
            observed: Observations::default(),
            objects: Objects::new(watches),
            prices,
            writer: Writer::new(client, metrics),
            floor,
            setting,
        };
        Ok(Arc::new(term))
    }

    /// Works until it is dropped.
    pub async fn work(self: Arc<Self>) {
        let (sender, events) = mpsc::channel(EVENTS);
        let mut tasks = JoinSet::new();
        for kind in Kind::ALL {
            let Setting { watches, watch_namespace, .. } = self.setting.clone();
            tasks.spawn(watch::kind(watches, kind, watch_namespace, sender.clone()));
        }
        tasks.spawn(self.clone().pass_observations());
        for worker in self.writer.workers() {
            tasks.spawn(worker);
        }
        if let Some(namespace) = self.setting.cloudwatch.clone() {
            let books = self.books.clone();
            tasks.spawn(self.aws.export(namespace, move || books.views()));
        }
        let term = self.clone();
        tasks.spawn(self.aws.measure_queues(move |key| term.observed.queue(&key.namespace, &key.name)));
        // The tasks end with this function, whatever ends it.
        let _ends = Ends(self.books.clone(), self.aws.clone());
        reconcile::run(self.clone(), events).await;
    }

    async fn pass_observations(self: Arc<Self>) {
        let mut tick = tokio::time::interval(OBSERVED_EVERY);
        loop {
            tick.tick().await;
            self.observed.flush();
        }
    }

    /// Turns a caller of another namespace than the one served away.
    pub fn serves(&self, namespace: &str) -> Result<(), Status> {
        match &self.setting.watch_namespace {
            Some(served) if served != namespace => {
                Err(Status::permission_denied(format!("this operator serves namespace {served} only, not {namespace}")))
            }
            _ => Ok(()),
        }
    }

    /// The newest revision of the cluster, if it can be read.
    pub async fn cluster_revision(&self) -> Option<u64> {
        cluster_revision(&self.setting).await.inspect_err(|error| tracing::warn!(%error, "revision not read")).ok()
    }
}

struct Ends(Arc<Books>, Arc<Aws>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.close();
        self.1.close();
    }
}

async fn cluster_revision(setting: &Setting) -> Result<u64, Error> {
    let resource = api_resource(Kind::ModelRoute);
    let api: Api<DynamicObject> = match &setting.watch_namespace {
        Some(namespace) => Api::namespaced_with(setting.client.clone(), namespace, &resource),
        None => Api::all_with(setting.client.clone(), &resource),
    };
    let list = api.list_metadata(&ListParams::default().limit(1)).await;
    let list = list.map_err(error::api("ModelRoutes (are the CustomResourceDefinitions installed?)".into()))?;
    Ok(list.metadata.resource_version.and_then(|version| version.parse().ok()).unwrap_or(0))
}

/// What the proxies of every namespace saw.
#[derive(Default)]
pub struct Observations {
    spaces: Mutex<BTreeMap<String, Observed>>,
    news: Mutex<BTreeSet<String>>,
    /// Namespaces with something new to show.
    pub changed: Dirty<String>,
}

impl Observations {
    fn spaces(&self) -> MutexGuard<'_, BTreeMap<String, Observed>> {
        self.spaces.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// A stream of this incarnation began.
    pub fn joined(&self, namespace: &str, incarnation: &str) {
        self.spaces().entry(namespace.to_owned()).or_default().joined(incarnation);
    }

    /// It ended.
    pub fn left(&self, namespace: &str, incarnation: &str) {
        if let Some(observed) = self.spaces().get_mut(namespace) {
            observed.left(incarnation);
        }
        self.news(namespace);
    }

    /// It said something.
    pub fn observe(&self, namespace: &str, observation: Observation) {
        let news = self.spaces().get_mut(namespace).is_some_and(|observed| observed.observe(observation));
        if news {
            self.news(namespace);
        }
    }

    /// The sums for one route.
    pub fn route(&self, namespace: &str, route: &str) -> BTreeMap<String, TargetSeen> {
        self.spaces().get(namespace).map(|observed| observed.route(route)).unwrap_or_default()
    }

    /// Texts a second of an embedding endpoint.
    pub fn pace(&self, namespace: &str, endpoint: &str) -> Option<String> {
        self.spaces().get(namespace).and_then(|observed| observed.pace(endpoint))
    }

    /// What waits at an embedding endpoint.
    pub fn queue(&self, namespace: &str, endpoint: &str) -> Queue {
        self.spaces().get(namespace).map(|observed| observed.queue(endpoint)).unwrap_or_default()
    }

    /// Calls that found no copy of an embedding endpoint running.
    pub fn unanswered(&self, namespace: &str, endpoint: &str) -> u64 {
        self.spaces().get(namespace).map(|observed| observed.unanswered(endpoint)).unwrap_or_default()
    }

    fn news(&self, namespace: &str) {
        self.news.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).insert(namespace.to_owned());
    }

    fn flush(&self) {
        let now = Instant::now();
        let paced: Vec<String> = self
            .spaces()
            .iter_mut()
            .filter_map(|(name, observed)| observed.sample(now).then(|| name.clone()))
            .collect();
        paced.iter().for_each(|namespace| self.news(namespace));
        for namespace in std::mem::take(&mut *self.news.lock().unwrap_or_else(|poisoned| poisoned.into_inner())) {
            self.changed.mark(namespace);
        }
    }
}
