//! The verdict on an EmbeddingEndpoint and what proxies saw of it in, its status out.

use super::{
    Convergence, HealthSeen, HostingSeen, Ran, TargetSeen,
    condition::{Because, Conditions, accepted, no, unknown, yes},
    hosting, last_accepted, percentile_ms,
    route::{programmed, ready, resolved, supported},
};
use crate::compile::{InForce, Verdict};
use jiff::Timestamp;
use std::collections::BTreeMap;
use tollway_crds::EmbeddingEndpointStatus;

/// What is known of an embedding endpoint besides its verdict.
#[derive(Clone, Debug, Default)]
pub struct EmbeddingSeen {
    /// Who serves it.
    pub convergence: Convergence,
    /// Sources that saw traffic, by name; a request of theirs is one call with a batch of texts.
    pub sources: BTreeMap<String, TargetSeen>,
    /// The endpoint and its scaling in AWS; absent until they were looked at once.
    pub hosting: Option<HostingSeen>,
    /// What the last tiny call came to; absent until there was one.
    pub health: Option<HealthSeen>,
    /// Texts a second over the last minute, decimal text; absent until a proxy reported some.
    pub texts_per_second: Option<String>,
    /// Instances whose hours are due to be counted.
    pub ran: Option<Ran>,
}

/// The status of an EmbeddingEndpoint.
#[must_use]
pub fn embedding_endpoint(
    verdict: &Verdict,
    seen: &EmbeddingSeen,
    before: &EmbeddingEndpointStatus,
    now: Timestamp,
) -> EmbeddingEndpointStatus {
    let (accepted, resolved) = (accepted(verdict), resolved(verdict));
    let programmed = match verdict.in_force {
        // Its one name is another's.
        InForce::Current | InForce::LastGood(_) if verdict.models.is_empty() => {
            no("NotServed", "its model name belongs to another resource")
        }
        _ => programmed(verdict, &seen.convergence),
    };
    let ready = ready([&accepted, &resolved, &programmed], &seen.convergence);
    let mut buckets = Vec::new();
    for source in seen.sources.values() {
        buckets.resize(buckets.len().max(source.latency_buckets.len()), 0_u64);
        for (sum, count) in buckets.iter_mut().zip(&source.latency_buckets) {
            *sum = sum.saturating_add(*count);
        }
    }
    let p95 = percentile_ms(&buckets, 95);
    let mut conditions = Conditions::new(verdict.generation, &before.conditions, now);
    conditions.set("Accepted", &accepted);
    conditions.set("ResolvedRefs", &resolved);
    conditions.set("Programmed", &programmed);
    conditions.set("Supported", &supported(verdict));
    let (spec, hosting) = (hosting::in_force(verdict), seen.hosting.as_ref());
    conditions.set("EndpointInService", &hosting::in_service(hosting));
    conditions.set("Healthy", &hosting::healthy(seen.health.as_ref()));
    conditions.set("ScalingActive", &hosting::scaling_active(spec, hosting));
    conditions.set("MeetsLatencyTarget", &meets_target(verdict.latency_target_ms, p95));
    conditions.set("Ready", &ready);
    let (infrastructure_usd, infrastructure_until) = hosting::infrastructure(before, seen.ran.as_ref(), now);
    let millis = |percent| percentile_ms(&buckets, percent).and_then(|ms| i64::try_from(ms).ok());
    EmbeddingEndpointStatus {
        observed_generation: Some(verdict.generation),
        last_accepted: verdict.last_accepted.as_ref().map(last_accepted),
        conditions: conditions.finish(),
        instances: hosting::instances(hosting),
        scaling: hosting::scaling(hosting),
        infrastructure_usd,
        infrastructure_until,
        p50_ms: millis(50),
        p95_ms: millis(95),
        items_per_second: seen.texts_per_second.clone(),
    }
}

fn meets_target(target: Option<u64>, p95: Option<u64>) -> Because {
    match (target, p95) {
        (None, _) => unknown("NoTarget", "spec.latencyTarget is not set"),
        (_, None) => unknown("NoTraffic", "no proxy has reported a call"),
        (Some(target), Some(p95)) if p95 <= target => {
            yes("Met", format!("95 of 100 calls take {p95} ms or less, and {target} ms is the target"))
        }
        (Some(target), Some(p95)) => {
            no("Missed", format!("95 of 100 calls take {p95} ms or less, and {target} ms is the target"))
        }
    }
}
