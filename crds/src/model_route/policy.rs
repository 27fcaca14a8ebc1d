//! Policies of a route: parameters, repetition, waiting, limits, who may call.

use crate::{reference::ObjectRef, scalar::Duration};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Parameters for requests that do not set them; what the request says wins.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Defaults {
    /// Sampling temperature, 0 to 2. Default: the provider's.
    #[schemars(range(min = 0.0, max = 2.0))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// Nucleus sampling, 0 to 1. Default: the provider's.
    #[schemars(range(min = 0.0, max = 1.0))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f64>,
    /// Top-k sampling, where the target has it; other targets go without. Default: the provider's.
    #[schemars(range(min = 1, max = 100_000))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_k: Option<u32>,
    /// Output tokens at most; also the bound a budget reserves for. Default 4096.
    #[schemars(range(min = 1, max = 1_000_000))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
    /// Stop sequences. Default: none.
    #[schemars(length(max = 16), inner(length(min = 1, max = 256)))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stop: Vec<String>,
}

/// How attempts are repeated.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Retry {
    /// Attempts in all, over all targets. Default: the larger of 3 and the number of targets.
    #[schemars(range(min = 1, max = 100))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
    /// Waiting before a target is tried again; going on to the next target does not wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backoff: Option<Backoff>,
}

/// Waiting between repeats: doubled each time, full jitter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Backoff {
    /// First wait at most, 1ms to 1m. Default `1s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<Duration>,
    /// Any wait at most, not below `base`, up to 10m. Default `60s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<Duration>,
}

/// When a failing target is left alone. A 429 is back-off, not failure.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CircuitBreaker {
    /// Consecutive failures that open the circuit. Default 5.
    #[schemars(range(min = 1, max = 1000))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failures: Option<u32>,
    /// Time until one probe at a time is let through, 1ms to 24h. Default `300s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery: Option<Duration>,
}

/// Limits on waiting.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Timeouts {
    /// TCP and TLS, 1ms to 1h. Default `2s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect: Option<Duration>,
    /// From sending the request to the first byte of the answer, 1ms to 1h. Default `30s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_token: Option<Duration>,
    /// Silence between two parts of an answer, 1ms to 1h. Default `300s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle: Option<Duration>,
    /// The whole request, every attempt counted, 1ms to 24h. Default `600s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<Duration>,
    /// How long a stream whose client left is read on for its usage, so that it is charged what it used and not in full;
    /// `0s` cancels at once. At most 1h. Default `0s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain_on_disconnect: Option<Duration>,
}

/// A limit on the rate of requests, of tokens or of both.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.requests) || has(self.tokens)").message("a rate limit needs requests, tokens or both"))]
pub struct RateLimit {
    /// Who shares one limit.
    pub per: Per,
    /// Requests in a window. Default: no limit.
    #[schemars(range(min = 1, max = 1_000_000_000))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<u32>,
    /// Input and output tokens in a window. Default: no limit.
    #[schemars(range(min = 1, max = 1_000_000_000))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u32>,
    /// Length of the sliding window, 1s to 24h. Default `1m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Duration>,
    /// Where it is counted. Default Proxy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<LimitScope>,
}

/// Who shares one limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Per {
    /// Each user has one.
    User,
    /// Each client (key or token subject) has one.
    Client,
    /// The route has one.
    Route,
}

/// Where a rate is counted. Default Proxy: in each proxy by itself. Global: over all proxies of the namespace, in the Redis or Valkey that
/// they were given with `--redis-url`. While that cannot be reached, each proxy admits its share by itself: the limit divided by the
/// number of proxies that shared it last, at least 1; a proxy that never reached it does not know that number and admits the whole
/// limit. A request for more tokens than the share waits for a full share and owes the rest. So when Redis goes, at most the limit is
/// admitted once more; one that comes back empty begins anew. Where no address was given each proxy admits the whole limit, and says
/// so. `tollway_redis_limit_fallbacks_total` counts the requests that a proxy admitted or refused by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum LimitScope {
    /// Over all proxies of the namespace, in Redis or Valkey.
    Global,
    /// In each proxy by itself.
    Proxy,
}

/// Cache of exact repetitions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Cache {
    /// Age at most of an answer, 1s to 24h.
    pub ttl: Duration,
    /// Where answers are kept. Default Memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<CacheScope>,
}

/// Where cached answers are kept. Default Memory: in each proxy. Shared: there, and then in the Redis or Valkey given with `--redis-url`, for
/// all proxies of the namespace; without it as Memory. Answers are encrypted there (AES-256-GCM) under the Secret `tollway-cache` of
/// the namespace, whose key `key` holds 32 bytes, raw or in base64; without that Secret, under a key made from the address and
/// password of Redis, which is as secret as these are. With a Secret that has no such key nothing is shared, and one without `key`
/// is also `ResolvedRefs=False`. Whatever goes wrong there is a miss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum CacheScope {
    /// In each proxy.
    Memory,
    /// In each proxy, then in Redis or Valkey.
    Shared,
}

/// Prompt sections put before the client's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct System {
    /// The ConfigMap that holds them. Missing: its last good content stays in force and `ResolvedRefs=False`.
    pub config_map_ref: ObjectRef,
}

/// Who may call a route: exactly one of `jwt` and `apiKeys`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.jwt) != has(self.apiKeys)").message("give exactly one of jwt and apiKeys"))]
pub struct Auth {
    /// Bearer tokens of an issuer; the subject is the client. RS256 and ES256; 60 s of clock skew are forgiven. While the keys of
    /// the issuer could never be read, the route answers 503; later the last good ones stay in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwt: Option<Jwt>,
    /// Keys kept in a Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_keys: Option<ApiKeys>,
    /// Whether `x-tollway-user` is believed. Default false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust_user_header: Option<bool>,
}

/// Tokens of one issuer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Jwt {
    /// Expected `iss`.
    #[schemars(length(min = 1, max = 1024))]
    pub issuer: String,
    /// Expected `aud`.
    #[schemars(length(min = 1, max = 1024))]
    pub audience: String,
    /// Where the issuer's keys are read, over HTTPS.
    #[schemars(length(min = 1, max = 1024), regex(pattern = "^https://[^\\s?#@]+$"))]
    pub jwks_uri: String,
}

/// Keys kept in a Secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApiKeys {
    /// One entry a client: its name is the client's name, its value the key. Missing: `ResolvedRefs=False/SecretNotFound`, and
    /// the route answers 503.
    pub secret_ref: ObjectRef,
}
