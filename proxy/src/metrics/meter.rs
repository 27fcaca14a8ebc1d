//! The handles the request path counts with: one a route, one a target.

use super::vectors::{HISTOGRAM_SERIES, Vectors};
use super::{Attempt, Circuit, Kept, Outcome};
use prometheus::{Counter, Histogram, IntCounter, IntGauge};
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};
use tollway_core::control::{EndpointObservation, TargetObservation};
use tollway_core::spend::{Nano, Usage};
use tollway_core::status::LATENCY_BUCKETS_MS;
use tollway_core::table::{Embedder, Embedding, Provider, Source, Target};

pub(super) const OUTCOMES: [&str; 8] =
    ["ok", "refused", "rate_limited", "over_budget", "upstream_failed", "cut", "disconnected", "not_served"];
pub(super) const ATTEMPTS: [&str; 9] =
    ["ok", "throttled", "refused", "failed", "unreachable", "timed_out", "cut", "cancelled", "no_capacity"];
const CACHE: [&str; 3] = ["miss", "hit", "shared_hit"];
const TEXTS: [&str; 5] = ["sent", "kept", "wrong_dimensions", "job_completed", "job_failed"];
const KINDS: [&str; 5] = ["input", "output", "cache_read", "cache_write", "cache_write_1h"];
const CIRCUITS: [&str; 3] = ["Closed", "HalfOpen", "Open"];

/// Requests remembered of each route.
const DECISIONS: usize = 20;

/// Counts the requests of one route.
#[derive(Debug)]
pub struct RouteMeter {
    vectors: Arc<Vectors>,
    route: String,
    outcomes: [OnceLock<IntCounter>; OUTCOMES.len()],
    cache: [OnceLock<IntCounter>; CACHE.len()],
    texts: [OnceLock<IntCounter>; TEXTS.len()],
    limit_fallbacks: OnceLock<IntCounter>,
    /// Of an embedding endpoint: texts that wait, and batches under way.
    queue: [AtomicU64; 2],
    /// Its calls that found no copy running.
    no_capacity: AtomicU64,
    /// The last requests, the oldest first.
    decisions: Mutex<VecDeque<Decision>>,
}

/// What became of one request, for people who look.
#[derive(Clone, Debug)]
pub struct Decision {
    /// When it ended.
    pub at: SystemTime,
    pub id: String,
    pub route: String,
    pub target: Option<String>,
    pub attempts: u32,
    pub status: u16,
    /// The error's code, or how the answer broke off.
    pub reason: Option<&'static str>,
    pub cost: Option<Nano>,
    pub took: Duration,
}

impl RouteMeter {
    pub(super) fn new(vectors: &Arc<Vectors>, route: &str) -> Self {
        Self {
            vectors: Arc::clone(vectors),
            route: route.to_owned(),
            outcomes: Default::default(),
            cache: Default::default(),
            texts: Default::default(),
            limit_fallbacks: OnceLock::new(),
            queue: Default::default(),
            no_capacity: AtomicU64::new(0),
            decisions: Mutex::default(),
        }
    }

    /// Remembers what became of a request, and forgets the oldest.
    pub fn decided(&self, decision: Decision) {
        let mut decisions = self.decisions.lock().unwrap_or_else(PoisonError::into_inner);
        if decisions.len() >= DECISIONS {
            decisions.pop_front();
        }
        decisions.push_back(decision);
    }

    pub(super) fn decisions(&self) -> Vec<Decision> {
        self.decisions.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// One request ended, its stream included.
    pub fn request(&self, outcome: Outcome) {
        let at = outcome as usize;
        let made = || self.vectors.counter(&self.vectors.requests, &[&self.route, OUTCOMES[at]]);
        self.outcomes[at].get_or_init(made).inc();
    }

    /// An answer was at hand, or was not.
    pub fn cache(&self, kept: Kept) {
        let at = kept as usize;
        let made = || self.vectors.counter(&self.vectors.cache, &[&self.route, CACHE[at]]);
        self.cache[at].get_or_init(made).inc();
    }

    /// Texts that a source embedded.
    pub fn texts_sent(&self, texts: u64) {
        self.count_texts(0, texts);
    }

    /// Texts whose vectors were at hand.
    pub fn texts_kept(&self, texts: u64) {
        self.count_texts(1, texts);
    }

    /// A batch came back with vectors of another size.
    pub fn wrong_dimensions(&self) {
        self.count_texts(2, 1);
    }

    /// How much waits at an embedding endpoint now.
    pub fn queue(&self, waiting: u64, batches: u64) {
        for (held, now) in self.queue.iter().zip([waiting, batches]) {
            held.store(now, Relaxed);
        }
    }

    /// A call found no copy of an embedding endpoint running.
    pub fn no_capacity(&self) {
        self.no_capacity.fetch_add(1, Relaxed);
    }

    /// What an embedding endpoint of that name did and has to do; none before its first text.
    pub(super) fn endpoint(&self) -> Option<EndpointObservation> {
        let given = |at: usize| self.texts.get(at).and_then(OnceLock::get).map_or(0, IntCounter::get);
        let [waiting, batches] = [0, 1].map(|at: usize| self.queue.get(at).map_or(0, |held| held.load(Relaxed)));
        let texts = given(0).saturating_add(given(1));
        let endpoint = Embedding::named(&self.route)?.to_owned();
        let no_capacity = self.no_capacity.load(Relaxed);
        let seen = EndpointObservation { endpoint, texts, waiting, batches, no_capacity };
        (texts + waiting + batches + no_capacity > 0).then_some(seen)
    }

    /// Texts of jobs that are embedded.
    pub fn job_completed(&self, texts: u64) {
        self.count_texts(3, texts);
    }

    /// Texts of jobs that failed for good.
    pub fn job_failed(&self, texts: u64) {
        self.count_texts(4, texts);
    }

    fn count_texts(&self, at: usize, texts: u64) {
        if texts > 0 {
            let made = || self.vectors.counter(&self.vectors.texts, &[&self.route, TEXTS[at]]);
            self.texts[at].get_or_init(made).inc_by(texts);
        }
    }

    /// Limits over all proxies were kept by this one's share.
    pub fn limit_fallback(&self) {
        let made = || self.vectors.counter(&self.vectors.limit_fallbacks, &[&self.route]);
        self.limit_fallbacks.get_or_init(made).inc();
    }

    /// Requests by how they ended, as far as any did so.
    pub(super) fn counts(&self) -> BTreeMap<String, u64> {
        let counted = OUTCOMES.iter().zip(&self.outcomes);
        counted.filter_map(|(name, count)| Some(((*name).to_owned(), count.get()?.get()))).collect()
    }
}

impl RouteMeter {
    /// Drops the series; a request still under way counts on into the void.
    pub(super) fn forget(&self) {
        for (name, _) in OUTCOMES.iter().zip(&self.outcomes).filter(|(_, made)| made.get().is_some()) {
            self.vectors.drop_series(&self.vectors.requests, &[&self.route, name], 1);
        }
        for (name, _) in TEXTS.iter().zip(&self.texts).filter(|(_, made)| made.get().is_some()) {
            self.vectors.drop_series(&self.vectors.texts, &[&self.route, name], 1);
        }
        for (name, _) in CACHE.iter().zip(&self.cache).filter(|(_, made)| made.get().is_some()) {
            self.vectors.drop_series(&self.vectors.cache, &[&self.route, name], 1);
        }
        if self.limit_fallbacks.get().is_some() {
            self.vectors.drop_series(&self.vectors.limit_fallbacks, &[&self.route], 1);
        }
    }
}

/// Counts the attempts on one target.
#[derive(Debug)]
pub struct TargetMeter {
    vectors: Arc<Vectors>,
    /// Route, target, operation, provider, model: the labels of the GenAI series.
    labels: [String; 5],
    attempts: [OnceLock<IntCounter>; ATTEMPTS.len()],
    tokens: [OnceLock<IntCounter>; KINDS.len()],
    token_usage: [OnceLock<Histogram>; 2],
    cost: OnceLock<Counter>,
    estimated: OnceLock<Counter>,
    circuit: OnceLock<IntGauge>,
    duration: OnceLock<Histogram>,
    first_token: OnceLock<Histogram>,
    per_token: OnceLock<Histogram>,
    seen: Seen,
}

/// What goes into status, cumulative since process start.
#[derive(Debug, Default)]
struct Seen {
    requests: AtomicU64,
    errors: AtomicU64,
    cost: AtomicU64,
    circuit: AtomicU8,
    latency: [AtomicU64; LATENCY_BUCKETS_MS.len() + 1],
}

impl TargetMeter {
    pub(super) fn new(vectors: &Arc<Vectors>, route: &str, name: &str, meaning: Meaning<'_>) -> Self {
        let Meaning { operation, provider, model } = meaning;
        Self {
            vectors: Arc::clone(vectors),
            labels: [route, name, operation, provider, model].map(str::to_owned),
            attempts: Default::default(),
            tokens: Default::default(),
            token_usage: Default::default(),
            cost: OnceLock::new(),
            estimated: OnceLock::new(),
            circuit: OnceLock::new(),
            duration: OnceLock::new(),
            first_token: OnceLock::new(),
            per_token: OnceLock::new(),
            seen: Seen::default(),
        }
    }

    /// Whether the handle still counts the same provider and model.
    pub(super) fn means(&self, meaning: Meaning<'_>) -> bool {
        let Meaning { operation: _, provider, model } = meaning;
        self.labels[3] == provider && self.labels[4] == model
    }

    /// One attempt ended, `took` after it began.
    pub fn attempt(&self, outcome: Attempt, took: Duration) {
        let at = outcome as usize;
        let [route, target, ..] = self.labels();
        let made = || self.vectors.counter(&self.vectors.attempts, &[route, target, ATTEMPTS[at]]);
        self.attempts[at].get_or_init(made).inc();
        let made = || self.vectors.histogram(&self.vectors.duration, &self.labels());
        self.duration.get_or_init(made).observe(took.as_secs_f64());

        self.seen.requests.fetch_add(1, Relaxed);
        if !matches!(outcome, Attempt::Ok | Attempt::Refused | Attempt::Cancelled) {
            self.seen.errors.fetch_add(1, Relaxed);
        }
        let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let bucket = LATENCY_BUCKETS_MS.iter().position(|most| millis <= *most).unwrap_or(LATENCY_BUCKETS_MS.len());
        self.seen.latency[bucket].fetch_add(1, Relaxed);
    }

    /// The first byte of a stream arrived, `took` after the attempt began.
    pub fn first_token(&self, took: Duration) {
        let made = || self.vectors.histogram(&self.vectors.first_token, &self.labels());
        self.first_token.get_or_init(made).observe(took.as_secs_f64());
    }

    /// A stream went on for `took` after its first byte, and came to so many tokens.
    pub fn per_token(&self, took: Duration, tokens: u64) {
        if let Some(further) = tokens.checked_sub(1).filter(|further| *further > 0) {
            let made = || self.vectors.histogram(&self.vectors.per_token, &self.labels());
            #[expect(clippy::cast_precision_loss, reason = "a histogram needs no more digits")]
            self.per_token.get_or_init(made).observe(took.as_secs_f64() / further as f64);
        }
    }

    /// What the provider counted for one attempt.
    pub fn usage(&self, usage: &Usage) {
        let [route, target, ..] = self.labels();
        let Usage { input, output, cache_read, cache_write, cache_write_1h } = *usage;
        for (at, count) in [input, output, cache_read, cache_write, cache_write_1h].into_iter().enumerate() {
            if count > 0 {
                let made = || self.vectors.counter(&self.vectors.tokens, &[route, target, KINDS[at]]);
                self.tokens[at].get_or_init(made).inc_by(count);
            }
        }
        let all_input = input + cache_read + cache_write + cache_write_1h;
        for (at, count) in [all_input, output].into_iter().enumerate() {
            let [route, target, operation, provider, model] = self.labels();
            let labels = [route, target, operation, provider, model, KINDS[at]];
            let made = || self.vectors.histogram(&self.vectors.token_usage, &labels);
            #[allow(clippy::cast_precision_loss)]
            self.token_usage[at].get_or_init(made).observe(count as f64);
        }
    }

    /// What one attempt was charged; `estimated` when in full, without the provider's usage.
    pub fn cost(&self, cost: Nano, estimated: bool) {
        if cost == Nano::ZERO {
            return;
        }
        let [route, target, ..] = self.labels();
        let made = || self.vectors.dollars(&self.vectors.cost, &[route, target]);
        self.cost.get_or_init(made).inc_by(usd(cost));
        if estimated {
            let made = || self.vectors.dollars(&self.vectors.estimated, &[route, target]);
            self.estimated.get_or_init(made).inc_by(usd(cost));
        }
        self.seen.cost.fetch_add(cost.0, Relaxed);
    }

    /// The target's circuit changed.
    pub fn circuit(&self, circuit: Circuit) {
        let [route, target, ..] = self.labels();
        let made = || self.vectors.gauge(&self.vectors.circuit, &[route, target]);
        self.circuit.get_or_init(made).set(circuit as i64);
        self.seen.circuit.store(circuit as u8, Relaxed);
    }

    /// Drops the series; an attempt still under way counts on into the void.
    pub(super) fn forget(&self) {
        let [route, target, operation, provider, model] = self.labels();
        let vectors = &self.vectors;
        for (name, _) in ATTEMPTS.iter().zip(&self.attempts).filter(|(_, made)| made.get().is_some()) {
            vectors.drop_series(&vectors.attempts, &[route, target, name], 1);
        }
        for (name, _) in KINDS.iter().zip(&self.tokens).filter(|(_, made)| made.get().is_some()) {
            vectors.drop_series(&vectors.tokens, &[route, target, name], 1);
        }
        for (name, _) in KINDS.iter().zip(&self.token_usage).filter(|(_, made)| made.get().is_some()) {
            let labels = [route, target, operation, provider, model, name];
            vectors.drop_series(&vectors.token_usage, &labels, HISTOGRAM_SERIES);
        }
        let histograms = [
            (&vectors.duration, &self.duration),
            (&vectors.first_token, &self.first_token),
            (&vectors.per_token, &self.per_token),
        ];
        for (of, made) in histograms {
            if made.get().is_some() {
                vectors.drop_series(of, &self.labels(), HISTOGRAM_SERIES);
            }
        }
        for (of, made) in [(&vectors.cost, &self.cost), (&vectors.estimated, &self.estimated)] {
            if made.get().is_some() {
                vectors.drop_series(of, &[route, target], 1);
            }
        }
        if self.circuit.get().is_some() {
            vectors.drop_series(&vectors.circuit, &[route, target], 1);
        }
    }

    /// Figures for status; `None` while the target saw no traffic.
    pub(super) fn observation(&self) -> Option<TargetObservation> {
        let Seen { requests, errors, cost, circuit, latency } = &self.seen;
        let requests = requests.load(Relaxed);
        (requests > 0).then(|| TargetObservation {
            route: self.labels[0].clone(),
            target: self.labels[1].clone(),
            circuit: CIRCUITS[usize::from(circuit.load(Relaxed))].to_owned(),
            requests,
            errors: errors.load(Relaxed),
            cost: cost.load(Relaxed),
            latency_buckets: latency.iter().map(|count| count.load(Relaxed)).collect(),
        })
    }

    /// Route, target, operation, provider and model.
    #[must_use]
    pub fn labels(&self) -> [&str; 5] {
        self.labels.each_ref().map(String::as_str)
    }
}

/// Operation, provider and model by their GenAI names.
#[derive(Clone, Copy, Debug)]
pub(super) struct Meaning<'a> {
    operation: &'static str,
    provider: &'static str,
    model: &'a str,
}

impl<'a> Meaning<'a> {
    pub(super) fn of_target(target: &'a Target) -> Self {
        let (provider, model) = meaning(target);
        Self { operation: "chat", provider, model }
    }

    pub(super) fn of_source(config: &'a Embedding, source: &Source) -> Self {
        let provider = match &source.embedder {
            Embedder::SageMaker(_) => "aws.sagemaker",
            Embedder::OpenAi(_) => "openai",
        };
        Self { operation: "embeddings", provider, model: &config.model }
    }
}

fn meaning(target: &Target) -> (&'static str, &str) {
    match &target.provider {
        Provider::Bedrock(bedrock) => ("aws.bedrock", &bedrock.model_id),
        Provider::OpenAi(openai) => ("openai", openai.model.as_deref().unwrap_or_default()),
        Provider::Anthropic(anthropic) => ("anthropic", &anthropic.model),
        Provider::SageMaker(sagemaker) => ("aws.sagemaker", &sagemaker.endpoint_name),
        Provider::AgentCore(agent) => ("aws.bedrock_agentcore", &agent.runtime_arn),
        Provider::Simulated(_) => ("simulated", ""),
    }
}

/// Dollars for a graph; sums that matter stay in nano-dollars.
#[allow(clippy::cast_precision_loss)]
pub(super) fn usd(amount: Nano) -> f64 {
    amount.0 as f64 / 1e9
}
