//! Where embeddings come from: endpoints, what they are made of, how they scale.

use crate::{
    reference::SecretSource,
    scalar::{Arn, Duration, ModelName, Region},
};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A SageMaker endpoint that returns embeddings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SageMakerEmbeddings {
    /// Name of the endpoint.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[A-Za-z0-9](-*[A-Za-z0-9])*$"))]
    pub endpoint_name: String,
    /// Production variant that is called (and scaled). Default: SageMaker chooses by the variants' weights (`AllTraffic` is scaled).
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[A-Za-z0-9](-*[A-Za-z0-9])*$"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// Inference component of the endpoint that is called, and scaled by its copies: it may have none. Default: none; the variant is called and scaled.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[A-Za-z0-9](-*[A-Za-z0-9])*$"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inference_component: Option<String>,
    /// Region called. Default: the proxy's own region; the operator looks at the endpoint in its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Region>,
    /// What the container speaks. Default Inputs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<Payload>,
}

/// What an embedding container speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Payload {
    /// Sends `{"inputs": [texts]}`; reads `{"embeddings": [[...]]}`, `[[...]]` or token embeddings to pool.
    Inputs,
    /// Sends `{"inputs": [texts]}`, with normalize and truncate when set; reads `[[...]]`.
    #[serde(rename = "TEI")]
    Tei,
    /// Sends `{"input": [texts], "model"}`; reads `{"data": [{index, embedding}]}`.
    OpenAI,
}

/// Another source of the same embeddings: exactly one field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.sagemaker) != has(self.openai)").message("give exactly one of sagemaker and openai"))]
pub struct Fallback {
    /// Another SageMaker endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sagemaker: Option<SageMakerEmbeddings>,
    /// A server that speaks OpenAI embeddings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub openai: Option<OpenAiEmbeddings>,
}

/// A server that speaks OpenAI embeddings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OpenAiEmbeddings {
    /// `http://` or `https://`, host, optional port and path; no user, query or fragment.
    #[schemars(length(min = 1, max = 1024), regex(pattern = "^https?://[^\\s?#@]+$"))]
    pub base_url: String,
    /// Model name sent upstream. Default: `spec.model`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelName>,
    /// Bearer token. Default: none sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key: Option<SecretSource>,
}

/// What an endpoint is created from. Deleting the resource removes what it made and nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Provision {
    /// Container image.
    #[schemars(length(min = 1, max = 255), regex(pattern = "^[!-~]+$"))]
    pub image: String,
    /// S3 URI of the model's archive. Default: the image holds the model.
    #[schemars(length(min = 1, max = 1024), regex(pattern = "^s3://[!-~]+$"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_data_url: Option<String>,
    /// Instance type, such as `ml.g4dn.xlarge`.
    #[schemars(length(min = 1, max = 64), regex(pattern = "^ml\\.[a-z0-9-]+\\.[a-z0-9]+$"))]
    pub instance_type: String,
    /// Role SageMaker assumes to run it.
    pub execution_role_arn: Arn,
    /// Network of the instances. Default: SageMaker's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vpc: Option<Vpc>,
    /// Key that encrypts the instances' disks. Default: AWS's own.
    #[schemars(length(min = 1, max = 2048), regex(pattern = "^[!-~]+$"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kms_key_id: Option<String>,
}

/// Network of the instances.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Vpc {
    /// Subnet ids.
    #[schemars(length(min = 1, max = 16), inner(length(min = 1, max = 32), regex(pattern = "^subnet-[0-9a-z]+$")))]
    pub subnets: Vec<String>,
    /// Security group ids.
    #[schemars(length(min = 1, max = 5), inner(length(min = 1, max = 32), regex(pattern = "^sg-[0-9a-z]+$")))]
    pub security_groups: Vec<String>,
}

/// Scaling by AWS Application Auto Scaling, corrected when it drifts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.minInstances <= self.maxInstances").message("minInstances must not be above maxInstances"))]
pub struct Autoscaling {
    /// Instances (copies, of an inference component) at least. With 0 of an inference component the endpoint is scaled to zero, and the operator
    /// starts the first copy when a text finds none.
    #[schemars(range(max = 1000))]
    pub min_instances: u32,
    /// Instances (copies, of an inference component) at most.
    #[schemars(range(min = 1, max = 1000))]
    pub max_instances: u32,
    /// What is held steady.
    pub target: ScalingTarget,
    /// Time after one scale-in before the next, 0s to 24h. Default `300s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_in_cooldown: Option<Duration>,
    /// Time after one scale-out before the next, 0s to 24h. Default `60s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_out_cooldown: Option<Duration>,
}

/// A metric and the value it is held at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScalingTarget {
    /// What is measured.
    pub metric: Metric,
    /// Percent for Utilization, a count for the others.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub value: u32,
}

/// Metrics an endpoint scales by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Metric {
    /// Percent of the instance's GPUs (the copy's, of an inference component), or of its CPUs where it has none, in use; of an instance type that is not known, `ScalingActive=False/UnknownInstance`.
    Utilization,
    /// Invocations a minute on each instance.
    InvocationsPerInstance,
    /// Texts that wait in proxies, and batches under way, on each instance: `QueueDepth` in CloudWatch's namespace `Tollway/EmbeddingEndpoints`,
    /// measured by the operator every 20 s.
    QueueDepth,
}

/// Asynchronous inference: `/v1/embeddings/jobs` takes what `/v1/embeddings` takes, and its batches go through SageMaker's InvokeEndpointAsync.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Jobs {
    /// `s3://bucket/prefix`, in the endpoint's region: a folder of the namespace and the endpoint under it holds each job's state, input and
    /// vectors. The proxy reads and writes there, the endpoint's role reads. Nothing is deleted: give the prefix a lifecycle rule.
    #[schemars(length(min = 1, max = 1024), regex(pattern = "^s3://[!-~]+$"))]
    pub s3_uri: String,
    /// The endpoint that takes the batches. SageMaker invokes one that has an asynchronous configuration in no other way, so it is mostly
    /// another one than `spec.sagemaker`, of the same model and payload. Default: `spec.sagemaker.endpointName`.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[A-Za-z0-9](-*[A-Za-z0-9])*$"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint_name: Option<String>,
    /// Where items go that failed for good, one message each. Default: nowhere; the job's result says which failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_letter: Option<DeadLetter>,
}

/// Where items go that failed for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetter {
    /// URL of an SQS queue, `https://sqs.us-east-1.amazonaws.com/123456789012/name`; a queue whose name ends in `.fifo` keeps each item once. The
    /// request goes to SQS in the region that the URL names, whatever its host.
    #[schemars(length(min = 1, max = 1024), regex(pattern = "^https?://[^\\s?#@]+$"))]
    pub sqs_queue_url: String,
}
