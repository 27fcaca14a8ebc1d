//! A checked route and the facts in, its place in the table out: Secrets looked up, prices and bounds settled.

use super::Verdict;
use crate::{
    manifest::FieldError,
    snapshot::Facts,
    spend::{Price, catalog},
    table::{self, Auth, Provider},
    validate::{Route, Target},
    wire,
};

/// The compiled route; a target whose Secret is missing stays, for the proxy skips it while the Secret is not at hand.
pub fn compile(route: &Route, facts: &Facts, verdict: &mut Verdict) -> table::Route {
    let Route { models: _, targets, rules, defaults, retry, circuit_breaker, timeouts, auth, rate_limits } = route;
    for target in targets {
        if let Provider::OpenAi(table::OpenAi { api_key: Some(secret), .. }) = &target.provider {
            let path = format!("spec.targets[{}].openai.apiKey.secretRef", target.at);
            verdict.unresolved.extend(missing(facts, &secret.name, Some(&secret.key), path));
        }
    }
    if let Some(Auth::ApiKeys { secret, .. }) = auth {
        verdict.unresolved.extend(missing(facts, secret, None, "spec.auth.apiKeys.secretRef".to_owned()));
    }
    table::Route {
        requires: (!rate_limits.is_empty()).then(|| wire::RATE_LIMITS.to_owned()).into_iter().collect(),
        targets: targets.iter().map(|t| (t.name.clone(), compiled(t, facts))).collect(),
        rules: rules.clone(),
        defaults: defaults.clone(),
        retry: retry.clone(),
        circuit_breaker: circuit_breaker.clone(),
        timeouts: timeouts.clone(),
        budgets: Vec::new(),
        auth: auth.clone(),
        rate_limits: rate_limits.clone(),
    }
}

/// The model that a target's price goes by.
pub fn priced_as<'a>(name: &'a str, provider: &'a Provider) -> &'a str {
    match provider {
        Provider::Bedrock(bedrock) => &bedrock.model_id,
        Provider::OpenAi(openai) => openai.model.as_deref().unwrap_or(name),
        Provider::Simulated(_) => name,
    }
}

fn compiled(target: &Target, facts: &Facts) -> table::Target {
    // The catalog knows Bedrock's model ids; a server that calls its model the same is another seller.
    let known = match &target.provider {
        Provider::Bedrock(bedrock) => facts.catalog.lookup(&bedrock.model_id),
        Provider::OpenAi(_) | Provider::Simulated(_) => None,
    };
    let free = matches!(target.provider, Provider::Simulated(_)).then(Price::default);
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

fn missing(facts: &Facts, secret: &str, key: Option<&str>, path: String) -> Option<FieldError> {
    match (facts.secrets.get(secret), key) {
        (None, _) => Some(FieldError::new(path, format!("Secret {secret} does not exist: create it"))),
        (Some(keys), Some(key)) if !keys.contains(key) => {
            Some(FieldError::new(path, format!("Secret {secret} has no key {key}: add it, or name another key")))
        }
        _ => None,
    }
}
