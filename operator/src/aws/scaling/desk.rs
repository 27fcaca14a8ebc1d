//! Every EmbeddingEndpoint's order in; a task for each, and what it saw last, out.

use super::health::{self, Whereabouts};
use super::hours::{self, Running};
use super::keep::{Order, keep};
use super::queues::Depth;
use super::{Place, VARIANT};
use crate::aws::autoscaler::ApplicationAutoScaling;
use crate::aws::claim::{self, Mark, OnResources};
use crate::aws::clients::Clients;
use crate::aws::endpoints::SageMaker;
use crate::aws::runtime::SageMakerRuntime;
use crate::aws::{Pace, Task, spawn};
use crate::dirty::Dirty;
use crate::index::Kind;
use crate::ledger::Key;
use crate::observe::Queue;
use kube::Client;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tollway_core::spend::Nano;
use tollway_core::status::{HealthSeen, HostingSeen, Ran};
use tollway_crds::embedding_endpoint::Metric;

/// Drift is looked for so often that it is gone within a minute.
const SWEEP: Pace = Pace::up_to(Duration::from_secs(45));

/// Everything that embedding endpoints have to do with AWS during one term.
pub struct Desk {
    aws: Arc<(SageMaker, ApplicationAutoScaling)>,
    runtime: Arc<SageMakerRuntime>,
    claims: (OnResources, OnResources),
    inner: Mutex<Inner>,
    /// Namespaces with an endpoint of which something new is known.
    pub changed: Dirty<String>,
}

#[derive(Default)]
struct Inner {
    kept: BTreeMap<Key, Kept>,
    tasks: JoinSet<()>,
}

struct Kept {
    orders: watch::Sender<Order>,
    seen: Option<HostingSeen>,
    whereabouts: watch::Sender<Option<Whereabouts>>,
    health: Option<HealthSeen>,
    running: Option<Running>,
    _tasks: [Task; 2],
}

const fn claims(client: Client, mark: Mark) -> OnResources {
    OnResources { client, kind: Kind::EmbeddingEndpoint, mark }
}

impl Desk {
    /// Knows nothing and has asked nothing yet.
    pub(in crate::aws) fn new(client: Client, clients: &Arc<Clients>) -> Arc<Desk> {
        Arc::new(Desk {
            aws: Arc::new((SageMaker::new(clients.clone()), ApplicationAutoScaling::new(clients.clone()))),
            runtime: Arc::new(SageMakerRuntime::new(clients.clone())),
            claims: (claims(client.clone(), claim::SCALING), claims(client, claim::PROVISION)),
            inner: Mutex::default(),
            changed: Dirty::default(),
        })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// What every EmbeddingEndpoint of a namespace asks for: all of them, each time. `None`: no spec of it is in force, and nothing changes.
    pub fn agree(self: &Arc<Self>, namespace: &str, orders: BTreeMap<String, Option<Order>>) {
        let mut inner = self.inner();
        inner.kept.retain(|key, _| key.namespace != namespace || orders.contains_key(&key.name));
        for (name, order) in orders.into_iter().filter_map(|(name, order)| Some((name, order?))) {
            let key = Key { namespace: namespace.to_owned(), name };
            match inner.kept.get(&key) {
                Some(kept) if kept.orders.borrow().uid == order.uid => {
                    kept.orders.send_if_modified(|held| {
                        let is_news = held.endpoint != order.endpoint;
                        *held = Order { held_by: held.held_by.take(), unanswered: held.unanswered, ..order };
                        is_news
                    });
                }
                _ => {
                    let (orders, receiver) = watch::channel(order);
                    let (whereabouts, of_it) = watch::channel(None);
                    let (desk, of) = (self.clone(), key.clone());
                    let tell = move |health| desk.called(&of, health);
                    let caller = health::watch(key.clone(), self.runtime.clone(), receiver.clone(), of_it, tell);
                    let (desk, of) = (self.clone(), key.clone());
                    let tell = move |seen| desk.saw(&of, seen);
                    let keeper = keep(key.clone(), self.aws.clone(), self.claims.clone(), receiver, SWEEP, tell);
                    let tasks = [spawn(&mut inner.tasks, keeper), spawn(&mut inner.tasks, caller)];
                    let kept = Kept { orders, seen: None, whereabouts, health: None, running: None, _tasks: tasks };
                    inner.kept.insert(key, kept);
                }
            }
        }
    }

    fn saw(&self, key: &Key, seen: Option<HostingSeen>) {
        let mut inner = self.inner();
        let Some(kept) = inner.kept.get_mut(key) else { return };
        let endpoint = seen.as_ref().and_then(|seen| seen.endpoint.as_ref());
        let has_instances = endpoint.is_some_and(|endpoint| endpoint.instances.is_some());
        // One that is being made answers nobody, and everybody knows.
        let answers = endpoint.filter(|endpoint| endpoint.state != "Creating");
        let whereabouts = answers.map(|endpoint| Whereabouts {
            region: endpoint.region.clone(),
            runs: endpoint.copies.or(endpoint.instances).is_some_and(|(current, _)| current > 0),
        });
        kept.whereabouts.send_if_modified(|held| std::mem::replace(held, whereabouts.clone()) != whereabouts);
        // What it answered when it was there says nothing of one that is gone.
        let trouble = seen.as_ref().and_then(|seen| seen.trouble.as_ref());
        let forgets = trouble.is_some_and(|trouble| trouble.reason == "NotFound") && kept.health.take().is_some();
        let now_ms = jiff::Timestamp::now().as_millisecond();
        if forgets || kept.seen != seen || (has_instances && hours::is_due(kept.running.as_ref(), now_ms)) {
            kept.seen = seen;
            self.changed.mark(key.namespace.clone());
        }
    }

    fn called(&self, key: &Key, health: HealthSeen) {
        let mut inner = self.inner();
        let Some(kept) = inner.kept.get_mut(key) else { return };
        if kept.health.as_ref() != Some(&health) {
            kept.health = Some(health);
            self.changed.mark(key.namespace.clone());
        }
    }

    /// Which exhausted budgets cover an endpoint; `None`: not known.
    pub fn hold(&self, namespace: &str, name: &str, budgets: Option<Vec<String>>) {
        let key = Key { namespace: namespace.to_owned(), name: name.to_owned() };
        let Some(budgets) = budgets else { return };
        if let Some(kept) = self.inner().kept.get(&key) {
            kept.orders.send_if_modified(|held| {
                let is_news = held.held_by.as_ref() != Some(&budgets);
                held.held_by = Some(budgets);
                is_news
            });
        }
    }

    /// So many calls of proxies found no copy of an endpoint's inference component running.
    pub fn unanswered(&self, namespace: &str, name: &str, calls: u64) {
        let key = Key { namespace: namespace.to_owned(), name: name.to_owned() };
        let inner = self.inner();
        let Some(kept) = inner.kept.get(&key) else { return };
        let copies = kept.seen.as_ref().and_then(|seen| seen.endpoint.as_ref()?.copies);
        kept.orders.send_if_modified(|held| {
            let is_news = calls > held.unanswered && copies.is_some_and(|(_, desired)| desired == 0);
            held.unanswered = calls;
            is_news
        });
    }

    /// What the instances cost an hour from now on; the span that is due to be counted comes back.
    pub fn cost(&self, namespace: &str, name: &str, now_ms: i64, per_hour: Nano) -> Option<Ran> {
        let key = Key { namespace: namespace.to_owned(), name: name.to_owned() };
        let mut inner = self.inner();
        let kept = inner.kept.get_mut(&key)?;
        let (running, counted) = hours::step(kept.running.as_ref(), now_ms, per_hour);
        kept.running = Some(running);
        counted
    }

    /// What waits at each endpoint that scales by it, on each of its instances.
    pub fn depths(&self, queue: impl Fn(&Key) -> Queue) -> Vec<Depth> {
        let inner = self.inner();
        let depth = |(key, kept): (&Key, &Kept)| {
            let order = kept.orders.borrow();
            let asker = order.endpoint.as_ref()?;
            asker.scaling.filter(|asked| asked.metric == Metric::QueueDepth)?;
            let endpoint = kept.seen.as_ref()?.endpoint.as_ref()?;
            let (instances, _) = endpoint.copies.or(endpoint.instances)?;
            let variant = asker.variant.clone().unwrap_or_else(|| VARIANT.to_owned());
            let (region, component) = (endpoint.region.clone(), asker.component.clone());
            let place = Place { region, endpoint: asker.name.clone(), variant, component };
            let Queue { waiting, batches } = queue(key);
            let on_each = waiting.saturating_add(batches) as f64 / f64::from(instances.max(1));
            Some(Depth { place, on_each })
        };
        inner.kept.iter().filter_map(depth).collect()
    }

    /// What is known of an endpoint.
    pub fn seen(&self, namespace: &str, name: &str) -> Option<HostingSeen> {
        let key = Key { namespace: namespace.to_owned(), name: name.to_owned() };
        self.inner().kept.get(&key).and_then(|kept| kept.seen.clone())
    }

    /// What came of the last tiny call to an endpoint.
    pub fn health(&self, namespace: &str, name: &str) -> Option<HealthSeen> {
        let key = Key { namespace: namespace.to_owned(), name: name.to_owned() };
        self.inner().kept.get(&key).and_then(|kept| kept.health.clone())
    }

    /// Ends every task of the term.
    pub fn close(&self) {
        let mut inner = self.inner();
        inner.tasks.abort_all();
        inner.kept.clear();
    }
}
