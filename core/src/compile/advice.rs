//! A checked spec and the facts around it in, what is legal and yet unwise in it out: said at admission, never a reason to refuse.

use super::routes;
use crate::{
    manifest::FieldError,
    snapshot::Facts,
    table::{Embedder, Provider, Rule, SageMaker},
    validate::{Budget, Checked, Embedding, Route, Target},
};
use std::net::IpAddr;

/// What the author should think over, with what to do.
#[must_use]
pub fn advice(checked: &Checked, facts: &Facts) -> Vec<FieldError> {
    let mut advice = Vec::new();
    match checked {
        Checked::Route(route) => of_route(route, facts, &mut advice),
        Checked::Budget(budget) => of_budget(budget, &mut advice),
        Checked::Embedding(endpoint) => of_endpoint(endpoint, &mut advice),
    }
    advice
}

fn of_route(route: &Route, facts: &Facts, advice: &mut Vec<FieldError>) {
    for target in &route.targets {
        of_target(target, route, facts, advice);
    }
    // The first rule without conditions takes every request that comes to it.
    if let Some(last) = route.rules.iter().position(|rule| rule.when.is_empty()) {
        for (at, _) in route.rules.iter().enumerate().skip(last + 1) {
            let why = format!("is never reached: rule {last} before it matches everything; put it first");
            advice.push(FieldError::new(format!("spec.rules[{at}]"), why));
        }
    } else {
        advice.push(FieldError::new(
            "spec.rules",
            "leave requests over, which get 404: end with a rule without `when`, or mean it",
        ));
    }
    let attempts = usize::try_from(route.retry.attempts).unwrap_or(usize::MAX);
    for (at, rule) in route.rules.iter().enumerate().filter(|(_, rule)| rule.fallback.len() >= attempts) {
        let why = format!(
            "{} is never tried: spec.retry.attempts is {attempts}, the first one included; raise it",
            rule.fallback[attempts.saturating_sub(1)..].join(", ")
        );
        advice.push(FieldError::new(format!("spec.rules[{at}].fallback"), why));
    }
    let waits = &route.timeouts;
    for (name, ms) in [("connect", waits.connect_ms), ("firstToken", waits.first_token_ms)] {
        if ms > waits.total_ms {
            let why = format!("is above total ({} s), which ends the request first", waits.total_ms / 1000);
            advice.push(FieldError::new(format!("spec.timeouts.{name}"), why));
        }
    }
}

fn of_target(target: &Target, route: &Route, facts: &Facts, advice: &mut Vec<FieldError>) {
    let path = format!("spec.targets[{}]", target.at);
    if !route.rules.iter().any(|rule: &Rule| rule.targets().any(|name| name == target.name)) {
        advice.push(FieldError::new(&path, format!("{} is in no rule: nothing is sent there", target.name)));
    }
    if routes::compiled(target, facts).price.is_none() {
        let model = routes::priced_as(&target.name, &target.provider);
        let why = format!(
            "{model} has no known price, so under an enforcing budget {} is skipped: state it, \"0\" if it is free",
            target.name
        );
        advice.push(FieldError::new(format!("{path}.price"), why));
    }
    let sent = match &target.provider {
        Provider::OpenAi(openai) => openai.api_key.as_ref().map(|_| ("openai", &openai.base_url)),
        Provider::Anthropic(anthropic) => Some(("anthropic", &anthropic.base_url)),
        Provider::Bedrock(_) | Provider::SageMaker(_) | Provider::AgentCore(_) | Provider::Simulated(_) => None,
    };
    if let Some((provider, url)) = sent.filter(|(_, url)| is_in_the_clear(url)) {
        let why = format!("sends the API key in the clear to {url}: use https");
        advice.push(FieldError::new(format!("{path}.{provider}.baseUrl"), why));
    }
}

/// Plain HTTP to a host that is not of the cluster.
fn is_in_the_clear(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("http://") else { return false };
    let authority = rest.split('/').next().unwrap_or_default();
    let host = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, _)) => host,
        None => authority.split(':').next().unwrap_or_default(),
    };
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) => !(ip.is_loopback() || ip.is_private()),
        Ok(IpAddr::V6(ip)) => !(ip.is_loopback() || ip.is_unique_local()),
        // A Service is a name without dots, `name.namespace`, or ends so.
        Err(_) => host.contains('.') && ![".svc", ".local", ".internal"].iter().any(|end| host.ends_with(end)),
    }
}

fn of_endpoint(endpoint: &Embedding, advice: &mut Vec<FieldError>) {
    let Embedding { min_instances, table, .. } = endpoint;
    let embedder = table.sources.first().map(|source| &source.embedder);
    let has_component = matches!(embedder, Some(Embedder::SageMaker(SageMaker { inference_component: Some(_), .. })));
    if *min_instances == Some(0) && !has_component {
        let why = "is 0, which AWS grants to inference components and asynchronous endpoints only: name spec.sagemaker.inferenceComponent, or give 1";
        advice.push(FieldError::new("spec.autoscaling.minInstances", why));
    }
}

fn of_budget(budget: &Budget, advice: &mut Vec<FieldError>) {
    let limit = budget.table.limit;
    if limit.is_zero() {
        advice.push(FieldError::new("spec.limit.amount", "is 0: every request that costs anything is denied"));
    }
    for (name, share) in [("perUser", budget.table.per_user), ("perClient", budget.table.per_client)] {
        if share.is_some_and(|share| share > limit) {
            let why = format!("is above spec.limit.amount ({limit}) and so never binds: lower it, or leave it out");
            advice.push(FieldError::new(format!("spec.{name}.amount"), why));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{Kind, documents, spec};
    use crate::validate::{self, Context};

    fn said(kind: Kind, yaml: &str) -> Vec<String> {
        let (documents, _) = documents("f.yaml", yaml);
        let facts = Facts::default();
        let context = Context { namespace: "team", mode: facts.mode };
        let findings = validate::parsed(&spec(kind, &documents[0].value), context);
        assert!(findings.errors.is_empty(), "{:?}", findings.errors);
        advice(&findings.checked.unwrap(), &facts).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_route_hears_everything_that_is_unwise() {
        let heard = said(
            Kind::ModelRoute,
            r#"
models: [chat]
targets:
- {name: nova, bedrock: {modelId: us.amazon.nova-pro-v1:0}}
- {name: strange, bedrock: {modelId: acme.unheard-of-v1:0}}
- {name: clear, openai: {baseUrl: "http://api.example.com/v1", model: m, apiKey: {secretRef: {name: key}}}, price: {inputPerMillion: "1"}}
- {name: idle, simulated: {}}
rules:
- {split: [{target: nova, weight: 1}], fallback: [strange, clear]}
- {split: [{target: clear, weight: 1}]}
retry: {attempts: 2}
timeouts: {total: 10s}
"#,
        );
        let expected = [
            "spec.targets[1].price: acme.unheard-of-v1:0 has no known price, so under an enforcing budget strange is skipped: state it, \"0\" if it is free",
            "spec.targets[2].openai.baseUrl: sends the API key in the clear to http://api.example.com/v1: use https",
            "spec.targets[3]: idle is in no rule: nothing is sent there",
            "spec.rules[1]: is never reached: rule 0 before it matches everything; put it first",
            "spec.rules[0].fallback: clear is never tried: spec.retry.attempts is 2, the first one included; raise it",
            "spec.timeouts.firstToken: is above total (10 s), which ends the request first",
        ];
        assert_eq!(heard, expected);
    }

    #[test]
    fn a_sound_route_hears_nothing() {
        let route = r#"
models: [chat]
targets:
- {name: nova, bedrock: {modelId: us.amazon.nova-pro-v1:0}}
- {name: near, openai: {service: {name: ollama, port: 11434}, apiKey: {secretRef: {name: key}}}, price: {perRequest: "0"}}
rules:
- {when: {prompt: {class: Code}}, split: [{target: near, weight: 1}]}
- {split: [{target: nova, weight: 1}], fallback: [near]}
"#;
        assert_eq!(said(Kind::ModelRoute, route), Vec::<String>::new());
    }

    #[test]
    fn requests_that_no_rule_takes_are_named() {
        let route = "models: [chat]\ntargets: [{name: a, simulated: {}}]\nrules: [{when: {user: [ann]}, split: [{target: a, weight: 1}]}]";
        assert!(said(Kind::ModelRoute, route)[0].contains("404"));
    }

    #[test]
    fn an_endpoint_that_cannot_be_scaled_to_zero_is_named() {
        let of = |hosted: &str| {
            let scaling = "{minInstances: 0, maxInstances: 1, target: {metric: InvocationsPerInstance, value: 9}}";
            said(
                Kind::EmbeddingEndpoint,
                &format!("model: m\ndimensions: 2\nsagemaker: {hosted}\nautoscaling: {scaling}"),
            )
        };
        assert!(of("{endpointName: e}")[0].starts_with("spec.autoscaling.minInstances: is 0"));
        assert_eq!(of("{endpointName: e, inferenceComponent: c}"), Vec::<String>::new());
    }

    #[test]
    fn shares_that_never_bind_and_a_limit_of_nothing_are_named() {
        let heard = said(
            Kind::CostBudget,
            "limit: {amount: \"5\"}\nperiod: Daily\nperUser: {amount: \"6\"}\nperClient: {amount: \"5\"}",
        );
        assert_eq!(heard.len(), 1, "{heard:?}");
        assert!(heard[0].starts_with("spec.perUser.amount"), "{heard:?}");
        assert!(said(Kind::CostBudget, "limit: {amount: \"0\"}\nperiod: Daily")[0].contains("denied"));
    }

    #[test]
    fn a_key_may_go_in_the_clear_inside_the_cluster_only() {
        for inside in [
            "http://ollama",
            "http://ollama.team.svc:80",
            "http://10.1.2.3/v1",
            "http://[::1]:8",
            "https://example.com",
        ] {
            assert!(!is_in_the_clear(inside), "{inside}");
        }
        for outside in ["http://example.com", "http://93.184.216.34:80/v1", "http://[2001:db8::1]/"] {
            assert!(is_in_the_clear(outside), "{outside}");
        }
    }
}
