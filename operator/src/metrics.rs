//! What the operator counted in; Prometheus text out. Labels are fixed words, and names of budgets up to a bound, so the number of series is bounded too.

mod budgets;

pub use budgets::Budgets;

use prometheus::{
    Encoder, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry, TextEncoder,
};

/// Every series of the operator.
pub struct Metrics {
    registry: Registry,
    shared: Registry,
    /// Where each budget stands.
    pub budgets: Budgets,
    /// 1 while this replica leads.
    pub leader: IntGauge,
    /// Proxies with an open Watch stream.
    pub proxies: IntGauge,
    /// Highest revision published.
    pub revision: IntGauge,
    /// Tables published.
    pub tables: IntCounter,
    /// Messages about a table to a proxy, by body: sent, or held by the proxy already.
    pub table_messages: IntCounterVec,
    /// Namespaces compiled.
    pub reconciles: IntCounter,
    /// Seconds from the first event of a batch to its publication.
    pub reconcile_seconds: Histogram,
    /// Status documents written, by result: written, failed.
    pub status_writes: IntCounterVec,
    /// Ledger objects written, by result: written, conflict, unknown, failed.
    pub ledger_writes: IntCounterVec,
    /// Grants sent.
    pub grants: IntCounter,
    /// Asks denied, by reason.
    pub denials: IntCounterVec,
    /// Grants burned.
    pub burns: IntCounter,
    /// Calls turned away for their token.
    pub unauthenticated: IntCounter,
    /// Answers to the API server, by call (inject, mark, validate) and answer (allowed, denied).
    pub admissions: IntCounterVec,
    /// Seconds for one of them, by call.
    pub admission_seconds: HistogramVec,
}

impl Metrics {
    /// Registers everything.
    pub fn new() -> Result<Metrics, prometheus::Error> {
        let registry = Registry::new_custom(Some("tollway_operator".to_owned()), None)?;
        let gauge = |name: &str, help: &str| {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone())).map(|()| gauge)
        };
        let counter = |name: &str, help: &str| {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone())).map(|()| counter)
        };
        let counters = |name: &str, help: &str, label: &str, values: &[&str]| {
            let counters = IntCounterVec::new(Opts::new(name, help), &[label])?;
            for value in values {
                counters.with_label_values(&[value]);
            }
            registry.register(Box::new(counters.clone())).map(|()| counters)
        };
        let seconds =
            HistogramOpts::new("reconcile_seconds", "Seconds from the first event of a batch to its publication")
                .buckets(vec![0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0]);
        let seconds = Histogram::with_opts(seconds)?;
        registry.register(Box::new(seconds.clone()))?;
        let admission_seconds = HistogramVec::new(
            HistogramOpts::new("admission_seconds", "Seconds for one answer to the API server")
                .buckets(vec![0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 1.0]),
            &["call"],
        )?;
        registry.register(Box::new(admission_seconds.clone()))?;
        let admissions =
            IntCounterVec::new(Opts::new("admissions_total", "Answers to the API server"), &["call", "answer"])?;
        for call in ["inject", "mark", "validate"] {
            for answer in ["allowed", "denied"] {
                admissions.with_label_values(&[call, answer]);
            }
        }
        registry.register(Box::new(admissions.clone()))?;
        registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        let shared = Registry::new_custom(Some("tollway".to_owned()), None)?;
        Ok(Metrics {
            budgets: Budgets::new(&shared)?,
            shared,
            leader: gauge("leader", "1 while this replica leads")?,
            proxies: gauge("connected_proxies", "Proxies with an open Watch stream")?,
            revision: gauge("table_revision", "Highest revision published")?,
            tables: counter("tables_published_total", "Tables published")?,
            table_messages: counters(
                "table_messages_total",
                "Messages about a table to a proxy, with the table or for one that the proxy holds",
                "body",
                &["sent", "held"],
            )?,
            reconciles: counter("reconciles_total", "Namespaces compiled")?,
            reconcile_seconds: seconds,
            status_writes: counters(
                "status_writes_total",
                "Status documents written",
                "result",
                &["written", "failed"],
            )?,
            ledger_writes: counters(
                "ledger_writes_total",
                "Ledger objects written",
                "result",
                &["written", "conflict", "unknown", "failed"],
            )?,
            grants: counter("grants_total", "Grants sent")?,
            denials: counters(
                "denials_total",
                "Asks denied",
                "reason",
                &["exhausted", "user_exhausted", "client_exhausted", "contended", "frozen", "unavailable"],
            )?,
            burns: counter(
                "burned_grants_total",
                "Grants charged in full because their holder died or their life ended",
            )?,
            unauthenticated: counter("unauthenticated_total", "Calls turned away for their token")?,
            admissions,
            admission_seconds,
            registry,
        })
    }

    /// The exposition format.
    pub fn render(&self) -> Result<Vec<u8>, prometheus::Error> {
        let mut out = Vec::new();
        for registry in [&self.registry, &self.shared] {
            TextEncoder::new().encode(&registry.gather(), &mut out)?;
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_there_before_the_first_event() {
        let text = String::from_utf8(Metrics::new().unwrap().render().unwrap()).unwrap();
        assert!(text.contains("tollway_operator_leader 0"), "{text}");
        assert!(text.contains("tollway_operator_denials_total{reason=\"frozen\"} 0"), "{text}");
    }
}
