//! Cumulative counters of every proxy of a namespace in; their sum for each target of each route out.
//!
//! # Why counters of a proxy that left are kept
//! They are cumulative since its process began, so the sum over all incarnations only rises, and the same incarnation seen
//! again over a new stream replaces its own numbers instead of adding to them. A new leader knows only what is connected or
//! connects again: the numbers count since it leads and for what runs.

use std::collections::{BTreeMap, VecDeque};
use tollway_core::control::{Observation, TargetObservation};
use tollway_core::spend::Nano;
use tollway_core::status::{Circuit, TargetSeen};

/// Incarnations that left and are still told apart; older ones are summed.
const REMEMBERED: usize = 512;

/// What the proxies of one namespace saw.
#[derive(Debug, Default)]
pub struct Observed {
    proxies: BTreeMap<String, Seen>,
    left: VecDeque<String>,
    base: BTreeMap<Target, TargetSeen>,
}

#[derive(Debug, Default)]
struct Seen {
    streams: usize,
    targets: BTreeMap<Target, TargetSeen>,
}

/// Route and target name.
pub type Target = (String, String);

fn circuit(word: &str) -> Circuit {
    match word {
        "Open" => Circuit::Open,
        "HalfOpen" => Circuit::HalfOpen,
        _ => Circuit::Closed,
    }
}

fn add(sum: &mut TargetSeen, other: &TargetSeen) {
    let TargetSeen { requests, errors, cost, latency_buckets, circuit } = other;
    sum.requests = sum.requests.saturating_add(*requests);
    sum.errors = sum.errors.saturating_add(*errors);
    sum.cost = sum.cost.plus(*cost);
    if sum.latency_buckets.len() < latency_buckets.len() {
        sum.latency_buckets.resize(latency_buckets.len(), 0);
    }
    for (mine, theirs) in sum.latency_buckets.iter_mut().zip(latency_buckets) {
        *mine = mine.saturating_add(*theirs);
    }
    sum.circuit = sum.circuit.max(*circuit);
}

impl Observed {
    /// An Observe stream of this incarnation began.
    pub fn joined(&mut self, incarnation: &str) {
        self.left.retain(|left| left != incarnation);
        self.proxies.entry(incarnation.to_owned()).or_default().streams += 1;
    }

    /// An Observe stream of this incarnation ended.
    pub fn left(&mut self, incarnation: &str) {
        let Some(seen) = self.proxies.get_mut(incarnation) else { return };
        seen.streams = seen.streams.saturating_sub(1);
        if seen.streams > 0 {
            return;
        }
        for tally in seen.targets.values_mut() {
            tally.circuit = Circuit::Closed;
        }
        self.left.push_back(incarnation.to_owned());
        while self.left.len() > REMEMBERED {
            let oldest = self.left.pop_front().and_then(|oldest| self.proxies.remove(&oldest));
            for (target, tally) in oldest.map(|seen| seen.targets).unwrap_or_default() {
                add(self.base.entry(target).or_default(), &tally);
            }
        }
    }

    /// A proxy said what it saw so far; true when that is news.
    pub fn observe(&mut self, observation: Observation) -> bool {
        let Some(seen) = self.proxies.get_mut(&observation.incarnation) else { return false };
        let mut news = false;
        for TargetObservation { route, target, circuit: word, requests, errors, cost, latency_buckets } in
            observation.targets
        {
            let tally = TargetSeen { requests, errors, cost: Nano(cost), latency_buckets, circuit: circuit(&word) };
            let held = seen.targets.entry((route, target)).or_default();
            news |= *held != tally;
            *held = tally;
        }
        news
    }

    /// The sums for one route's targets, by target name.
    pub fn route(&self, route: &str) -> BTreeMap<String, TargetSeen> {
        let mut out: BTreeMap<String, TargetSeen> = BTreeMap::new();
        let all = self.proxies.values().map(|seen| &seen.targets).chain([&self.base]);
        for ((_, target), tally) in all.flatten().filter(|((of, _), _)| of == route) {
            add(out.entry(target.clone()).or_default(), tally);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn saw(incarnation: &str, requests: u64, circuit: &str) -> Observation {
        let target = TargetObservation {
            route: "r".into(),
            target: "t".into(),
            circuit: circuit.into(),
            requests,
            cost: requests * 10,
            latency_buckets: vec![requests, 0],
            ..TargetObservation::default()
        };
        Observation { incarnation: incarnation.into(), targets: vec![target] }
    }

    #[test]
    fn sums_over_proxies_and_replaces_within_one() {
        let mut observed = Observed::default();
        observed.joined("a");
        observed.joined("b");
        assert!(observed.observe(saw("a", 1, "Closed")));
        assert!(observed.observe(saw("a", 3, "Closed")));
        assert!(!observed.observe(saw("a", 3, "Closed")));
        observed.observe(saw("b", 2, "Open"));
        let tally = &observed.route("r")["t"];
        assert_eq!((tally.requests, tally.cost.0, tally.circuit), (5, 50, Circuit::Open));
        assert_eq!(tally.latency_buckets, [5, 0]);
    }

    #[test]
    fn what_a_proxy_saw_stays_when_it_leaves_and_its_circuit_does_not() {
        let mut observed = Observed::default();
        for n in 0..REMEMBERED + 10 {
            let name = n.to_string();
            observed.joined(&name);
            observed.observe(saw(&name, 1, "Open"));
            observed.left(&name);
        }
        let tally = &observed.route("r")["t"];
        assert_eq!((tally.requests, tally.circuit), (REMEMBERED as u64 + 10, Circuit::Closed));
    }

    #[test]
    fn the_same_incarnation_over_a_new_stream_is_not_counted_twice() {
        let mut observed = Observed::default();
        observed.joined("a");
        observed.observe(saw("a", 4, "Closed"));
        observed.left("a");
        observed.joined("a");
        observed.observe(saw("a", 5, "Closed"));
        assert_eq!(observed.route("r")["t"].requests, 5);
    }
}
