//! What the proxy keeps of one embedding endpoint between requests: its queue, its sources' circuits, its counts; and the handle of a request that waits.

use super::queue::{Call, Done, Item, Queue};
use super::tab::Tab;
use crate::cache::Shared;
use crate::limit::Cells;
use crate::metrics::RouteMeter;
use crate::targets::TargetState;
use arc_swap::ArcSwapOption;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::time::Instant;
use tollway_core::table::Embedding;
use tollway_core::wire;

/// One embedding endpoint of the table in force.
#[derive(Debug)]
pub struct Endpoint {
    pub name: String,
    pub config: Embedding,
    /// Digest of everything that makes its vectors what they are.
    pub fingerprint: String,
    pub meter: Arc<RouteMeter>,
    /// In the order of the configuration's sources.
    pub sources: Vec<Arc<TargetState>>,
    /// Requests of the last minute, for the budgets that slow them down.
    pub paces: Arc<Cells>,
    queue: Mutex<Queue>,
    /// When somebody will look at the queue next.
    alarm: Mutex<Option<Instant>>,
    calls: AtomicU64,
    /// Where its vectors are shared with other proxies; it changes with the Secrets.
    shared: ArcSwapOption<Shared>,
}

impl Endpoint {
    #[must_use]
    pub fn new(
        name: &str,
        config: &Embedding,
        meter: Arc<RouteMeter>,
        sources: Vec<Arc<TargetState>>,
        paces: Arc<Cells>,
    ) -> Self {
        Self {
            name: name.to_owned(),
            fingerprint: fingerprint(name, config),
            config: config.clone(),
            meter,
            sources,
            paces,
            queue: Mutex::new(Queue::new(config.batching)),
            alarm: Mutex::default(),
            calls: AtomicU64::new(0),
            shared: ArcSwapOption::empty(),
        }
    }

    /// From now on its vectors are shared there.
    pub fn share(&self, shared: Option<Shared>) {
        self.shared.store(shared.map(Arc::new));
    }

    /// Where its vectors are shared.
    pub fn shared(&self) -> Option<Arc<Shared>> {
        self.shared.load_full()
    }

    /// Changes the queue; who counts what waits hears of it.
    pub fn change<T>(&self, change: impl FnOnce(&mut Queue) -> T) -> T {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let result = change(&mut queue);
        let (waiting, batches) = queue.depth();
        self.meter.queue(waiting, batches);
        result
    }

    /// Whether an alarm must be set for `at`: none rings before.
    pub fn arm(&self, at: Instant) -> bool {
        let mut alarm = self.alarm.lock().unwrap_or_else(PoisonError::into_inner);
        let sooner = alarm.is_none_or(|held| at < held);
        if sooner {
            *alarm = Some(at);
        }
        sooner
    }

    /// The alarm of `at` rang.
    pub fn rang(&self, at: Instant) {
        let mut alarm = self.alarm.lock().unwrap_or_else(PoisonError::into_inner);
        if *alarm == Some(at) {
            *alarm = None;
        }
    }

    /// A request's texts begin to wait.
    #[must_use]
    pub fn enqueue(self: &Arc<Self>, tab: Arc<Tab>, items: VecDeque<Item>, ends: Instant) -> Pending {
        let id = self.calls.fetch_add(1, Relaxed);
        let (answers, receiver) = mpsc::unbounded_channel();
        let now = Instant::now();
        let cold_until = (now + Duration::from_millis(self.config.cold_wait_ms)).min(ends);
        let call = Arc::new(Call { id, tab, answers, ends, cold_until });
        self.change(|queue| queue.push(call, items, now));
        Pending { endpoint: Arc::clone(self), id, receiver }
    }
}

/// A request whose texts wait or are on their way. Dropped, it takes those that wait along.
#[derive(Debug)]
pub struct Pending {
    endpoint: Arc<Endpoint>,
    id: u64,
    receiver: UnboundedReceiver<Done>,
}

impl Pending {
    /// The next word of a batch; none when no batch is left that could say anything.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Done>> {
        self.receiver.poll_recv(cx)
    }

    /// The same.
    pub async fn next(&mut self) -> Option<Done> {
        self.receiver.recv().await
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.endpoint.change(|queue| queue.forget(self.id));
    }
}

fn fingerprint(name: &str, config: &Embedding) -> String {
    let Embedding { model, dimensions, normalize, pooling, max_tokens, preprocess, sources, .. } = config;
    let made_by = (name, model, dimensions, normalize, pooling, max_tokens, preprocess, sources);
    wire::digest(&serde_json::to_vec(&made_by).unwrap_or_default())
}
