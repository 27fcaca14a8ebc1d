//! A ModelRouteSpec in, a route whose parts are checked and whose defaults are filled out; references and prices are left to `compile`.

use super::{
    Context, Errors,
    duration::{HOUR, MINUTE, SECOND},
    provider,
};
use crate::{
    spend::PricePart,
    table::{
        Auth, Cache, CircuitBreaker, Condition, Defaults, LimitScope, Per, PromptClass, Provider, RateLimit, Retry,
        Rule, SharedCache, Timeouts, Weighted,
    },
};
use std::collections::BTreeSet;
use tollway_crds::{ModelRouteSpec, model_route as spec};

/// A checked ModelRoute.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// Model names it asks for.
    pub models: Vec<String>,
    /// Targets that are served, in the order of the spec.
    pub targets: Vec<Target>,
    /// Rules that are served; each has a split.
    pub rules: Vec<Rule>,
    /// Parameters for requests that do not set them.
    pub defaults: Defaults,
    /// How attempts are repeated.
    pub retry: Retry,
    /// When a failing target is left alone.
    pub circuit_breaker: CircuitBreaker,
    /// Limits on waiting.
    pub timeouts: Timeouts,
    /// Who may call.
    pub auth: Option<Auth>,
    /// Rates that every request must fit into.
    pub rate_limits: Vec<RateLimit>,
    /// ConfigMap with what is put before every conversation.
    pub system: Option<String>,
    /// How long answers are kept.
    pub cache: Option<Cache>,
}

/// A checked target.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// Its name.
    pub name: String,
    /// Its place in the spec.
    pub at: usize,
    /// Where and what it is.
    pub provider: Provider,
    /// What the spec says of its price.
    pub price: Option<PricePart>,
    /// Requests in flight at once.
    pub max_concurrent: Option<u32>,
}

/// Checks a spec; what is returned means nothing when an error was found.
pub fn check(spec: &ModelRouteSpec, context: Context<'_>, errors: &mut Errors) -> Route {
    let ModelRouteSpec {
        models,
        targets,
        rules,
        defaults,
        retry,
        circuit_breaker,
        timeouts,
        rate_limits,
        cache,
        system,
        auth,
    } = spec;
    let targets = targets_of(targets, context, errors);
    let served: BTreeSet<&str> = targets.iter().map(|t| t.name.as_str()).collect();
    let rules = rules_of(spec, rules, &served, errors);
    Route {
        models: models.iter().map(|m| m.0.clone()).collect(),
        defaults: defaults.as_ref().map(parameters).unwrap_or_default(),
        retry: repeats(retry.clone().unwrap_or_default(), targets.len(), errors),
        circuit_breaker: circuit(circuit_breaker.clone().unwrap_or_default(), errors),
        timeouts: waits(timeouts.clone().unwrap_or_default(), errors),
        auth: auth.as_ref().and_then(|a| callers(a, errors)),
        rate_limits: limits(rate_limits, errors),
        system: system.as_ref().map(|system| system.config_map_ref.name.0.clone()),
        cache: cache.as_ref().map(|cache| cached(cache, errors)),
        targets,
        rules,
    }
}

fn targets_of(targets: &[spec::Target], context: Context<'_>, errors: &mut Errors) -> Vec<Target> {
    let check = |(at, target): (usize, &spec::Target)| {
        let path = format!("spec.targets[{at}]");
        let provider = provider::check(target, &path, context, errors);
        let price = target.price.as_ref().map(|price| errors.price(price, &format!("{path}.price")));
        let (name, max_concurrent) = (target.name.0.clone(), target.max_concurrent);
        Some(Target { name, at, provider: provider?, price, max_concurrent })
    };
    targets.iter().enumerate().filter_map(check).collect()
}

fn rules_of(spec: &ModelRouteSpec, rules: &[spec::Rule], served: &BTreeSet<&str>, errors: &mut Errors) -> Vec<Rule> {
    let known: BTreeSet<&str> = spec.targets.iter().map(|t| t.name.as_str()).collect();
    let mut names = BTreeSet::new();
    let mut checked = Vec::new();
    for (at, rule) in rules.iter().enumerate() {
        let path = format!("spec.rules[{at}]");
        let spec::Rule { name, when, split, fallback } = rule;
        if let Some(name) = name
            && !names.insert(name.as_str())
        {
            errors.wrong(format!("{path}.name"), format!("{name} is there twice: give each rule its own name"));
        }
        let unknown = |target: &str| format!("{target:?} is not in spec.targets: use one of {}", join(&known));
        for (s, weighted) in split.iter().enumerate().filter(|(_, w)| !known.contains(w.target.as_str())) {
            errors.wrong(format!("{path}.split[{s}].target"), unknown(weighted.target.as_str()));
        }
        if split.iter().all(|w| w.weight == 0) {
            errors.wrong(format!("{path}.split"), "has no weight above 0: give at least one");
        }
        for (f, target) in fallback.iter().enumerate() {
            if !known.contains(target.as_str()) {
                errors.wrong(format!("{path}.fallback[{f}]"), unknown(target.as_str()));
            } else if fallback[..f].contains(target) {
                errors
                    .wrong(format!("{path}.fallback[{f}]"), format!("{target} is there twice: give each target once"));
            }
        }
        let when = when.as_ref().map(|w| conditions(w, &format!("{path}.when"), errors)).unwrap_or_default();
        let name = name.as_ref().map_or_else(|| at.to_string(), |n| n.0.clone());
        checked.extend(served_rule(Rule { name, when, split: weights(split), fallback: plain(fallback) }, served));
    }
    checked
}

/// The rule without targets that are not served; when that leaves no first choice, its first fallback is one.
fn served_rule(mut rule: Rule, served: &BTreeSet<&str>) -> Option<Rule> {
    rule.split.retain(|w| served.contains(w.target.as_str()));
    rule.fallback.retain(|target| served.contains(target.as_str()));
    if rule.split.iter().all(|w| w.weight == 0) {
        let first = (!rule.fallback.is_empty()).then(|| rule.fallback.remove(0))?;
        rule.split = vec![Weighted { target: first, weight: 1 }];
    }
    Some(rule)
}

fn conditions(when: &spec::When, path: &str, errors: &mut Errors) -> Vec<Condition> {
    let spec::When { prompt, headers, user, input_tokens } = when;
    if prompt.is_none() && headers.is_empty() && user.is_empty() && input_tokens.is_none() {
        errors.wrong(
            path,
            "has no condition: give prompt, headers, user or inputTokens, or leave when out to match everything",
        );
    }
    let mut conditions = Vec::new();
    if let Some(spec::PromptMatch { class }) = prompt {
        conditions.push(Condition::Prompt(match class {
            spec::PromptClass::Code => PromptClass::Code,
            spec::PromptClass::Reasoning => PromptClass::Reasoning,
            spec::PromptClass::Simple => PromptClass::Simple,
            spec::PromptClass::General => PromptClass::General,
        }));
    }
    for spec::HeaderMatch { name, value } in headers {
        conditions.push(Condition::Header { name: name.to_ascii_lowercase(), value: value.clone() });
    }
    if !user.is_empty() {
        conditions.push(Condition::User(user.clone()));
    }
    if let Some(spec::InputTokens { min, max }) = input_tokens {
        let path = format!("{path}.inputTokens");
        match (min, max) {
            (None, None) => errors.wrong(path, "has no end: give min, max or both"),
            (Some(min), Some(max)) if min > max => {
                errors.wrong(path, format!("min {min} is above max {max}: swap them"))
            }
            _ => {}
        }
        conditions.push(Condition::InputTokens { min: min.unwrap_or(0).into(), max: max.map_or(u64::MAX, u64::from) });
    }
    conditions
}

fn parameters(spec: &spec::Defaults) -> Defaults {
    let spec::Defaults { temperature, top_p, top_k, max_tokens, stop } = spec;
    Defaults { temperature: *temperature, top_p: *top_p, top_k: *top_k, max_tokens: *max_tokens, stop: stop.clone() }
}

/// How attempts are repeated on so many targets.
pub fn repeats(spec: spec::Retry, targets: usize, errors: &mut Errors) -> Retry {
    let spec::Backoff { base, max } = spec.backoff.unwrap_or_default();
    let base_ms = errors.duration(&base, "spec.retry.backoff.base", SECOND, 1..=MINUTE);
    let max_ms = errors.duration(&max, "spec.retry.backoff.max", 60 * SECOND, 1..=10 * MINUTE);
    if base_ms > max_ms {
        errors.wrong("spec.retry.backoff.max", "is below base: raise it, or lower base");
    }
    let attempts = spec.attempts.unwrap_or_else(|| u32::try_from(targets).unwrap_or(u32::MAX).max(3));
    Retry { attempts, base_ms, max_ms }
}

/// When a failing target is left alone.
pub fn circuit(spec: spec::CircuitBreaker, errors: &mut Errors) -> CircuitBreaker {
    let recovery_ms = errors.duration(&spec.recovery, "spec.circuitBreaker.recovery", 300 * SECOND, 1..=24 * HOUR);
    CircuitBreaker { failures: spec.failures.unwrap_or(5), recovery_ms }
}

/// Limits on waiting.
pub fn waits(spec: spec::Timeouts, errors: &mut Errors) -> Timeouts {
    let spec::Timeouts { connect, first_token, idle, total, drain_on_disconnect } = spec;
    Timeouts {
        connect_ms: errors.duration(&connect, "spec.timeouts.connect", 2 * SECOND, 1..=HOUR),
        first_token_ms: errors.duration(&first_token, "spec.timeouts.firstToken", 30 * SECOND, 1..=HOUR),
        idle_ms: errors.duration(&idle, "spec.timeouts.idle", 300 * SECOND, 1..=HOUR),
        total_ms: errors.duration(&total, "spec.timeouts.total", 600 * SECOND, 1..=24 * HOUR),
        drain_on_disconnect_ms: errors.duration(&drain_on_disconnect, "spec.timeouts.drainOnDisconnect", 0, 0..=HOUR),
    }
}

fn limits(limits: &[spec::RateLimit], errors: &mut Errors) -> Vec<RateLimit> {
    let check = |(at, limit): (usize, &spec::RateLimit)| {
        let spec::RateLimit { per, requests, tokens, window, scope } = limit;
        let path = format!("spec.rateLimits[{at}]");
        if requests.is_none() && tokens.is_none() {
            errors.wrong(&path, "limits nothing: give requests, tokens or both");
        }
        let window_ms = errors.duration(window, &format!("{path}.window"), MINUTE, SECOND..=24 * HOUR);
        let per = match per {
            spec::Per::User => Per::User,
            spec::Per::Client => Per::Client,
            spec::Per::Route => Per::Route,
        };
        let scope = match scope {
            Some(spec::LimitScope::Global) => LimitScope::Global,
            Some(spec::LimitScope::Proxy) | None => LimitScope::Proxy,
        };
        RateLimit { per, requests: *requests, tokens: *tokens, window_ms, scope }
    };
    limits.iter().enumerate().map(check).collect()
}

/// How long something is kept, and whether other proxies may have it.
pub fn cached(cache: &spec::Cache, errors: &mut Errors) -> Cache {
    let spec::Cache { ttl, scope } = cache;
    let ttl_ms = errors.duration(&Some(ttl.clone()), "spec.cache.ttl", MINUTE, SECOND..=24 * HOUR);
    // Whether its Secret exists is not for the spec to say.
    let shared = (*scope == Some(spec::CacheScope::Shared)).then_some(SharedCache { key: None });
    Cache { ttl_ms, shared }
}

fn callers(auth: &spec::Auth, errors: &mut Errors) -> Option<Auth> {
    let spec::Auth { jwt, api_keys, trust_user_header } = auth;
    errors.exactly_one("spec.auth", &[("jwt", jwt.is_some()), ("apiKeys", api_keys.is_some())]);
    let trust_user_header = trust_user_header.unwrap_or_default();
    if let Some(spec::Jwt { issuer, audience, jwks_uri }) = jwt {
        let (issuer, audience, jwks_uri) = (issuer.clone(), audience.clone(), jwks_uri.clone());
        return Some(Auth::Jwt { issuer, audience, jwks_uri, trust_user_header });
    }
    api_keys.as_ref().map(|keys| Auth::ApiKeys { secret: keys.secret_ref.name.0.clone(), trust_user_header })
}

fn weights(split: &[spec::Weighted]) -> Vec<Weighted> {
    split.iter().map(|w| Weighted { target: w.target.0.clone(), weight: w.weight }).collect()
}

fn plain(names: &[tollway_crds::scalar::Name]) -> Vec<String> {
    names.iter().map(|name| name.0.clone()).collect()
}

fn join(names: &BTreeSet<&str>) -> String {
    names.iter().copied().collect::<Vec<_>>().join(", ")
}
