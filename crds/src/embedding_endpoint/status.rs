//! What is known of an EmbeddingEndpoint.

use crate::{Condition, model_route::LastAccepted};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Status of an EmbeddingEndpoint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct EmbeddingEndpointStatus {
    /// The generation this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The spec that stays in force while a newer one is not accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_accepted: Option<LastAccepted>,
    /// Accepted, ResolvedRefs, EndpointInService, Healthy, ScalingActive, Programmed, Supported, MeetsLatencyTarget, Ready.
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    #[serde(default)]
    pub conditions: Vec<Condition>,
    /// Instances of the variant; copies, of an inference component.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instances: Option<InstancesStatus>,
    /// The last thing the autoscaler did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scaling: Option<ScalingStatus>,
    /// Median milliseconds of a call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p50_ms: Option<i64>,
    /// 95th percentile of milliseconds of a call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p95_ms: Option<i64>,
    /// Texts a second over the last minute, decimal text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub items_per_second: Option<String>,
    /// Dollars of instance-hours of the variant in the current month (UTC), at the catalog's price; absent where that or the instance type is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub infrastructure_usd: Option<String>,
    /// Until when they are counted (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub infrastructure_until: Option<String>,
}

/// Instances of the variant; copies, of an inference component.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct InstancesStatus {
    /// Running.
    pub current: i32,
    /// Wanted by the autoscaler, or by whoever set them by hand.
    pub desired: i32,
    /// At least, as the autoscaler has it; absent: it is not told to scale the variant by this resource.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min: Option<i32>,
    /// At most, likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<i32>,
}

/// The last thing the autoscaler did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ScalingStatus {
    /// When (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_activity: Option<String>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}
