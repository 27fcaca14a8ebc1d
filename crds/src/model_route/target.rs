//! Targets: what speaks at the other end, and what it charges.

use crate::{
    price::PriceSpec,
    reference::SecretSource,
    scalar::{Arn, ModelName, Name, Region},
};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One upstream of a route.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("[has(self.bedrock), has(self.openai), has(self.anthropic), has(self.agentCore), has(self.sagemaker), has(self.simulated)].exists_one(p, p)").message("a target needs exactly one provider: bedrock, openai, anthropic, agentCore, sagemaker or simulated")
)]
pub struct Target {
    /// Name inside the route, unique there; rules, status, metrics and response headers use it.
    pub name: Name,
    /// A Bedrock model through Converse and ConverseStream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bedrock: Option<Bedrock>,
    /// Any server that speaks OpenAI chat completions: Ollama, vLLM and the like.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub openai: Option<OpenAi>,
    /// Anthropic's Messages API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anthropic: Option<Anthropic>,
    /// An agent on Bedrock AgentCore.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_core: Option<AgentCore>,
    /// A SageMaker endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sagemaker: Option<SageMakerChat>,
    /// A model pretended by the proxy: demos and drills without cloud or key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub simulated: Option<Simulated>,
    /// What it charges. Absent: the catalog's price; `simulated` and `sagemaker` cost 0 unless priced. Where an enforcing
    /// budget binds, a target without any price is skipped and `WithinBudget=False/PriceUnknown` names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<PriceSpec>,
    /// Requests in flight at once from one proxy; further ones go on to the next target. Default: no limit.
    #[schemars(range(min = 1, max = 100_000))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_concurrent: Option<u32>,
}

/// A Bedrock model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Bedrock {
    /// Model id, inference profile id or ARN, such as `us.amazon.nova-pro-v1:0`.
    #[schemars(length(min = 1, max = 2048), regex(pattern = "^[!-~]+$"))]
    pub model_id: String,
    /// Model id whose price, bounds and habits hold, where `modelId` is the ARN of an application inference profile, a provisioned or an
    /// imported model and does not say it. Default: what `modelId` says.
    #[schemars(length(min = 1, max = 2048), regex(pattern = "^[!-~]+$"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_model: Option<String>,
    /// Region called. Default: the proxy's own region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Region>,
    /// Role the proxy assumes for these calls. Default: the proxy's own credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role_arn: Option<Arn>,
    /// Guardrail applied by Bedrock to every request. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guardrail: Option<Guardrail>,
}

/// A Bedrock guardrail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Guardrail {
    /// Identifier or ARN.
    #[schemars(length(min = 1, max = 2048), regex(pattern = "^[!-~]+$"))]
    pub id: String,
    /// Version number or `DRAFT`.
    #[schemars(length(min = 1, max = 8), regex(pattern = "^([1-9][0-9]*|DRAFT)$"))]
    pub version: String,
}

/// A server that speaks OpenAI chat completions: exactly one of `service` and `baseUrl`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.service) != has(self.baseUrl)").message("give exactly one of service and baseUrl"),
    validation = Rule::new("!has(self.loopback) || !self.loopback || has(self.baseUrl)").message("loopback goes with baseUrl, not with service")
)]
pub struct OpenAi {
    /// A Service of this namespace, called over plain HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceRef>,
    /// `http://` or `https://`, host, optional port and optional path; no user, query or fragment. Link-local and metadata
    /// addresses are refused always, loopback ones in a cluster unless `loopback` is true.
    #[schemars(length(min = 1, max = 1024), regex(pattern = "^https?://[^\\s?#@]+$"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_url: Option<String>,
    /// Path before `/chat/completions`. Default `/v1` with `service`; with `baseUrl` it is appended, default nothing.
    #[schemars(length(min = 1, max = 256), regex(pattern = "^/[!-~]*$"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Model name sent upstream. Default: the name the client sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelName>,
    /// Bearer token. Default: none sent. While its Secret is missing, the target is skipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key: Option<SecretSource>,
    /// Whether `baseUrl` may be a loopback address in a cluster: a server in the same Pod. Default false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loopback: Option<bool>,
}

/// A Service of the route's namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceRef {
    /// Name of the Service.
    pub name: Name,
    /// Port of the Service.
    #[schemars(range(min = 1, max = 65_535))]
    pub port: u16,
}

/// Anthropic's Messages API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Anthropic {
    /// Model name such as `claude-sonnet-4-5`.
    pub model: ModelName,
    /// API key, sent as `x-api-key`. While its Secret is missing, the target is skipped.
    pub api_key: SecretSource,
    /// `http://` or `https://`, host, optional port and optional path before `/v1/messages`; no user, query or fragment.
    /// Default `https://api.anthropic.com`. Link-local and metadata addresses are refused always, loopback ones in a
    /// cluster unless `loopback` is true.
    #[schemars(length(min = 1, max = 1024), regex(pattern = "^https?://[^\\s?#@]+$"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_url: Option<String>,
    /// Whether `baseUrl` may be a loopback address in a cluster: a server in the same Pod. Default false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loopback: Option<bool>,
}

/// An agent on Bedrock AgentCore. It gets `{"prompt": the user's last message}`, with `messages` where there are several and the
/// parameters that the client set; how long it works is its own affair, so only `price.perRequest` may be stated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentCore {
    /// ARN of the agent runtime; its region is the one called.
    pub runtime_arn: Arn,
}

/// A SageMaker endpoint that serves chat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SageMakerChat {
    /// Name of the endpoint.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[A-Za-z0-9](-*[A-Za-z0-9])*$"))]
    pub endpoint_name: String,
    /// Region called. Default: the proxy's own region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Region>,
    /// What the container speaks.
    pub format: SageMakerFormat,
    /// How a conversation becomes one prompt; with `format: TGI` only. Default: by the endpoint's name, `Llama3` where it contains `llama-3`
    /// or `llama3`, `CodeLlama70b` for `codellama-70b`, `Mistral` for `mistral` or `mixtral`, else `Llama2`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<PromptTemplate>,
}

/// How a conversation becomes one prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PromptTemplate {
    /// `[INST] <<SYS>> ... <</SYS>> ... [/INST]`; CodeLlama up to 34B too.
    Llama2,
    /// `<|start_header_id|>user<|end_header_id|> ... <|eot_id|>`.
    Llama3,
    /// `Source: user ... <step> Source: assistant`.
    CodeLlama70b,
    /// `[INST] ... [/INST]`.
    Mistral,
}

/// What a SageMaker container speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SageMakerFormat {
    /// OpenAI chat completions.
    OpenAI,
    /// Text Generation Inference: one prompt in, text out; no tools, images or structured output.
    #[serde(rename = "TGI")]
    Tgi,
}

/// A pretended model.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Simulated {
    /// What it answers. Default: a sentence saying that it is simulated.
    #[schemars(length(min = 1, max = 8192))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply: Option<String>,
    /// Milliseconds until the first token. Default 300.
    #[schemars(range(max = 600_000))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_token_ms: Option<u32>,
    /// Pace of a stream; 0: everything at once. Default 40.
    #[schemars(range(max = 1_000_000))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_per_second: Option<u32>,
    /// Every n-th request fails with 503; 0: none. Default 0.
    #[schemars(range(max = 1_000_000))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fail_every: Option<u32>,
}
