//! Budgets of the accepted specs and messages of proxies in; grants out, each on record first. One task a budget.

mod keeper;
mod losses;
mod open;
mod pace;
mod plan;
mod pods;
mod record;
mod store;
mod streams;
mod view;

pub use keeper::{Input, Ran, Terms};
pub use streams::{Holder, Stream, Streams};
pub use view::View;

use crate::dirty::Dirty;
use crate::error::{self, Error};
use crate::events::{Note, Notes};
use crate::metrics::Metrics;
use keeper::Keeper;
use kube::api::ListParams;
use kube::{Api, Client};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use store::{Object, Stored};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tollway_core::control::LedgerDown;
use tollway_core::spend::ledger::DeniedReason;
use tollway_core::spend::{Effect, Share, convert};
use tollway_crds::budget_ledger::{BudgetLedger, BudgetRef};

/// A budget, wherever it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl Key {
    fn reference(&self) -> BudgetRef {
        BudgetRef { namespace: self.namespace.clone(), name: self.name.clone() }
    }
}

/// Everything that keepers share during one term.
pub struct Books {
    client: Client,
    watches: Client,
    /// The operator's own namespace, where ledgers are.
    namespace: String,
    metrics: Arc<Metrics>,
    notes: Notes,
    inner: Mutex<Inner>,
    /// Namespaces with a budget whose figures are to be written.
    pub changed: Dirty<String>,
}

#[derive(Default)]
struct Inner {
    keepers: BTreeMap<Key, mpsc::Sender<Input>>,
    known: BTreeMap<Key, Vec<Stored>>,
    streams: BTreeMap<String, Arc<Streams>>,
    held: BTreeMap<Key, BTreeSet<String>>,
    pods: BTreeSet<String>,
    views: BTreeMap<Key, View>,
    /// Uids of the CostBudgets, for events.
    uids: BTreeMap<Key, String>,
    tasks: JoinSet<()>,
}

impl Books {
    /// Reads every ledger there is, so that those with open grants are served from the start.
    pub async fn open(
        client: Client,
        watches: Client,
        namespace: String,
        metrics: Arc<Metrics>,
        notes: Notes,
    ) -> Result<Arc<Books>, Error> {
        let api: Api<BudgetLedger> = Api::namespaced(client.clone(), &namespace);
        let all =
            api.list(&ListParams::default()).await.map_err(error::api(format!("BudgetLedgers in {namespace}")))?;
        let mut known: BTreeMap<Key, Vec<Stored>> = BTreeMap::new();
        for object in all {
            let BudgetRef { namespace, name } = object.spec.budget.clone();
            match store::stored(object) {
                Ok(stored) => known.entry(Key { namespace, name }).or_default().push(stored),
                Err(error) => tracing::error!(%error, "ledger not readable: its budget grants nothing"),
            }
        }
        let with_grants: Vec<Key> = known
            .iter()
            .filter(|(_, all)| all.iter().any(|stored| !stored.state.grants.is_empty()))
            .map(|(key, _)| key.clone())
            .collect();
        let inner = Mutex::new(Inner { known, ..Inner::default() });
        let books = Arc::new(Books { client, watches, namespace, metrics, notes, inner, changed: Dirty::default() });
        books.inner().tasks.spawn(losses::follow(books.clone()));
        for key in with_grants {
            books.keeper(&key);
        }
        Ok(books)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn object(&self, key: &Key, name: String) -> Object {
        Object::new(self.client.clone(), &self.namespace, name, key.reference())
    }

    fn ledgers(&self) -> Api<BudgetLedger> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// The keeper of a budget, started at first use and told of the proxies that are connected.
    fn keeper(self: &Arc<Self>, key: &Key) -> mpsc::Sender<Input> {
        let streams = self.streams(&key.namespace);
        let mut inner = self.inner();
        if let Some(sender) = inner.keepers.get(key) {
            return sender.clone();
        }
        let (sender, receiver) = mpsc::channel(4 * keeper::BATCH);
        let known = inner.known.remove(key).unwrap_or_default();
        inner.keepers.insert(key.clone(), sender.clone());
        let keeper = Keeper::new(key.clone(), self.clone(), known);
        inner.tasks.spawn(keeper.run(receiver));
        drop(inner);
        for stream in streams.all() {
            push(&sender, hello(&stream, &key.name));
        }
        sender
    }

    /// The budgets of a namespace as the accepted specs have them: all of them, each time.
    pub fn agree(self: &Arc<Self>, namespace: &str, budgets: BTreeMap<String, Terms>) {
        let known: Vec<Key> = self.inner().keepers.keys().filter(|key| key.namespace == namespace).cloned().collect();
        for key in known.iter().filter(|key| !budgets.contains_key(&key.name)) {
            let mut inner = self.inner();
            inner.views.remove(key);
            self.metrics.budgets.forget(key);
            inner.uids.remove(key);
            drop(inner);
            push(&self.keeper(key), Input::Terms(None));
        }
        for (name, terms) in budgets {
            let key = Key { namespace: namespace.to_owned(), name };
            self.inner().uids.insert(key.clone(), terms.uid.clone());
            push(&self.keeper(&key), Input::Terms(Some(terms)));
        }
    }

    /// Ledger streams of a namespace.
    pub fn streams(&self, namespace: &str) -> Arc<Streams> {
        self.inner().streams.entry(namespace.to_owned()).or_default().clone()
    }

    /// A proxy connected: every budget of its namespace learns what it holds.
    pub fn greet(&self, namespace: &str, stream: &Stream) {
        for (key, keeper) in self.keepers(namespace) {
            push(&keeper, hello(stream, &key.name));
        }
    }

    /// A message about one budget; false when there is no such budget.
    pub fn tell(&self, namespace: &str, budget: &str, input: Input) -> bool {
        let key = Key { namespace: namespace.to_owned(), name: budget.to_owned() };
        let keeper = self.inner().keepers.get(&key).cloned();
        keeper.is_some_and(|keeper| push(&keeper, input))
    }

    /// The instances of an endpoint that a budget covers ran until now: what they cost reduces what may be granted. False: say it again.
    pub fn ran(&self, namespace: &str, budget: &str, ran: Ran) -> bool {
        self.tell(namespace, budget, Input::Instances(ran))
    }

    fn tell_all(&self, namespace: &str, input: impl Fn() -> Input) {
        for (_, keeper) in self.keepers(namespace) {
            push(&keeper, input());
        }
    }

    fn keepers(&self, namespace: &str) -> Vec<(Key, mpsc::Sender<Input>)> {
        let inner = self.inner();
        let of = inner.keepers.iter().filter(|(key, _)| key.namespace == namespace);
        of.map(|(key, keeper)| (key.clone(), keeper.clone())).collect()
    }

    /// Where a budget stood when it was last due.
    pub fn view(&self, namespace: &str, budget: &str) -> Option<View> {
        let key = Key { namespace: namespace.to_owned(), name: budget.to_owned() };
        self.inner().views.get(&key).cloned()
    }

    /// Where every budget stood when it was last due.
    pub fn views(&self) -> Vec<(Key, View)> {
        self.inner().views.iter().map(|(key, view)| (key.clone(), view.clone())).collect()
    }

    fn show(&self, key: &Key, view: View) {
        let before = self.inner().views.insert(key.clone(), view.clone());
        for note in before.map(|before| Note::crossed(key, &before, &view)).unwrap_or_default() {
            self.about(key, note);
        }
        self.changed.mark(key.namespace.clone());
    }

    /// Pods that hold grants of one budget; from the first on, the namespace's Pods are watched.
    fn hold(self: &Arc<Self>, key: &Key, pods: Vec<String>) {
        let mut inner = self.inner();
        let watch = pods.iter().any(|pod| Holder::is_pod(pod)) && inner.pods.insert(key.namespace.clone());
        inner.held.insert(key.clone(), pods.into_iter().collect());
        if watch {
            inner.tasks.spawn(pods::follow(self.clone(), key.namespace.clone()));
        }
    }

    fn holders(&self, namespace: &str) -> BTreeSet<String> {
        let inner = self.inner();
        inner.held.iter().filter(|(key, _)| key.namespace == namespace).flat_map(|(_, pods)| pods.clone()).collect()
    }

    fn send(&self, key: &Key, uid: &str, window_end_ms: i64, effect: Effect) {
        if let Some((incarnation, message)) = convert::down(&key.name, uid, window_end_ms, effect) {
            self.streams(&key.namespace).send(&incarnation, message);
        }
    }

    fn broadcast(&self, key: &Key, message: &LedgerDown) {
        let streams = self.streams(&key.namespace);
        for stream in streams.all() {
            streams.send(&stream.holder.incarnation, message.clone());
        }
    }

    /// Counts an effect, and writes an event where a person should hear of it.
    fn note(&self, key: &Key, effect: &Effect) {
        match effect {
            Effect::Granted { .. } => self.metrics.grants.inc(),
            Effect::Denied { reason, .. } => self.metrics.denials.with_label_values(&[word(*reason)]).inc(),
            Effect::Burned { pod, amount, grant, .. } => {
                self.metrics.burns.inc();
                self.about(key, Note::burned(key, pod, *grant, *amount));
            }
            Effect::Frozen { reason } => {
                self.about(key, Note::frozen(key, reason));
                // Whatever was lost, proxies hold: they connect again and show it.
                self.streams(&key.namespace).cut_all();
            }
            Effect::Recall { .. } | Effect::Closed { .. } | Effect::StateChanged => {}
        }
    }

    fn about(&self, key: &Key, note: Note) {
        let uid = self.inner().uids.get(key).cloned();
        self.notes.note(Note { uid, ..note });
    }

    /// Ends every task of the term.
    pub fn close(&self) {
        let mut inner = self.inner();
        inner.tasks.abort_all();
        inner.keepers.clear();
        self.metrics.budgets.clear();
        for streams in inner.streams.values() {
            streams.cut_all();
        }
    }
}

fn hello(stream: &Stream, budget: &str) -> Input {
    Input::Hello(stream.holder.clone(), stream.held.iter().filter(|grant| grant.budget == budget).cloned().collect())
}

/// A keeper that cannot keep up loses messages, and proxies say them again.
fn push(keeper: &mpsc::Sender<Input>, input: Input) -> bool {
    let pushed = keeper.try_send(input);
    if let Err(error) = &pushed {
        tracing::warn!(%error, "a budget's ledger does not keep up; a message is dropped");
    }
    pushed.is_ok()
}

fn word(reason: DeniedReason) -> &'static str {
    match reason {
        DeniedReason::Exhausted => "exhausted",
        DeniedReason::ShareExhausted(Share::User) => "user_exhausted",
        DeniedReason::ShareExhausted(Share::Client) => "client_exhausted",
        DeniedReason::Contended => "contended",
        DeniedReason::Frozen => "frozen",
        DeniedReason::Unavailable => "unavailable",
    }
}
