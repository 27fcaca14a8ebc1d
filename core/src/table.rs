//! The routing table of one namespace: what `compile` makes, `wire` carries and the proxy serves. No Kubernetes type; nothing left to check.
//!
//! # Why no revision and no generation
//! A folder and a cluster with the same manifests give the same table, byte for byte. What differs between them
//! (revision, generation) travels in the envelope.

mod budget;
mod embedding;

pub use budget::{Budget, Mode, OnExhausted, Period, Reached, Threshold};
pub use embedding::{Batching, Embedder, Embedding, Jobs, Payload, Pooling, Preprocess, Queue, SageMaker, Source};

use crate::spend::Price;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Every route and budget of a namespace, references resolved.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Table {
    /// The namespace the table belongs to.
    pub namespace: String,
    /// Model name as clients send it -> route name, or [`Embedding::place`] of an embedding endpoint. `*` takes whatever nothing else claims.
    pub models: BTreeMap<String, String>,
    /// Routes by resource name.
    pub routes: BTreeMap<String, Route>,
    /// Embedding endpoints by resource name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub embeddings: BTreeMap<String, Embedding>,
    /// Budgets by resource name.
    pub budgets: BTreeMap<String, Budget>,
}

/// One compiled ModelRoute.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Route {
    /// Features a proxy must have to serve this route; one that lacks any serves 503 for it and Nacks it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requires: Vec<String>,
    /// Targets by name.
    pub targets: BTreeMap<String, Target>,
    /// First match wins.
    pub rules: Vec<Rule>,
    /// Parameters for requests that do not set them.
    pub defaults: Defaults,
    /// How often and how fast an attempt is repeated.
    pub retry: Retry,
    /// When a failing target is left alone.
    pub circuit_breaker: CircuitBreaker,
    /// Limits on waiting.
    pub timeouts: Timeouts,
    /// Names of the budgets that bind this route, sorted; every one must admit a request.
    pub budgets: Vec<String>,
    /// Who may call; absent: anyone who reaches a sidecar.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<Auth>,
    /// Rates that every request must fit into.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rate_limits: Vec<RateLimit>,
    /// What is put before every conversation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<Prompt>,
    /// How long answers are kept for the same request; absent: not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<Cache>,
}

/// Cache of exact repetitions, in each proxy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cache {
    /// Age of an answer at most, milliseconds.
    pub ttl_ms: u64,
    /// Answers are also shared between proxies; absent: each keeps its own. A proxy that cannot share keeps its own too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared: Option<SharedCache>,
}

/// Name of the Secret, in the route's namespace, that shared answers are encrypted under.
pub const CACHE_SECRET: &str = "tollway-cache";

/// The key inside it.
pub const CACHE_SECRET_KEY: &str = "key";

/// How answers that leave a proxy are encrypted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SharedCache {
    /// What the key is made from; absent: from the address and password of the shared store. Says which of the two it is, so that a
    /// Secret that is late by a moment never means the weaker key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<SecretKey>,
}

/// Text put before every conversation; at least one part is not empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Prompt {
    /// System sections, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub system: Vec<String>,
    /// A user's turn before the client's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
}

/// A limit on the rate of requests, of tokens or of both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RateLimit {
    /// Who shares one limit.
    pub per: Per,
    /// Requests in a window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<u32>,
    /// Input and output tokens in a window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u32>,
    /// The window, milliseconds.
    pub window_ms: u64,
    /// Where it is counted.
    pub scope: LimitScope,
}

/// Who shares one limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Per {
    /// Each user has one; requests without a user share one.
    User,
    /// Each client has one; where nobody is asked who they are, all share one.
    Client,
    /// The route has one.
    Route,
}

/// Where a rate is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LimitScope {
    /// Over all proxies of the namespace, in Redis or Valkey.
    Global,
    /// In each proxy by itself.
    Proxy,
}

/// One upstream of a route.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// Where and what it is.
    pub provider: Provider,
    /// Absent: unknown, and skipped wherever an enforcing budget binds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Price>,
    /// How input tokens are bounded before they are known.
    pub bounds: Bounds,
    /// Requests in flight at once from one proxy; further ones go on to the next target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_concurrent: Option<u32>,
}

/// What speaks at the other end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Provider {
    /// Bedrock Converse and ConverseStream.
    Bedrock(Bedrock),
    /// Any server that speaks OpenAI chat completions.
    OpenAi(OpenAi),
    /// Anthropic's Messages API.
    Anthropic(Anthropic),
    /// A SageMaker endpoint that chats.
    SageMaker(SageMakerChat),
    /// An agent on Bedrock AgentCore.
    AgentCore(AgentCore),
    /// A pretended model inside the proxy.
    Simulated(Simulated),
}

/// A Bedrock model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Bedrock {
    /// Model id, inference profile id or ARN.
    pub model_id: String,
    /// The model behind an ARN that does not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_model: Option<String>,
    /// Absent: the proxy's own default region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Role assumed for calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role_arn: Option<String>,
    /// Guardrail applied by Bedrock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guardrail: Option<Guardrail>,
}

impl Bedrock {
    /// The id whose price, bounds and habits hold.
    #[must_use]
    pub fn known_as(&self) -> &str {
        self.base_model.as_deref().unwrap_or(&self.model_id)
    }
}

/// A Bedrock guardrail.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Guardrail {
    /// Identifier or ARN.
    pub id: String,
    /// Version number or `DRAFT`.
    pub version: String,
}

/// An OpenAI-compatible server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OpenAi {
    /// Scheme, authority and path prefix without a trailing slash, like `http://ollama.team.svc:11434/v1`.
    pub base_url: String,
    /// Model name sent upstream; absent: the client's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Bearer token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key: Option<SecretKey>,
    /// Whether a loopback address may be dialled in a cluster.
    pub loopback: bool,
}

/// A model of Anthropic's Messages API.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Anthropic {
    /// Scheme, authority and path prefix without a trailing slash, like `https://api.anthropic.com`.
    pub base_url: String,
    /// Model name sent upstream.
    pub model: String,
    /// Key sent as `x-api-key`.
    pub api_key: SecretKey,
    /// Whether a loopback address may be dialled in a cluster.
    pub loopback: bool,
}

/// A SageMaker endpoint that chats.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SageMakerChat {
    /// Name of the endpoint.
    pub endpoint_name: String,
    /// Absent: the proxy's own default region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// What its container speaks.
    pub format: ChatFormat,
}

/// What a container that chats speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ChatFormat {
    /// OpenAI chat completions.
    OpenAi,
    /// Text Generation Inference, with one prompt made so.
    Tgi(Template),
}

/// How a conversation becomes one prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Template {
    /// Llama 2 and CodeLlama up to 34B.
    Llama2,
    /// Llama 3.
    Llama3,
    /// CodeLlama 70B.
    CodeLlama70b,
    /// Mistral and Mixtral.
    Mistral,
}

impl Template {
    /// What a name of a model or endpoint suggests.
    #[must_use]
    pub fn by_name(name: &str) -> Self {
        let name = name.to_ascii_lowercase();
        let known = [
            ("codellama-70b", Self::CodeLlama70b),
            ("code-llama-70b", Self::CodeLlama70b),
            ("llama-3", Self::Llama3),
            ("llama3", Self::Llama3),
            ("mistral", Self::Mistral),
            ("mixtral", Self::Mistral),
        ];
        known.iter().find(|(part, _)| name.contains(part)).map_or(Self::Llama2, |(_, template)| *template)
    }
}

/// An agent on Bedrock AgentCore.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentCore {
    /// ARN of the agent runtime.
    pub runtime_arn: String,
    /// Its region.
    pub region: String,
}

/// A pretended model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Simulated {
    /// What it answers.
    pub reply: String,
    /// Milliseconds until the first token.
    pub first_token_ms: u64,
    /// Pace of a stream; 0: at once.
    pub tokens_per_second: u32,
    /// Every n-th request fails with 503; 0: none.
    pub fail_every: u32,
}

/// One key of a Secret in the table's namespace; the value travels apart from the table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretKey {
    /// Name of the Secret.
    pub name: String,
    /// Key inside it.
    pub key: String,
}

/// How the tokens of a request are bounded before the call: the lesser of the context window and
/// bytes x `tokens_per_kilobyte` / 1000 + the constants; without a factor, the context window alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Bounds {
    /// Most input tokens the model reads.
    pub context_window: u64,
    /// Tokens in a thousand UTF-8 bytes at most (1000 for a byte-level tokenizer); absent: unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_per_kilobyte: Option<u32>,
    /// Added once a request.
    pub per_request: u32,
    /// Added for each message.
    pub per_message: u32,
    /// Added for each tool definition.
    pub per_tool: u32,
    /// Added for each image.
    pub per_image: u32,
}

/// One routing rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rule {
    /// The rule's name, or its position as text.
    pub name: String,
    /// Every condition must hold; none: always.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub when: Vec<Condition>,
    /// First choice, drawn by weight; weights sum to more than 0.
    pub split: Vec<Weighted>,
    /// Tried in order after the first choice.
    pub fallback: Vec<String>,
}

impl Route {
    /// Whether any rule asks for the class of a prompt.
    #[must_use]
    pub fn asks_for_class(&self) -> bool {
        self.rules.iter().flat_map(|rule| &rule.when).any(|condition| matches!(condition, Condition::Prompt(_)))
    }
}

impl Rule {
    /// Names of the targets a request of this rule may go to.
    pub fn targets(&self) -> impl Iterator<Item = &str> {
        let drawn = self.split.iter().filter(|w| w.weight > 0).map(|w| w.target.as_str());
        drawn.chain(self.fallback.iter().map(String::as_str))
    }
}

/// One condition of a rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Condition {
    /// A request header has exactly this value (name in lower case).
    Header {
        /// Header name, lower case.
        name: String,
        /// Exact value.
        value: String,
    },
    /// The request's user is one of these.
    User(Vec<String>),
    /// The client's last message is of this class.
    Prompt(PromptClass),
    /// Estimated input tokens (bytes / 4) lie in `min..=max`.
    InputTokens {
        /// At least.
        min: u64,
        /// At most.
        max: u64,
    },
}

/// Classes of prompts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum PromptClass {
    /// Source code is asked for or about.
    Code,
    /// Several steps of thought are needed.
    Reasoning,
    /// A short question with a short answer.
    Simple,
    /// Anything else.
    General,
}

/// A target and its share.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Weighted {
    /// Target name.
    pub target: String,
    /// Share relative to the other weights.
    pub weight: u32,
}

/// Parameters for requests that do not set them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Defaults {
    /// Sampling temperature.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// Nucleus sampling.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f64>,
    /// Top-k sampling, where the target has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_k: Option<u32>,
    /// Output bound; 4096 when neither the request nor this says one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
    /// Stop sequences.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stop: Vec<String>,
}

/// How attempts are repeated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Retry {
    /// Attempts in all, over all targets.
    pub attempts: u32,
    /// First back-off, milliseconds; doubled each time, full jitter.
    pub base_ms: u64,
    /// Largest back-off, milliseconds.
    pub max_ms: u64,
}

/// When a failing target is left alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CircuitBreaker {
    /// Consecutive failures that open the circuit.
    pub failures: u32,
    /// Milliseconds until one probe is let through.
    pub recovery_ms: u64,
}

/// Limits on waiting, milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Timeouts {
    /// TCP and TLS.
    pub connect_ms: u64,
    /// From sending the request to the first body byte (plain: to the complete head).
    pub first_token_ms: u64,
    /// Silence between two parts of a body.
    pub idle_ms: u64,
    /// The whole request, every attempt counted.
    pub total_ms: u64,
    /// How long a stream whose client left is read on for its usage; 0: cancelled at once.
    pub drain_on_disconnect_ms: u64,
}

/// Who may call a route.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Auth {
    /// One key a client; the Secret's keys are the client names.
    ApiKeys {
        /// Name of the Secret.
        secret: String,
        /// Whether `x-tollway-user` is believed.
        trust_user_header: bool,
    },
    /// Signed tokens of one issuer; the subject is the client.
    Jwt {
        /// Expected `iss`.
        issuer: String,
        /// Expected `aud`.
        audience: String,
        /// Where the issuer's keys are read.
        jwks_uri: String,
        /// Whether `x-tollway-user` is believed.
        trust_user_header: bool,
    },
}
