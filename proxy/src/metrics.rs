//! What the request path saw in, Prometheus series and cumulative observations out. Labels come from resources only.
//!
//! # Why handles
//! A handle per route and per target is resolved once for a table and kept beside its circuit, so that counting on the
//! hot path is an atomic add. A series is created at the first event it counts; past `MOST_SERIES` new ones are counted
//! under the label `other`, so totals stay right and memory stays bounded.

mod meter;
mod moment;
mod store;
mod vectors;

pub use meter::{Decision, RouteMeter, TargetMeter};
pub use store::{Asked, StoreMeter};

use crate::ledger::BudgetView;
use crate::source::Serving;
use meter::Meaning;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tollway_core::control::{EndpointObservation, TargetObservation};
use tollway_core::table::{Embedding, Source, Table, Target};
use vectors::Vectors;

/// Series of this process at most, process and build series apart.
pub const MOST_SERIES: usize = 2_000;

/// How a client's request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A complete answer.
    Ok,
    /// The request was at fault: malformed, unsupported, too large, not allowed.
    Refused,
    /// A rate limit said no.
    RateLimited,
    /// A budget said no, or could not be asked, or no price was known.
    OverBudget,
    /// No target answered.
    UpstreamFailed,
    /// The answer broke off after its first byte.
    Cut,
    /// The client left.
    Disconnected,
    /// Not ready, or the route is not served by this proxy.
    NotServed,
}

impl Outcome {
    /// As metrics and spans call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        meter::OUTCOMES[self as usize]
    }

    /// An error went out and no answer of a target.
    #[must_use]
    pub const fn is_unanswered(self) -> bool {
        !matches!(self, Self::Ok | Self::Cut | Self::Disconnected)
    }
}

/// How one attempt on a target ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    Ok,
    /// 429.
    Throttled,
    /// Another 4xx that stops the request.
    Refused,
    /// 5xx, 408 or 424.
    Failed,
    /// No connection, or the address guard refused it.
    Unreachable,
    /// Connect, first-token, idle or total time-out.
    TimedOut,
    /// Broke off after its first byte.
    Cut,
    /// The client left first.
    Cancelled,
    /// No copy of an inference component runs.
    NoCapacity,
}

impl Attempt {
    /// As metrics and spans call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        meter::ATTEMPTS[self as usize]
    }
}

/// Whether an answer was at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    Miss,
    /// In this proxy.
    Hit,
    /// In Redis.
    SharedHit,
}

/// State of a target's circuit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Circuit {
    #[default]
    Closed,
    HalfOpen,
    Open,
}

/// The registry and every handle given out.
#[derive(Debug)]
pub struct Metrics {
    vectors: Arc<Vectors>,
    routes: Mutex<BTreeMap<String, Arc<RouteMeter>>>,
    targets: Mutex<BTreeMap<(String, String), Arc<TargetMeter>>>,
}

/// Decisions shown of all routes together.
const SHOWN: usize = 50;

impl Metrics {
    /// # Errors
    /// Two series of the same name, which a test would have caught.
    pub fn new() -> Result<Arc<Self>, prometheus::Error> {
        let vectors = Arc::new(Vectors::new()?);
        Ok(Arc::new(Self { vectors, routes: Mutex::default(), targets: Mutex::default() }))
    }

    /// Where spans are counted.
    #[must_use]
    pub fn spans(&self) -> &prometheus::IntCounterVec {
        &self.vectors.spans
    }

    /// The handle of Redis; for the one store of a process.
    ///
    /// # Errors
    /// There is one already.
    pub fn store(&self) -> Result<StoreMeter, prometheus::Error> {
        StoreMeter::new(&self.vectors, &self.vectors.registry)
    }

    /// The handle of one route; the same one each time while the route exists.
    pub fn route(&self, route: &str) -> Arc<RouteMeter> {
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        let made = || Arc::new(RouteMeter::new(&self.vectors, route));
        Arc::clone(routes.entry(route.to_owned()).or_insert_with(made))
    }

    /// The handle of one target; the same one each time while the target exists and means the same model.
    pub fn target(&self, route: &str, name: &str, target: &Target) -> Arc<TargetMeter> {
        self.meter(route, name, Meaning::of_target(target))
    }

    /// The handle of one source of an embedding endpoint, whose place is its route.
    pub fn source(&self, place: &str, config: &Embedding, source: &Source) -> Arc<TargetMeter> {
        self.meter(place, &source.name, Meaning::of_source(config, source))
    }

    fn meter(&self, route: &str, name: &str, meaning: Meaning<'_>) -> Arc<TargetMeter> {
        let mut targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        let made = || Arc::new(TargetMeter::new(&self.vectors, route, name, meaning));
        let held = targets.entry((route.to_owned(), name.to_owned())).or_insert_with(made);
        if !held.means(meaning) {
            held.forget();
            *held = made();
        }
        Arc::clone(held)
    }

    /// Forgets routes and targets that the table no longer has, with their series.
    pub fn retain(&self, table: &Table) {
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        let embeds = |place: &str| Embedding::named(place).and_then(|name| table.embeddings.get(name));
        let gone = routes.extract_if(.., |name, _| !table.routes.contains_key(name) && embeds(name).is_none());
        gone.for_each(|(_, meter)| meter.forget());
        let mut targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        let known = |route: &str, name: &str| match embeds(route) {
            Some(endpoint) => endpoint.sources.iter().any(|source| source.name == name),
            None => table.routes.get(route).is_some_and(|r| r.targets.contains_key(name)),
        };
        let gone = targets.extract_if(.., |(route, name), _| !known(route, name));
        gone.for_each(|(_, meter)| meter.forget());
    }

    /// Every series in Prometheus' text form, with what is only known at this moment: the table and the budgets.
    /// Routes and targets that are gone lose their series here.
    ///
    /// # Errors
    /// A series that cannot be written as text.
    pub fn encode(&self, serving: Option<&Serving>, budgets: &[BudgetView]) -> Result<String, prometheus::Error> {
        if let Some(serving) = serving {
            self.retain(&serving.table);
        }
        self.vectors.moment.set(serving.map(|serving| serving.revision), budgets);
        self.vectors.encode()
    }

    /// Requests of one route by how they ended.
    pub fn requests(&self, route: &str) -> BTreeMap<String, u64> {
        let routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        routes.get(route).map(|meter| meter.counts()).unwrap_or_default()
    }

    /// What embedding endpoints did and have to do.
    pub fn endpoints(&self) -> Vec<EndpointObservation> {
        let routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        routes.values().filter_map(|meter| meter.endpoint()).collect()
    }

    /// What became of the last requests of every route, the newest first.
    pub fn decisions(&self) -> Vec<Decision> {
        let routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<Decision> = routes.values().flat_map(|meter| meter.decisions()).collect();
        drop(routes);
        all.sort_by_key(|decision| std::cmp::Reverse(decision.at));
        all.truncate(SHOWN);
        all
    }

    /// Cumulative figures of every target that saw traffic, for status.
    pub fn observations(&self) -> Vec<TargetObservation> {
        let targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        targets.values().filter_map(|target| target.observation()).collect()
    }
}

#[cfg(test)]
mod tests;
