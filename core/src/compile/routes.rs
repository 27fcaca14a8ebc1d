//! A checked route and the facts in, its place in the table out: Secrets looked up, prices and bounds settled.

use super::Verdict;
use crate::{
    manifest::FieldError,
    snapshot::Facts,
    spend::{Price, catalog},
    table::{self, Auth, CACHE_SECRET, CACHE_SECRET_KEY, Cache, LimitScope, Prompt, Provider, SecretKey},
    validate::{Route, Target},
    wire,
};
use std::collections::BTreeMap;

/// The compiled route; a target whose Secret is missing stays, for the proxy skips it while the Secret is not at hand.
pub fn compile(route: &Route, facts: &Facts, verdict: &mut Verdict) -> table::Route {
    let Route {
        models: _,
        targets,
        rules,
        defaults,
        retry,
        circuit_breaker,
        timeouts,
        auth,
        rate_limits,
        system,
        cache,
    } = route;
    for target in targets {
        let key = match &target.provider {
            Provider::OpenAi(table::OpenAi { api_key, .. }) => api_key.as_ref().map(|key| (key, "openai")),
            Provider::Anthropic(table::Anthropic { api_key, .. }) => Some((api_key, "anthropic")),
            Provider::Bedrock(_) | Provider::SageMaker(_) | Provider::AgentCore(_) | Provider::Simulated(_) => None,
        };
        if let Some((secret, provider)) = key {
            let path = format!("spec.targets[{}].{provider}.apiKey.secretRef", target.at);
            verdict.unresolved.extend(missing(facts, &secret.name, Some(&secret.key), path));
        }
    }
    if let Some(Auth::ApiKeys { secret, .. }) = auth {
        verdict.unresolved.extend(missing(facts, secret, None, "spec.auth.apiKeys.secretRef".to_owned()));
    }
    let system = system.as_ref().and_then(|map| prompt(map, facts, verdict));
    let jwt = matches!(auth, Some(Auth::Jwt { .. })).then_some(wire::JWT);
    let global = rate_limits.iter().any(|limit| limit.scope == LimitScope::Global).then_some(wire::GLOBAL_LIMITS);
    let limited = (!rate_limits.is_empty()).then_some(wire::RATE_LIMITS);
    let targets: BTreeMap<_, _> = targets.iter().map(|t| (t.name.clone(), compiled(t, facts))).collect();
    let full = |price: &Price| price.long.is_some() || !price.per_image.is_zero();
    let full_prices = targets.values().any(|target| target.price.as_ref().is_some_and(full));
    let full_prices = full_prices.then_some(wire::FULL_PRICES);
    let requires = [limited, global, system.as_ref().map(|_| wire::SYSTEM), jwt, full_prices];
    table::Route {
        requires: requires.into_iter().flatten().map(str::to_owned).collect(),
        targets,
        rules: rules.clone(),
        defaults: defaults.clone(),
        retry: retry.clone(),
        circuit_breaker: circuit_breaker.clone(),
        timeouts: timeouts.clone(),
        budgets: Vec::new(),
        auth: auth.clone(),
        rate_limits: rate_limits.clone(),
        system,
        cache: cache.clone().map(|cache| keyed(cache, facts, verdict)),
    }
}

/// The cache with the key that what it shares is encrypted under.
pub fn keyed(mut cache: Cache, facts: &Facts, verdict: &mut Verdict) -> Cache {
    if let Some(shared) = cache.shared.as_mut().filter(|_| facts.secrets.contains_key(CACHE_SECRET)) {
        let path = "spec.cache.scope".to_owned();
        verdict.unresolved.extend(missing(facts, CACHE_SECRET, Some(CACHE_SECRET_KEY), path));
        shared.key = Some(SecretKey { name: CACHE_SECRET.to_owned(), key: CACHE_SECRET_KEY.to_owned() });
    }
    cache
}

/// The bundle in a ConfigMap: `system` first, then every other key in order but `user`, which is a turn of its own. Blank ones say nothing.
fn prompt(map: &str, facts: &Facts, verdict: &mut Verdict) -> Option<Prompt> {
    let path = "spec.system.configMapRef";
    let content = facts.config_maps.get(map);
    let gone = match content {
        None => Some("requests go without its sections"),
        Some(_) if facts.stale_config_maps.contains(map) => Some("its last content stays in force"),
        Some(_) => None,
    };
    if let Some(consequence) = gone {
        let message = format!("ConfigMap {map} does not exist, {consequence}: create it");
        verdict.unresolved.push(FieldError::new(path, message));
    }
    let content = content?;
    let said = |key: &str| content.get(key).map(|text| text.trim()).filter(|text| !text.is_empty()).map(str::to_owned);
    let others = content.keys().filter(|key| !["system", "user"].contains(&key.as_str()));
    let system: Vec<String> = said("system").into_iter().chain(others.filter_map(|key| said(key))).collect();
    let prompt = Prompt { system, user: said("user") };
    if prompt == Prompt::default() && gone.is_none() {
        verdict
            .unresolved
            .push(FieldError::new(path, format!("ConfigMap {map} has no text: add the key system or user")));
    }
    (prompt != Prompt::default()).then_some(prompt)
}

/// The model that a target's price goes by.
pub fn priced_as<'a>(name: &'a str, provider: &'a Provider) -> &'a str {
    match provider {
        Provider::Bedrock(bedrock) => bedrock.known_as(),
        Provider::OpenAi(openai) => openai.model.as_deref().unwrap_or(name),
        Provider::Anthropic(anthropic) => &anthropic.model,
        Provider::SageMaker(sagemaker) => &sagemaker.endpoint_name,
        Provider::AgentCore(agent) => &agent.runtime_arn,
        Provider::Simulated(_) => name,
    }
}

/// A target with its price and bounds settled.
pub fn compiled(target: &Target, facts: &Facts) -> table::Target {
    // The catalog knows Bedrock's model ids; a server that calls its model the same is another seller.
    let known = match &target.provider {
        Provider::Bedrock(bedrock) => facts.catalog.lookup_in(bedrock.known_as(), bedrock.region.as_deref()),
        Provider::OpenAi(_)
        | Provider::Anthropic(_)
        | Provider::SageMaker(_)
        | Provider::AgentCore(_)
        | Provider::Simulated(_) => None,
    };
    // An endpoint's hours are paid whether it is asked or not.
    let free = matches!(target.provider, Provider::Simulated(_) | Provider::SageMaker(_)).then(Price::default);
    let price = match (&target.price, &known) {
        (Some(stated), Some(model)) => Some(stated.raise(&model.price)),
        (Some(stated), None) => Some(stated.alone()),
        (None, Some(model)) => Some(model.price),
        (None, None) => free,
    };
    table::Target {
        provider: target.provider.clone(),
        price,
        bounds: known.map_or(catalog::UNKNOWN, |model| model.bounds),
        max_concurrent: target.max_concurrent,
    }
}

/// A reference to a Secret that is not there, or not with that key.
pub fn missing(facts: &Facts, secret: &str, key: Option<&str>, path: String) -> Option<FieldError> {
    match (facts.secrets.get(secret), key) {
        (None, _) => Some(FieldError::new(path, format!("Secret {secret} does not exist: create it"))),
        (Some(keys), Some(key)) if !keys.contains(key) => {
            Some(FieldError::new(path, format!("Secret {secret} has no key {key}: add it, or name another key")))
        }
        _ => None,
    }
}
