//! Every series by name, registered once, and the count that keeps them bounded.

use super::MOST_SERIES;
use super::moment::Moment;
use prometheus::core::{MetricVec, MetricVecBuilder};
use prometheus::{Counter, CounterVec, Encoder, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec};
use prometheus::{IntGauge, IntGaugeVec, Opts, Registry, TextEncoder};
use std::sync::atomic::{AtomicUsize, Ordering};

/// The label value of everything past the bound.
const OTHER: &str = "other";
/// Histograms stop creating series here, so that counters still find room.
const MOST_HISTOGRAM_SERIES: usize = MOST_SERIES * 3 / 4;

const SECONDS: [f64; 10] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0];
const PER_TOKEN: [f64; 10] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0];
const TOKENS: [f64; 6] = [16.0, 256.0, 1_024.0, 4_096.0, 16_384.0, 65_536.0];

/// Series of one histogram: its buckets, the one above, sum and count.
pub const HISTOGRAM_SERIES: usize = SECONDS.len() + 3;

#[derive(Debug)]
pub struct Vectors {
    pub registry: Registry,
    series: AtomicUsize,
    pub requests: IntCounterVec,
    pub attempts: IntCounterVec,
    pub cache: IntCounterVec,
    pub texts: IntCounterVec,
    pub limit_fallbacks: IntCounterVec,
    pub tokens: IntCounterVec,
    pub cost: CounterVec,
    pub estimated: CounterVec,
    pub circuit: IntGaugeVec,
    pub duration: HistogramVec,
    pub first_token: HistogramVec,
    pub per_token: HistogramVec,
    pub token_usage: HistogramVec,
    /// Spans, by what became of them.
    pub spans: IntCounterVec,
    pub moment: Moment,
}

impl Vectors {
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let target = ["route", "target"];
        let gen_ai = ["route", "target", "gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model"];
        let gen_ai_tokens = [gen_ai[0], gen_ai[1], gen_ai[2], gen_ai[3], gen_ai[4], "gen_ai_token_type"];
        let seconds = |name, help| HistogramOpts::new(name, help).buckets(SECONDS.to_vec());
        let vectors = Self {
            series: AtomicUsize::new(0),
            requests: IntCounterVec::new(
                Opts::new("tollway_requests_total", "Requests of clients, by how they ended."),
                &["route", "outcome"],
            )?,
            attempts: IntCounterVec::new(
                Opts::new("tollway_attempts_total", "Attempts on targets, by how they ended."),
                &["route", "target", "outcome"],
            )?,
            cache: IntCounterVec::new(
                Opts::new(
                    "tollway_cache_requests_total",
                    "Requests of routes that keep answers, by whether one was at hand.",
                ),
                &["route", "result"],
            )?,
            texts: IntCounterVec::new(
                Opts::new(
                    "tollway_embedding_texts_total",
                    "Texts that were embedded, by whether a source did it; and batches turned away for their vectors' size.",
                ),
                &["route", "result"],
            )?,
            limit_fallbacks: IntCounterVec::new(
                Opts::new(
                    "tollway_redis_limit_fallbacks_total",
                    "Requests whose limits of scope Global were kept by this proxy's share of them, without Redis.",
                ),
                &["route"],
            )?,
            tokens: IntCounterVec::new(
                Opts::new("tollway_tokens_total", "Tokens as the provider counted them."),
                &["route", "target", "kind"],
            )?,
            cost: CounterVec::new(
                Opts::new("tollway_cost_usd_total", "US dollars charged by the price table, estimated ones included."),
                &target,
            )?,
            estimated: CounterVec::new(
                Opts::new("tollway_estimated_usd_total", "US dollars charged in full without the provider's usage."),
                &target,
            )?,
            circuit: IntGaugeVec::new(Opts::new("tollway_circuit_state", "0 closed, 1 half open, 2 open."), &target)?,
            duration: HistogramVec::new(
                seconds("gen_ai_client_operation_duration_seconds", "Duration of attempts on targets."),
                &gen_ai,
            )?,
            first_token: HistogramVec::new(
                seconds("gen_ai_client_operation_time_to_first_chunk_seconds", "Until the first byte of a stream."),
                &gen_ai,
            )?,
            per_token: HistogramVec::new(
                HistogramOpts::new("gen_ai_server_time_per_output_token_seconds", "Of a stream, after its first byte.")
                    .buckets(PER_TOKEN.to_vec()),
                &gen_ai,
            )?,
            spans: IntCounterVec::new(
                Opts::new("tollway_spans_total", "Spans for the collector, by what became of them."),
                &["outcome"],
            )?,
            token_usage: HistogramVec::new(
                HistogramOpts::new("gen_ai_client_token_usage", "Tokens of one attempt.").buckets(TOKENS.to_vec()),
                &gen_ai_tokens,
            )?,
            moment: Moment::new(&registry)?,
            registry,
        };
        let Self { registry, series: _, requests, attempts, cache, texts, tokens, cost, estimated, circuit, .. } = &vectors;
        for counters in [requests, attempts, cache, texts, tokens, &vectors.spans, &vectors.limit_fallbacks] {
            registry.register(Box::new(counters.clone()))?;
        }
        for dollars in [cost, estimated] {
            registry.register(Box::new(dollars.clone()))?;
        }
        registry.register(Box::new(circuit.clone()))?;
        for histogram in [&vectors.duration, &vectors.first_token, &vectors.per_token, &vectors.token_usage] {
            registry.register(Box::new(histogram.clone()))?;
        }
        Ok(vectors)
    }

    pub fn encode(&self) -> Result<String, prometheus::Error> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        String::from_utf8(text).map_err(|error| prometheus::Error::Msg(error.to_string()))
    }

    /// Room for `count` more series below `most`; what does not fit is counted under `other`.
    fn room(&self, count: usize, most: usize) -> bool {
        let taken = |now: usize| (now + count <= most).then_some(now + count);
        self.series.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken).is_ok()
    }

    /// Gives back the room of a series whose resource is gone. What was counted under `other` stays there.
    pub fn drop_series<T: MetricVecBuilder>(&self, of: &MetricVec<T>, labels: &[&str], series: usize) {
        if of.remove_label_values(labels).is_ok() {
            self.series.fetch_sub(series, Ordering::Relaxed);
        }
    }

    pub fn counter(&self, of: &IntCounterVec, labels: &[&str]) -> IntCounter {
        if self.room(1, MOST_SERIES) { of.with_label_values(labels) } else { of.with_label_values(&others(labels)) }
    }

    pub fn dollars(&self, of: &CounterVec, labels: &[&str]) -> Counter {
        if self.room(1, MOST_SERIES) { of.with_label_values(labels) } else { of.with_label_values(&others(labels)) }
    }

    pub fn gauge(&self, of: &IntGaugeVec, labels: &[&str]) -> IntGauge {
        if self.room(1, MOST_SERIES) { of.with_label_values(labels) } else { of.with_label_values(&others(labels)) }
    }

    pub fn histogram(&self, of: &HistogramVec, labels: &[&str]) -> Histogram {
        let fits = self.room(HISTOGRAM_SERIES, MOST_HISTOGRAM_SERIES);
        if fits { of.with_label_values(labels) } else { of.with_label_values(&others(labels)) }
    }
}

fn others<'a>(labels: &[&'a str]) -> Vec<&'a str> {
    labels.iter().map(|_| OTHER).collect()
}
