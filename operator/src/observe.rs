//! Cumulative counters of every proxy of a namespace in; their sum for each target of each route out.
//!
//! # Why counters of a proxy that left are kept
//! They are cumulative since its process began, so the sum over all incarnations only rises, and the same incarnation seen
//! again over a new stream replaces its own numbers instead of adding to them. A new leader knows only what is connected or
//! connects again: the numbers count since it leads and for what runs.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};
use tollway_core::control::{EndpointObservation, Observation, TargetObservation};
use tollway_core::spend::Nano;
use tollway_core::status::{Circuit, TargetSeen};

/// How often the pace of embedding endpoints is taken, and over how many of these steps: a minute.
const SAMPLED_EVERY: Duration = Duration::from_secs(15);
const SAMPLES: usize = 5;
/// Incarnations that left and are still told apart; older ones are summed.
const REMEMBERED: usize = 512;

/// What the proxies of one namespace saw.
#[derive(Debug, Default)]
pub struct Observed {
    proxies: BTreeMap<String, Seen>,
    left: VecDeque<String>,
    base: BTreeMap<Target, TargetSeen>,
    given: BTreeMap<String, Given>,
}

#[derive(Debug, Default)]
struct Seen {
    streams: usize,
    targets: BTreeMap<Target, TargetSeen>,
    endpoints: BTreeMap<String, EndpointObservation>,
}

/// What waits at an embedding endpoint, over all proxies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Queue {
    /// Texts that wait for a batch.
    pub waiting: u64,
    /// Batches under way.
    pub batches: u64,
}

/// Texts that proxies gave vectors for while this replica led, and the pace of the last minute.
#[derive(Debug, Default)]
struct Given {
    texts: u64,
    /// Calls that found no copy running.
    no_capacity: u64,
    /// What they were at some moments of the last minute, the oldest first.
    then: VecDeque<(Instant, u64)>,
    /// Tenths of a text a second.
    pace: Option<u64>,
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
        for endpoint in seen.endpoints.values_mut() {
            (endpoint.waiting, endpoint.batches) = (0, 0);
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
        for endpoint in observation.endpoints {
            let given = self.given.entry(endpoint.endpoint.clone()).or_default();
            // What a proxy did before it was heard first is no pace.
            if let Some(held) = seen.endpoints.insert(endpoint.endpoint.clone(), endpoint.clone()) {
                given.texts = given.texts.saturating_add(endpoint.texts.saturating_sub(held.texts));
                let unanswered = endpoint.no_capacity.saturating_sub(held.no_capacity);
                given.no_capacity = given.no_capacity.saturating_add(unanswered);
                news |= unanswered > 0;
            }
        }
        news
    }

    /// Notes how far the embedding endpoints are; true when the pace of one is another than before.
    pub fn sample(&mut self, now: Instant) -> bool {
        let mut news = false;
        for given in self.given.values_mut() {
            if given.then.back().is_some_and(|(at, _)| now.duration_since(*at) < SAMPLED_EVERY) {
                continue;
            }
            given.then.push_back((now, given.texts));
            while given.then.len() > SAMPLES {
                given.then.pop_front();
            }
            let Some((since, then)) = given.then.front().filter(|(at, _)| *at < now) else { continue };
            let tenths = (given.texts - then) as f64 * 10.0 / now.duration_since(*since).as_secs_f64();
            let pace = Some(tenths.round() as u64);
            news |= given.pace != pace;
            given.pace = pace;
        }
        news
    }

    /// Texts a second of an embedding endpoint over the last minute, decimal text.
    pub fn pace(&self, endpoint: &str) -> Option<String> {
        let tenths = self.given.get(endpoint)?.pace?;
        Some(format!("{}.{}", tenths / 10, tenths % 10))
    }

    /// Calls that found no copy of an embedding endpoint running, while this replica led.
    pub fn unanswered(&self, endpoint: &str) -> u64 {
        self.given.get(endpoint).map_or(0, |given| given.no_capacity)
    }

    /// What waits at an embedding endpoint now.
    pub fn queue(&self, endpoint: &str) -> Queue {
        let of = self.proxies.values().filter_map(|seen| seen.endpoints.get(endpoint));
        of.fold(Queue::default(), |sum, seen| Queue {
            waiting: sum.waiting.saturating_add(seen.waiting),
            batches: sum.batches.saturating_add(seen.batches),
        })
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
        Observation { incarnation: incarnation.into(), targets: vec![target], endpoints: vec![] }
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
    fn what_waits_is_summed_and_the_pace_is_that_of_the_last_minute() {
        let mut observed = Observed::default();
        let says = |observed: &mut Observed, incarnation: &str, texts: u64, waiting: u64| {
            let endpoint = EndpointObservation { endpoint: "e".into(), texts, waiting, batches: 1, no_capacity: 0 };
            let (incarnation, endpoints) = (incarnation.to_owned(), vec![endpoint]);
            observed.observe(Observation { incarnation, targets: vec![], endpoints });
        };
        for name in ["a", "b"] {
            observed.joined(name);
        }
        let begin = Instant::now();
        says(&mut observed, "a", 1_000_000, 3);
        says(&mut observed, "b", 0, 4);
        assert_eq!(observed.queue("e"), Queue { waiting: 7, batches: 2 });
        assert!(!observed.sample(begin), "nothing is known of the pace yet");
        assert_eq!(observed.pace("e"), None);
        says(&mut observed, "a", 1_000_120, 0);
        says(&mut observed, "b", 30, 0);
        assert!(!observed.sample(begin + SAMPLED_EVERY / 2));
        assert!(observed.sample(begin + SAMPLED_EVERY));
        assert_eq!(observed.pace("e").as_deref(), Some("10.0"));
        for step in 2..=6 {
            observed.sample(begin + SAMPLED_EVERY * step);
        }
        assert_eq!(observed.pace("e").as_deref(), Some("0.0"));
        says(&mut observed, "a", 1_000_120, 9);
        observed.left("a");
        assert_eq!(observed.queue("e"), Queue { waiting: 0, batches: 1 }, "who is gone has nothing waiting");
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
