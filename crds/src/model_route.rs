//! ModelRoute: model names in, targets behind them, and the rules and policies between.

mod policy;
mod rule;
mod status;
mod target;

pub use policy::{
    ApiKeys, Auth, Backoff, Cache, CacheScope, CircuitBreaker, Defaults, Jwt, LimitScope, Per, RateLimit, Retry,
    System, Timeouts,
};
pub use rule::{HeaderMatch, InputTokens, PromptClass, PromptMatch, Rule, Weighted, When};
pub use status::{LastAccepted, ModelRouteStatus, ProxiesStatus, TargetStatus};
pub use target::{
    AgentCore, Anthropic, Bedrock, Guardrail, OpenAi, PromptTemplate, SageMakerChat, SageMakerFormat, ServiceRef,
    Simulated, Target,
};

use crate::scalar::ModelName;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

/// Routes the requests for some model names to targets.
///
/// Conditions: `Accepted` (the spec is valid and all of it that concerns authentication, limits or money is acted on),
/// `ResolvedRefs` (Secrets and ConfigMaps exist), `Programmed` (every connected proxy serves this generation),
/// `Supported` (False names fields that are not acted on), `Healthy` (a target of every rule answers),
/// `WithinBudget` (no enforcing budget refuses), `Ready` (Accepted and ResolvedRefs and not Programmed=False).
/// While a spec is not accepted, the last accepted one stays in force.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "tollway.dev",
    version = "v1alpha1",
    kind = "ModelRoute",
    plural = "modelroutes",
    shortname = "mr",
    category = "tollway",
    namespaced,
    status = "ModelRouteStatus",
    derive = "PartialEq",
    doc = "Routes the requests for some model names to targets.",
    validation = Rule::new("self.metadata.name.size() <= 63").message("the name must have at most 63 characters: proxies use it as a label"),
    printcolumn(name = "Models", type_ = "string", json_path = ".spec.models"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Proxies", type_ = "string", json_path = ".status.proxies.summary"),
    printcolumn(name = "Healthy", type_ = "string", json_path = ".status.conditions[?(@.type==\"Healthy\")].status"),
    printcolumn(name = "Requests", type_ = "integer", json_path = ".status.requests"),
    printcolumn(name = "Cost", type_ = "string", json_path = ".status.costUsd"),
    printcolumn(
        name = "Budget",
        type_ = "string",
        priority = 1,
        json_path = ".status.conditions[?(@.type==\"WithinBudget\")].status"
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        priority = 1,
        json_path = ".status.conditions[?(@.type==\"Ready\")].message"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.rules.all(r, r.split.all(s, self.targets.exists(t, t.name == s.target)))").message("a split names a target that is not in spec.targets").field_path(".rules"),
    validation = Rule::new("self.rules.all(r, !has(r.fallback) || r.fallback.all(f, self.targets.exists(t, t.name == f)))").message("a fallback names a target that is not in spec.targets").field_path(".rules")
)]
pub struct ModelRouteSpec {
    /// Names clients send as `model`, matched literally; `*` is whatever nothing else in the namespace claims.
    /// A name claimed twice in the namespace, EmbeddingEndpoints included, stays with the older resource (in a folder: the
    /// lesser name); only that name is lost here: `Accepted` has reason Conflicted, and is False when no name is left.
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub models: Vec<ModelName>,
    /// Upstreams by name; each has exactly one provider.
    #[schemars(length(min = 1, max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub targets: Vec<Target>,
    /// First match wins; a rule without `when` matches everything. A request that no rule matches is answered 404.
    #[schemars(length(min = 1, max = 32))]
    #[x_kube(
        validation = Rule::new("self.all(r, !has(r.name) || self.filter(s, has(s.name) && s.name == r.name).size() == 1)").message("two rules have the same name"),
        merge_strategy = ListMerge::Atomic
    )]
    pub rules: Vec<rule::Rule>,
    /// Parameters for requests that do not set them. Default: none set, and 4096 output tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub defaults: Option<Defaults>,
    /// How often and how fast failed attempts are repeated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// When a failing target is left alone, in each proxy by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub circuit_breaker: Option<CircuitBreaker>,
    /// Limits on waiting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeouts: Option<Timeouts>,
    /// Limits on the rate of requests and tokens; every one must admit a request.
    #[schemars(length(max = 16))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rate_limits: Vec<RateLimit>,
    /// Cache of exact repetitions. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<Cache>,
    /// Prompt sections put before the client's own. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<System>,
    /// Who may call. Absent: anyone who reaches a sidecar; a gateway answers 404 for this route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<Auth>,
}
