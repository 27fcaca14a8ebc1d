//! What budgets and embedding endpoints ask of AWS in; messages, mirrors, metrics and scaling kept up, and what became of them, for status, out.
//!
//! | file | what it does |
//! | --- | --- |
//! | `topics`, `budgets`, `measures`, `endpoints`, `runtime`, `autoscaler` | one narrow trait and its adapter a service: SNS, AWS Budgets, CloudWatch, SageMaker, its runtime, Application Auto Scaling |
//! | `claim` | the record on a resource of what was made for it |
//! | `notify` | which messages are due, each sent once |
//! | `mirror` | desired and observed into calls, pure; `mirror/keep` runs them |
//! | `provision` | the same for the endpoint itself, its configurations and models; `builder` makes its calls |
//! | `scaling` | the same for the instances of embedding endpoints; `scaling/desk` has a task for each, `scaling/health` calls them now and then, `scaling/queues` tells what waits |
//! | `export` | the figures of every budget, once a minute |
//!
//! Nothing here bears on what a ledger grants. Every budget, message and endpoint has a task of its own, so that none waits for another.

mod autoscaler;
mod budgets;
mod builder;
pub mod claim;
mod clients;
mod endpoints;
mod error;
mod export;
mod measures;
pub mod mirror;
pub mod notify;
pub mod provision;
mod runtime;
pub mod scaling;
mod topics;
mod turns;

pub use error::{AwsError, AwsErrorKind};
pub use mirror::keep::Order;
pub use notify::Notice;
pub use topics::Message;

use crate::dirty::Dirty;
use crate::index::Kind;
use crate::ledger::{Key, View};
use crate::observe::Queue;
use budgets::AwsBudgets;
use claim::OnResources;
use clients::Clients;
use kube::Client;
use measures::CloudWatch;
use scaling::{Desk, queues};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tollway_core::status::{AwsSeen, MirrorSeen, Trouble};
use topics::Sns;

/// Drift of a mirror is looked for at least this often.
const SWEEP: Pace = Pace::up_to(Duration::from_secs(300));
/// A message that could not be sent is sent again.
const AGAIN: Pace = Pace::up_to(Duration::from_secs(60));
/// Figures go to CloudWatch this often.
const MEASURED_EVERY: Duration = Duration::from_secs(60);

/// Everything that budgets and endpoints have to do with AWS during one term.
pub struct Aws {
    budgets: Arc<AwsBudgets>,
    topics: Arc<Sns>,
    clients: Arc<Clients>,
    claims: OnResources,
    /// What embedding endpoints ask for.
    pub scaling: Arc<Desk>,
    inner: Mutex<Inner>,
    /// Namespaces with a budget of which something new is known.
    pub changed: Dirty<String>,
}

#[derive(Default)]
struct Inner {
    mirrors: BTreeMap<Key, Kept>,
    notices: BTreeMap<Key, BTreeMap<Notice, Sending>>,
    tasks: JoinSet<()>,
}

struct Kept {
    orders: watch::Sender<Order>,
    seen: Option<MirrorSeen>,
    _task: Task,
}

struct Sending {
    is_sent: bool,
    trouble: Option<Trouble>,
    _task: Task,
}

/// Ends with what it works for.
struct Task(AbortHandle);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Starts a task among others; those that ended are forgotten.
fn spawn(tasks: &mut JoinSet<()>, work: impl Future<Output = ()> + Send + 'static) -> Task {
    while tasks.try_join_next().is_some() {}
    Task(tasks.spawn(work))
}

impl Aws {
    /// Knows nothing and has asked nothing yet.
    pub fn new(client: Client) -> Arc<Aws> {
        let clients = Arc::new(Clients::default());
        Arc::new(Aws {
            budgets: Arc::new(AwsBudgets::new(clients.clone())),
            topics: Arc::new(Sns::new(clients.clone())),
            scaling: Desk::new(client.clone(), &clients),
            claims: OnResources { client, kind: Kind::CostBudget, mark: claim::BUDGET },
            clients,
            inner: Mutex::default(),
            changed: Dirty::default(),
        })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// What every CostBudget of a namespace asks for: all of them, each time. `None`: no spec of it is in force, and nothing changes.
    pub fn agree(self: &Arc<Self>, namespace: &str, orders: BTreeMap<String, Option<Order>>) {
        let mut inner = self.inner();
        let is_gone = |key: &Key| key.namespace == namespace && !orders.contains_key(&key.name);
        inner.mirrors.retain(|key, _| !is_gone(key));
        inner.notices.retain(|key, _| !is_gone(key));
        for (name, order) in orders.into_iter().filter_map(|(name, order)| Some((name, order?))) {
            let key = Key { namespace: namespace.to_owned(), name };
            match inner.mirrors.get(&key) {
                Some(kept) if kept.orders.borrow().uid == order.uid => {
                    kept.orders.send_if_modified(|held| {
                        let is_news = held.mirror != order.mirror;
                        *held = order;
                        is_news
                    });
                }
                _ if order.mirror.is_none() && order.claim.is_none() => _ = inner.mirrors.remove(&key),
                _ => {
                    let (sender, receiver) = watch::channel(order);
                    let (desk, of) = (self.clone(), key.clone());
                    let tell = move |seen| desk.saw(&of, seen);
                    let keeper = mirror::keep::keep(
                        key.clone(),
                        self.budgets.clone(),
                        self.claims.clone(),
                        receiver,
                        SWEEP,
                        tell,
                    );
                    let task = spawn(&mut inner.tasks, keeper);
                    inner.mirrors.insert(key, Kept { orders: sender, seen: None, _task: task });
                }
            }
        }
    }

    fn saw(&self, key: &Key, seen: Option<MirrorSeen>) {
        if let Some(kept) = self.inner().mirrors.get_mut(key) {
            kept.seen = seen;
        }
        self.changed.mark(key.namespace.clone());
    }

    /// The messages of a budget that are due in the window that begins then; all of them, each time. One that is under way goes on.
    pub fn due(self: &Arc<Self>, key: &Key, window: Option<&str>, due: Vec<(Notice, Message)>) {
        let mut inner = self.inner();
        let mut notices = inner.notices.remove(key).unwrap_or_default();
        let wanted: BTreeSet<&Notice> = due.iter().map(|(notice, _)| notice).collect();
        notices.retain(
            |notice, sending| {
                if sending.is_sent { Some(notice.window.as_str()) == window } else { wanted.contains(notice) }
            },
        );
        for (notice, message) in due {
            if notices.contains_key(&notice) {
                continue;
            }
            let work = self.clone().send(key.clone(), notice.clone(), message);
            let sending = Sending { is_sent: false, trouble: None, _task: spawn(&mut inner.tasks, work) };
            notices.insert(notice, sending);
        }
        if !notices.is_empty() {
            inner.notices.insert(key.clone(), notices);
        }
    }

    async fn send(self: Arc<Self>, key: Key, notice: Notice, message: Message) {
        let told = |trouble: Option<Trouble>| {
            let mut inner = self.inner();
            if let Some(sending) = inner.notices.get_mut(&key).and_then(|notices| notices.get_mut(&notice)) {
                sending.is_sent = trouble.is_none();
                sending.trouble = trouble;
            }
            self.changed.mark(key.namespace.clone());
        };
        notify::send(self.topics.clone(), notice.topic.clone(), message, AGAIN, |trouble| told(Some(trouble))).await;
        tracing::info!(budget = %key, percent = notice.percent, topic = notice.topic, "topic told");
        told(None);
    }

    /// What is known of a budget in the window that begins then (RFC 3339).
    pub fn seen(&self, namespace: &str, name: &str, window: Option<&str>) -> AwsSeen {
        let key = Key { namespace: namespace.to_owned(), name: name.to_owned() };
        let inner = self.inner();
        let mut seen =
            AwsSeen { mirror: inner.mirrors.get(&key).and_then(|kept| kept.seen.clone()), ..AwsSeen::default() };
        for (notice, sending) in inner.notices.get(&key).into_iter().flatten() {
            if sending.is_sent && Some(notice.window.as_str()) == window {
                seen.notified.entry(notice.percent).or_default().push(notice.topic.clone());
            }
            seen.notify_trouble = seen.notify_trouble.or_else(|| sending.trouble.clone());
        }
        seen
    }

    /// Sends the figures of every budget to CloudWatch until it is dropped.
    pub fn export<V>(&self, namespace: String, views: V) -> impl Future<Output = ()> + Send + use<V>
    where
        V: Fn() -> Vec<(Key, View)> + Send,
    {
        export::export(CloudWatch::new(self.clients.clone()), namespace, MEASURED_EVERY, views)
    }

    /// Tells CloudWatch what waits at the endpoints that scale by it, until it is dropped.
    pub fn measure_queues<Q>(&self, queue: Q) -> impl Future<Output = ()> + Send + use<Q>
    where
        Q: Fn(&Key) -> Queue + Send,
    {
        let scaling = self.scaling.clone();
        queues::tell(CloudWatch::new(self.clients.clone()), queues::EVERY, move || scaling.depths(&queue))
    }

    /// Ends every task of the term.
    pub fn close(&self) {
        self.scaling.close();
        let mut inner = self.inner();
        inner.tasks.abort_all();
        inner.mirrors.clear();
        inner.notices.clear();
    }
}

/// How long a loop waits before it goes on.
#[derive(Clone, Copy, Debug)]
struct Pace {
    /// After a failure; doubled with each further one.
    first: Duration,
    /// The longest of these, and when all is well.
    longest: Duration,
}

impl Pace {
    const fn up_to(longest: Duration) -> Pace {
        Pace { first: Duration::from_secs(1), longest }
    }

    /// A pause after so many failures in a row.
    fn after(&self, failures: u32) -> Duration {
        let doubled = self.first.saturating_mul(1 << failures.saturating_sub(1).min(20));
        jittered(if failures == 0 { self.longest } else { doubled.min(self.longest) })
    }
}

/// Somewhat less, so that what begins together does not go on together.
fn jittered(span: Duration) -> Duration {
    span.mul_f64(0.8 + 0.2 * fastrand::f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_their_limit() {
        let pace = Pace::up_to(Duration::from_secs(60));
        assert!(pace.after(1) <= Duration::from_secs(1));
        assert!(pace.after(4) > Duration::from_secs(6));
        for failures in [0, 10, u32::MAX] {
            assert!((48..=60).contains(&pace.after(failures).as_secs()));
        }
    }
}
