//! What is known of a ModelRoute: conditions, which proxies serve it, how its targets do.

use crate::{Condition, definition::preserved};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Status of a ModelRoute.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ModelRouteStatus {
    /// The generation this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The spec that stays in force while a newer one is not accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_accepted: Option<LastAccepted>,
    /// Accepted, ResolvedRefs, Programmed, Supported, Healthy, WithinBudget, Ready.
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    #[serde(default)]
    pub conditions: Vec<Condition>,
    /// Which proxies serve this generation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxies: Option<ProxiesStatus>,
    /// Targets in the order of the spec.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<TargetStatus>,
    /// Attempts over all targets and proxies since the proxies started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<i64>,
    /// Dollars over all targets and proxies since the proxies started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<String>,
}

/// A spec that was accepted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LastAccepted {
    /// The generation the spec had.
    pub generation: i64,
    /// The spec, whole.
    #[schemars(schema_with = "preserved")]
    pub spec: Value,
}

/// Which proxies serve the latest generation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ProxiesStatus {
    /// Proxies connected.
    pub connected: i32,
    /// Those of them that serve this generation.
    pub programmed: i32,
    /// Names of those that do not, sorted, the first 20.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lagging: Vec<String>,
    /// Programmed and connected as `3/3`.
    pub summary: String,
}

/// How one target does, over all proxies since they started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct TargetStatus {
    /// The target's name.
    pub name: String,
    /// The worst circuit of all proxies: Closed, HalfOpen or Open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub circuit: Option<String>,
    /// Attempts.
    pub requests: i64,
    /// Attempts that failed.
    pub errors: i64,
    /// Median milliseconds to the first token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p50_ms: Option<i64>,
    /// 95th percentile of milliseconds to the first token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p95_ms: Option<i64>,
    /// Dollars.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<String>,
}
