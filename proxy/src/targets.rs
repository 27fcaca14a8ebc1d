//! What the proxy remembers of each (route, target) between requests: circuit, repeats, requests in flight; and of each route what its rates have left. Survives table swaps;
//! dropped when the table no longer names the target.

mod sharing;

pub use sharing::{note, notes};

use crate::cache;
use crate::circuit::{Circuit, Permit, State};
use crate::embed::endpoint::Endpoint;
use crate::limit::{Cells, Limits, Place};
use crate::metrics::{self, Metrics, RouteMeter, TargetMeter};
use crate::retry::RepeatBudget;
use crate::source::{Live, Serving};
use crate::store::Store;
use arc_swap::ArcSwap;
use sharing::Told;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use tollway_core::table::{CircuitBreaker, Embedding};

/// One target of one route.
#[derive(Debug)]
pub struct TargetState {
    circuit: Mutex<Circuit>,
    repeats: Mutex<RepeatBudget>,
    in_flight: AtomicU32,
    /// Requests a simulated target has taken, for its `failEvery`.
    taken: AtomicU64,
    pub meter: Arc<TargetMeter>,
}

/// One route.
#[derive(Debug)]
pub struct RouteState {
    pub meter: Arc<RouteMeter>,
    pub limits: Limits,
    /// Rates that budgets set at their thresholds, by budget.
    pub paces: Arc<Cells>,
    /// Digest of everything in the route, where its answers are kept.
    pub fingerprint: String,
    /// Where its answers are shared.
    pub shared: Option<cache::Shared>,
    targets: BTreeMap<String, Arc<TargetState>>,
}

/// One of a target's `maxConcurrent` places, given back when dropped.
#[derive(Debug)]
pub struct Slot(Arc<TargetState>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Relaxed);
    }
}

impl TargetState {
    fn new(meter: Arc<TargetMeter>) -> Self {
        Self {
            circuit: Mutex::default(),
            repeats: Mutex::new(RepeatBudget::new(Instant::now())),
            in_flight: AtomicU32::new(0),
            taken: AtomicU64::new(0),
            meter,
        }
    }

    /// A place among the requests in flight, unless all are taken.
    pub fn slot(self: &Arc<Self>, most: Option<u32>) -> Option<Slot> {
        let most = most.unwrap_or(u32::MAX);
        let taken = self.in_flight.fetch_update(Relaxed, Relaxed, |n| (n < most).then_some(n + 1));
        taken.ok().map(|_| Slot(Arc::clone(self)))
    }

    /// Whether the circuit is open, asked before anything is spent on an attempt.
    #[must_use]
    pub fn is_open(&self, now: Instant) -> bool {
        self.circuit(now) == State::Open
    }

    /// Leave for one attempt, unless the circuit is open.
    pub fn admit(&self, now: Instant, probe_timeout: Duration) -> Option<Permit> {
        let mut circuit = lock(&self.circuit);
        let permit = circuit.admit(now, probe_timeout);
        if permit.as_ref().is_some_and(Permit::is_probe) {
            self.show(circuit.state(now));
        }
        permit
    }

    pub fn succeeded(&self, permit: &Permit, now: Instant) {
        self.changed(now, |circuit| circuit.success(permit));
    }

    pub fn failed(&self, permit: &Permit, now: Instant, policy: &CircuitBreaker) {
        self.changed(now, |circuit| circuit.failure(permit, now, policy));
    }

    pub fn neutral(&self, permit: &Permit) {
        lock(&self.circuit).neutral(permit);
    }

    /// A request tries the target for its first time.
    pub fn first_try(&self, now: Instant) {
        lock(&self.repeats).request(now);
    }

    /// Whether one more repeat on this target may go out now.
    pub fn may_repeat(&self, now: Instant) -> bool {
        lock(&self.repeats).repeat(now)
    }

    /// Number of this request among those the target took, from 1.
    pub fn take(&self) -> u64 {
        self.taken.fetch_add(1, Relaxed) + 1
    }

    /// The circuit as status shows it.
    #[must_use]
    pub fn circuit(&self, now: Instant) -> State {
        lock(&self.circuit).state(now)
    }

    fn changed(&self, now: Instant, change: impl FnOnce(&mut Circuit)) {
        let mut circuit = lock(&self.circuit);
        let before = circuit.state(now);
        change(&mut circuit);
        let after = circuit.state(now);
        if before != after {
            self.show(after);
        }
    }

    fn show(&self, state: State) {
        self.meter.circuit(match state {
            State::Closed => metrics::Circuit::Closed,
            State::HalfOpen => metrics::Circuit::HalfOpen,
            State::Open => metrics::Circuit::Open,
        });
    }
}

/// A panic elsewhere leaves these counters as they were: still usable.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl RouteState {
    #[must_use]
    pub fn target(&self, name: &str) -> Option<&Arc<TargetState>> {
        self.targets.get(name)
    }
}

/// State for every target of one table.
#[derive(Debug)]
pub struct Known {
    /// The table this is for; compared by address, and kept so that no other can take that address.
    serving: Option<Arc<Serving>>,
    routes: BTreeMap<String, Arc<RouteState>>,
    embeddings: BTreeMap<String, Arc<Endpoint>>,
}

impl Known {
    #[must_use]
    pub fn embedding(&self, name: &str) -> Option<&Arc<Endpoint>> {
        self.embeddings.get(name)
    }

    #[must_use]
    pub fn route(&self, name: &str) -> Option<&Arc<RouteState>> {
        self.routes.get(name)
    }
}

/// State for every target, following the table.
#[derive(Debug)]
pub struct Targets {
    known: ArcSwap<Known>,
    swap: Mutex<()>,
    live: Live,
    metrics: Arc<Metrics>,
    store: Option<Arc<Store>>,
    told: Told,
}

impl Targets {
    #[must_use]
    pub fn new(live: Live, metrics: Arc<Metrics>, store: Option<Arc<Store>>) -> Self {
        let known = Known { serving: None, routes: BTreeMap::new(), embeddings: BTreeMap::new() };
        let told = Told::default();
        Self { known: ArcSwap::from_pointee(known), swap: Mutex::new(()), live, metrics, store, told }
    }

    /// The state that goes with `serving`; follows the table when it is a new one.
    pub fn following(&self, serving: &Arc<Serving>) -> Arc<Known> {
        let is_current = |known: &Known| known.serving.as_ref().is_some_and(|s| Arc::ptr_eq(s, serving));
        let known = self.known.load();
        if is_current(&known) {
            return Arc::clone(&known);
        }
        let _one_at_a_time = lock(&self.swap);
        let known = self.known.load();
        if is_current(&known) {
            return Arc::clone(&known);
        }
        let next = Arc::new(self.carried_over(&known, serving));
        // A request that still holds the table of a moment ago must not turn the clock back.
        let is_live = self.live.load().as_ref().is_some_and(|live| Arc::ptr_eq(live, serving));
        if is_live {
            self.known.store(Arc::clone(&next));
            self.metrics.retain(&serving.table);
        }
        next
    }

    fn carried_over(&self, known: &Known, serving: &Arc<Serving>) -> Known {
        let namespace = serving.table.namespace.as_str();
        let routes = serving.table.routes.iter().map(|(name, route)| {
            let before = known.routes.get(name);
            let targets = route.targets.iter().map(|(target_name, target)| {
                let kept = before.and_then(|r| r.targets.get(target_name)).cloned();
                let state =
                    kept.unwrap_or_else(|| Arc::new(TargetState::new(self.metrics.target(name, target_name, target))));
                (target_name.clone(), state)
            });
            let targets = targets.collect();
            let bytes = route.cache.as_ref().and_then(|_| serde_json::to_vec(route).ok());
            let fingerprint = bytes.map(|bytes| tollway_core::wire::digest(&bytes)).unwrap_or_default();
            self.told.tell(&format!("route {name}"), notes(route, &serving.secrets, self.store.as_deref()));
            let place = self.store.as_ref().map(|store| Place::new(Arc::clone(store), namespace, name));
            let limits = Limits::new(&route.rate_limits, before.map(|before| &before.limits), place);
            let paces = before.map(|before| Arc::clone(&before.paces)).unwrap_or_default();
            let shared = sharing::of(route.cache.as_ref(), serving, self.store.as_ref());
            let meter = self.metrics.route(name);
            (name.clone(), Arc::new(RouteState { meter, limits, paces, fingerprint, shared, targets }))
        });
        let embeddings = serving.table.embeddings.iter().map(|(name, config)| {
            let before = known.embeddings.get(name);
            let endpoint = match before {
                // What waits goes on waiting.
                Some(before) if before.config == *config => Arc::clone(before),
                _ => Arc::new(self.endpoint(name, config, before)),
            };
            let told =
                config.cache.as_ref().and_then(|cache| note(cache, "vectors", &serving.secrets, self.store.as_deref()));
            self.told.tell(&format!("embedding endpoint {name}"), told.into_iter().collect());
            endpoint.share(sharing::of(config.cache.as_ref(), serving, self.store.as_ref()));
            (name.clone(), endpoint)
        });
        let embeddings = embeddings.collect();
        Known { serving: Some(Arc::clone(serving)), routes: routes.collect(), embeddings }
    }

    fn endpoint(&self, name: &str, config: &Embedding, before: Option<&Arc<Endpoint>>) -> Endpoint {
        let place = Embedding::place(name);
        let sources = config.sources.iter().enumerate().map(|(at, source)| {
            let kept = before.filter(|before| before.config.sources.get(at) == Some(source));
            let kept = kept.and_then(|before| before.sources.get(at)).cloned();
            kept.unwrap_or_else(|| Arc::new(TargetState::new(self.metrics.source(&place, config, source))))
        });
        let paces = before.map(|before| Arc::clone(&before.paces)).unwrap_or_default();
        Endpoint::new(name, config, self.metrics.route(&place), sources.collect(), paces)
    }
}
