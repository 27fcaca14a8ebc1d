//! EmbeddingEndpoint: a model name for `/v1/embeddings` and the SageMaker endpoint behind it.

mod hosting;
mod status;

pub use hosting::{
    Autoscaling, DeadLetter, Fallback, Jobs, Metric, OpenAiEmbeddings, Payload, Provision, SageMakerEmbeddings,
    ScalingTarget, Vpc,
};
pub use status::{EmbeddingEndpointStatus, InstancesStatus, ScalingStatus};

use crate::{
    model_route::Cache,
    price::PriceSpec,
    scalar::{Duration, ModelName},
};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Serves embeddings of one model, at `/v1/embeddings` and at SageMaker's own `/endpoints/{name}/invocations`.
///
/// Conditions: `Accepted`, `ResolvedRefs`, `EndpointInService`, `Healthy`, `ScalingActive`, `Programmed`, `Supported`, `MeetsLatencyTarget`, `Ready`.
#[derive(CustomResource, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "tollway.dev",
    version = "v1alpha1",
    kind = "EmbeddingEndpoint",
    plural = "embeddingendpoints",
    shortname = "ee",
    category = "tollway",
    namespaced,
    status = "EmbeddingEndpointStatus",
    derive = "PartialEq",
    doc = "Serves embeddings of one model from a SageMaker endpoint.",
    validation = Rule::new("self.metadata.name.size() <= 63").message("the name must have at most 63 characters: proxies use it as a label"),
    printcolumn(name = "Model", type_ = "string", json_path = ".spec.model"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Instances", type_ = "integer", json_path = ".status.instances.current"),
    printcolumn(name = "P95", type_ = "integer", json_path = ".status.p95Ms"),
    printcolumn(name = "Items/s", type_ = "string", json_path = ".status.itemsPerSecond"),
    printcolumn(name = "Infrastructure", type_ = "string", json_path = ".status.infrastructureUsd"),
    printcolumn(
        name = "Message",
        type_ = "string",
        priority = 1,
        json_path = ".status.conditions[?(@.type==\"Ready\")].message"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct EmbeddingEndpointSpec {
    /// The name clients send as `model`; unique in the namespace, ModelRoutes included (a contested name stays with the older resource;
    /// here: `Accepted=False/Conflicted`).
    pub model: ModelName,
    /// Length of every vector. A response of another size is an error, never passed on; the next source is tried.
    #[schemars(range(min = 1, max = 65_536))]
    pub dimensions: u32,
    /// Whether vectors are scaled to length 1. One that has it already passes digit for digit. Default false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub normalize: Option<bool>,
    /// How token embeddings become one vector, when the container returns them. Default None.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pooling: Option<Pooling>,
    /// Cuts long texts. Absent: too long is an error of the endpoint's, told as 400.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub truncate: Option<Truncate>,
    /// What is done to every text before it is looked up, sent and charged. Absent: texts go as they come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preprocess: Option<Preprocess>,
    /// The SageMaker endpoint.
    pub sagemaker: SageMakerEmbeddings,
    /// Tried in order, batch by batch, when the endpoint fails; the same model and dimensions only. Default: none.
    #[schemars(length(max = 8))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fallback: Vec<Fallback>,
    /// What the endpoint is created from, in a cluster. Absent: it exists already, and is never changed or deleted. Standalone: `Supported=False`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provision: Option<Provision>,
    /// Scaling by AWS Application Auto Scaling, in a cluster: what is registered here is put back when it drifts and taken away with the resource
    /// (`ScalingActive`); what was registered before is left alone (`ScalingActive=False/NotOurs`). Absent: left as it is. Standalone: `Supported=False`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscaling: Option<Autoscaling>,
    /// A tiny call to the endpoint now and then, by the operator, in a cluster (`Healthy`). Standalone: `Supported=False`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_check: Option<HealthCheck>,
    /// What becomes of texts that find no copy of the inference component running.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cold_start: Option<ColdStart>,
    /// How texts of several requests share one call. A budget charges each request for its own texts: the endpoint's token count is shared out in proportion to the bounds of their texts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batching: Option<Batching>,
    /// Cache by text, of every caller of the endpoint; cached vectors cost nothing and serve also when a budget is exhausted. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<Cache>,
    /// What a request charges, whichever source answers. Absent: the catalog's for `model`, else 0. Containers that do not count tokens are charged the bound: one a byte.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<PriceSpec>,
    /// The 95th percentile that `MeetsLatencyTarget` compares with, 1ms to 10m. Absent: `MeetsLatencyTarget` is Unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_target: Option<Duration>,
    /// Asynchronous inference for very large jobs, at `/v1/embeddings/jobs`. Every batch is reserved in the budgets and charged as a request. Absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jobs: Option<Jobs>,
}

/// How token embeddings become one vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Pooling {
    /// The container returns one vector.
    None,
    /// The first token's.
    Cls,
    /// The mean of all tokens'.
    Mean,
}

/// Cuts long texts: a TEI container at its own limit, which is told to; for any other payload the proxy, at three bytes a token (an estimate: few tokenizers make more).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Truncate {
    /// Tokens kept at most.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_tokens: u32,
}

/// What is done to every text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Preprocess {
    /// Unicode is composed canonically (NFC), so that equal-looking texts have equal vectors. Default false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nfc: Option<bool>,
    /// Runs of white space become one space, and none is left at the ends. Default false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub whitespace: Option<bool>,
}

/// A tiny call to the endpoint now and then: one short text, whose vector must have `dimensions`. It is the operator's own: no budget is charged for it,
/// and an endpoint without instances (serverless, or scaled to zero) is not called.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HealthCheck {
    /// Time between calls, 10s to 24h; `0s`: none is made. Default `5m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Duration>,
}

/// Texts that find no copy of the inference component running go to the fallbacks; where none answers they wait and are tried again every two
/// seconds, their cost reserved meanwhile.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ColdStart {
    /// How long, 0s to 10m; past it 503 with `Retry-After`. Default `60s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_wait: Option<Duration>,
}

/// How texts of several requests share one call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Batching {
    /// Texts in one call. Default 32.
    #[schemars(range(min = 1, max = 2048))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_items: Option<u32>,
    /// How long a text waits for others, 0ms to 10s; up to two calls longer at a busy endpoint that works on one call at a time. Default `5ms`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_wait: Option<Duration>,
    /// Calls in flight at once from one proxy. Default 8.
    #[schemars(range(min = 1, max = 1024))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_concurrent: Option<u32>,
}
