//! Verdicts and observations in, the status of each kind out: conditions with reasons, figures, which proxies serve what. Pure; `now` is an argument.

mod aws;
mod budget;
mod condition;
mod embedding;
mod hosting;
mod route;

pub use budget::{cost_budget, instant};
pub use condition::condition;
pub use embedding::{EmbeddingSeen, embedding_endpoint};
pub use hosting::in_force;
pub use route::{enforcing, model_route};

use crate::{
    snapshot::Accepted,
    spend::{Figures, Forecast, Nano, Window},
};
use std::collections::BTreeMap;
use tollway_crds::model_route::LastAccepted;

/// Upper ends of the latency histogram that proxies send, milliseconds; one more bucket holds what is above.
pub const LATENCY_BUCKETS_MS: [u64; 13] =
    [50, 100, 200, 300, 500, 800, 1_200, 2_000, 3_000, 5_000, 10_000, 30_000, 60_000];

/// The latency that `percent` of the counted requests stay within, spread evenly over its bucket; above the last bucket, that one's end.
#[must_use]
pub fn percentile_ms(buckets: &[u64], percent: u32) -> Option<u64> {
    let total: u64 = buckets.iter().fold(0, |sum, n| sum.saturating_add(*n));
    if total == 0 {
        return None;
    }
    let wanted = (u128::from(total) * u128::from(percent.min(100))).div_ceil(100).max(1);
    let (mut below, mut lower) = (0_u128, 0_u64);
    for (count, upper) in buckets.iter().zip(LATENCY_BUCKETS_MS) {
        let count = u128::from(*count);
        if below + count >= wanted {
            let part = u128::from(upper - lower) * (wanted - below) / count;
            return Some(lower + u64::try_from(part).unwrap_or(0));
        }
        below += count;
        lower = upper;
    }
    Some(lower)
}

/// How far a generation of a route has got among the proxies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Convergence {
    /// Proxies connected.
    pub connected: u32,
    /// Of these, those that serve it.
    pub programmed: u32,
    /// Those that should and do not, and why where they said so.
    pub lagging: Vec<(String, Option<String>)>,
}

/// State of a circuit, the worst last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Circuit {
    /// Requests pass.
    #[default]
    Closed,
    /// One probe passes.
    HalfOpen,
    /// Nothing passes.
    Open,
}

impl Circuit {
    /// The word in status and on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "Closed",
            Self::HalfOpen => "HalfOpen",
            Self::Open => "Open",
        }
    }
}

/// What proxies saw of one target, summed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetSeen {
    /// The worst among the proxies.
    pub circuit: Circuit,
    /// Attempts.
    pub requests: u64,
    /// Of these, failed.
    pub errors: u64,
    /// What they cost.
    pub cost: Nano,
    /// Counts by [`LATENCY_BUCKETS_MS`], one more for above.
    pub latency_buckets: Vec<u64>,
}

/// What is known of a route besides its verdict.
#[derive(Clone, Debug, Default)]
pub struct RouteSeen<'a> {
    /// The route in the table, when it is there.
    pub route: Option<&'a crate::table::Route>,
    /// Who serves it.
    pub convergence: Convergence,
    /// Targets that saw traffic, by name.
    pub targets: BTreeMap<String, TargetSeen>,
    /// Budgets that bind it and enforce, by name; absent: not known yet.
    pub budgets: BTreeMap<String, Option<Figures>>,
}

/// What is known of a budget besides its verdict.
#[derive(Clone, Debug)]
pub struct BudgetSeen {
    /// The amounts.
    pub figures: Figures,
    /// The window they are of.
    pub window: Window,
    /// Name of the BudgetLedger.
    pub ledger: String,
    /// Its uid.
    pub uid: String,
    /// Ids of the adjustments that are applied, and when each was (Unix milliseconds), where that is known.
    pub adjustments: Vec<(String, Option<i64>)>,
    /// Where the pace of the last hour leads.
    pub forecast: Forecast,
    /// Revision of the price catalog.
    pub catalog: String,
    /// What became of messages and of the mirror in AWS.
    pub aws: AwsSeen,
}

/// What is known of a budget's dealings with AWS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AwsSeen {
    /// Topics told in this window, by the threshold's percent.
    pub notified: BTreeMap<u32, Vec<String>>,
    /// Why messages that are due are not sent.
    pub notify_trouble: Option<Trouble>,
    /// The mirror; absent until it was looked at once.
    pub mirror: Option<MirrorSeen>,
}

/// How a mirror in AWS Budgets stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MirrorSeen {
    /// What AWS says was spent.
    pub actual: Option<Nano>,
    /// When AWS was asked last, Unix milliseconds.
    pub read_at_ms: Option<i64>,
    /// Why it is not as it should be.
    pub trouble: Option<Trouble>,
}

/// How a SageMaker endpoint and its scaling stand in AWS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostingSeen {
    /// The endpoint; absent while it is not known.
    pub endpoint: Option<EndpointSeen>,
    /// Why it is not known.
    pub trouble: Option<Trouble>,
    /// How many instances the autoscaler may run, least and most; absent where the spec has it run none.
    pub limits: Option<(i32, i32)>,
    /// Budgets that are exhausted, so that the most is the least.
    pub held_by: Vec<String>,
    /// The last thing the autoscaler did, where AWS says it.
    pub activity: Option<Activity>,
    /// Why scaling is not as it should be.
    pub scaling_trouble: Option<Trouble>,
}

/// What came of the last tiny call to an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HealthSeen {
    /// It gave a vector as it should.
    Answered,
    /// It did not.
    Failed(Trouble),
    /// No instance runs, so none was called.
    NoInstances,
    /// The spec has none made.
    NotChecked,
}

/// An endpoint as AWS describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointSeen {
    /// AWS's word for its state.
    pub state: String,
    /// Why it failed.
    pub failure: Option<String>,
    /// Instances of the variant that run, and that should; absent for one without instances.
    pub instances: Option<(i32, i32)>,
    /// Copies of the inference component that run, and that should; absent where none is called.
    pub copies: Option<(i32, i32)>,
    /// Where they run.
    pub region: String,
    /// What they are, where that is known.
    pub instance_type: Option<String>,
}

/// Instances that ran until now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    /// Since when they are known to run at that price, Unix milliseconds; `None`: since they were counted last.
    pub since_ms: Option<i64>,
    /// What all of them cost an hour.
    pub per_hour: Nano,
}

/// One thing that an autoscaler did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Activity {
    /// When it began, Unix milliseconds.
    pub at_ms: i64,
    /// Why, in AWS's words.
    pub reason: String,
}

/// What is wrong, in one word and in a sentence that says what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Reason of the condition.
    pub reason: &'static str,
    /// For people.
    pub message: String,
}

/// The status field that keeps the last accepted spec.
#[must_use]
pub fn last_accepted(accepted: &Accepted) -> LastAccepted {
    LastAccepted { generation: accepted.generation, spec: accepted.spec.to_value() }
}

#[cfg(test)]
mod tests;
