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

/// Serves embeddings of one model. Not acted on yet as a whole: `Accepted=False/NotSupported`; its model name is claimed all the same.
///
/// Conditions: `Accepted`, `EndpointInService`, `ScalingActive`, `Programmed`, `MeetsLatencyTarget`, `Ready`.
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
    /// Length of every vector. A response of another size is an error, never passed on.
    #[schemars(range(min = 1, max = 65_536))]
    pub dimensions: u32,
    /// Whether vectors are scaled to length 1. Default false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub normalize: Option<bool>,
    /// How token embeddings become one vector, when the container returns them. Default None.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pooling: Option<Pooling>,
    /// Cuts long texts. Absent: too long is an error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub truncate: Option<Truncate>,
    /// The SageMaker endpoint.
    pub sagemaker: SageMakerEmbeddings,
    /// Tried in order when the endpoint fails; the same model and dimensions only. Default: none.
    #[schemars(length(max = 8))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fallback: Vec<Fallback>,
    /// What the endpoint is created from. Absent: it exists already, and is never changed or deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provision: Option<Provision>,
    /// Scaling by AWS Application Auto Scaling. Absent: left as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscaling: Option<Autoscaling>,
    /// How texts of several requests share one call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batching: Option<Batching>,
    /// Cache by text. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<Cache>,
    /// What a request charges. Absent: the catalog's, else 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<PriceSpec>,
    /// The 95th percentile that `MeetsLatencyTarget` compares with, 1ms to 10m. Absent: `MeetsLatencyTarget` is Unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_target: Option<Duration>,
    /// Asynchronous inference for very large jobs. Absent: none.
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

/// Cuts long texts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Truncate {
    /// Tokens kept at most.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_tokens: u32,
}

/// How texts of several requests share one call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Batching {
    /// Texts in one call. Default 32.
    #[schemars(range(min = 1, max = 2048))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_items: Option<u32>,
    /// How long a text waits for others, 0ms to 10s. Default `5ms`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_wait: Option<Duration>,
    /// Calls in flight at once from one proxy. Default 8.
    #[schemars(range(min = 1, max = 1024))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_concurrent: Option<u32>,
}
