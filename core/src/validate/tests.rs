//! Specs in; findings out, every mistake at once.

use super::*;
use crate::manifest::{Kind, documents, spec};

const HERE: Context<'static> = Context { namespace: "team", mode: Mode::Cluster };

fn findings(kind: Kind, yaml: &str) -> Findings {
    let (documents, errors) = documents("f.yaml", yaml);
    assert!(errors.is_empty(), "{errors:?}");
    parsed(&spec(kind, &documents[0].value), HERE)
}

fn errors(kind: Kind, yaml: &str) -> Vec<String> {
    findings(kind, yaml).errors.iter().map(ToString::to_string).collect()
}

#[test]
fn ten_mistakes_are_ten_errors() {
    let found = errors(
        Kind::ModelRoute,
        r#"
models: ["with space"]
targets:
- {name: both, simulated: {}, bedrock: {modelId: m}}
- {name: none}
- {name: local, openai: {baseUrl: "http://localhost:11434"}}
- {name: meta, openai: {baseUrl: "http://169.254.169.254/v1", apiKey: {secret: x}}}
rules:
- split: [{target: nowhere, weight: 1}]
- split: [{target: local, weight: 0}]
  fallback: [local, local]
  when: {}
timeouts: {connect: 5h}
retry: {backoff: {base: 20s, max: 10s}}
colour: blue
"#,
    );
    let expected = [
        "spec.colour: no such field: remove it, or use auth, cache, circuitBreaker, defaults, models, rateLimits, retry, rules, system, targets or timeouts",
        "spec.models[0]: \"with space\" does not have the right form: write visible ASCII without spaces, such as assistant",
        "spec.targets[3].openai.apiKey.secret: no such field: remove it, or use secretRef",
        "spec.targets[3].openai.apiKey.secretRef: is missing: it must be given",
        "spec.targets[0]: has bedrock and simulated: keep exactly one",
        "spec.targets[1]: needs one of bedrock, openai, anthropic, agentCore, sagemaker, simulated",
        "spec.targets[2].openai.baseUrl: localhost is a loopback address: say loopback: true if the server is in the same Pod",
        "spec.targets[3].openai.baseUrl: 169.254.169.254 is a link-local or metadata address, which is never called: use another",
        "spec.rules[0].split[0].target: \"nowhere\" is not in spec.targets: use one of both, local, meta, none",
        "spec.rules[1].split: has no weight above 0: give at least one",
        "spec.rules[1].fallback[1]: local is there twice: give each target once",
        "spec.rules[1].when: has no condition: give prompt, headers, user or inputTokens, or leave when out to match everything",
        "spec.retry.backoff.max: is below base: raise it, or lower base",
        "spec.timeouts.connect: 5h is out of range: give 1ms to 1h",
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_budget_is_judged() {
    let found = errors(
        Kind::CostBudget,
        r#"
limit: {amount: "12.3456789012"}
period: Monthly
timeZone: Mars/Olympus
targetRefs: [{kind: ModelRoute, name: a}, {kind: ModelRoute, name: a}]
selector: {matchLabels: {a: b}}
adjustments: [{id: a, credit: "1", resume: true}, {id: b}, {id: b, credit: "1"}]
"#,
    );
    let fields: Vec<_> = found.iter().map(|e| e.split(": ").next().unwrap()).collect();
    assert_eq!(
        fields,
        [
            "spec.adjustments[2].id",
            "spec.limit.amount",
            "spec.timeZone",
            "spec.selector",
            "spec.adjustments[0]",
            "spec.adjustments[1]"
        ]
    );
}

#[test]
fn every_field_about_money_is_acted_on() {
    let found = findings(
        Kind::CostBudget,
        "{limit: {amount: '1'}, period: Once, perUser: {amount: '1'}, perClient: {amount: '1'}, \
         thresholds: [{percent: 50}, {percent: 80, actions: [{rateLimit: {requestsPerMinute: 1}}]}]}",
    );
    assert!(found.errors.is_empty(), "{:?}", found.errors);
    let fields: Vec<_> = found.refused.iter().map(|e| e.field.as_str()).collect();
    assert!(fields.is_empty(), "{fields:?}");
}

const WITH_AWS: &str = "{limit: {amount: '1'}, period: Daily, awsBudget: {accountId: '123456789012', name: n}, \
    thresholds: [{percent: 80, actions: [{notify: {snsTopicArn: 'arn:aws:sns:us-east-1:123456789012:t'}}]}]}";

#[test]
fn a_folder_leaves_out_what_only_an_operator_does_and_a_cluster_does_it() {
    let judged = |mode| {
        let (documents, _) = documents("f.yaml", WITH_AWS);
        parsed(&spec(Kind::CostBudget, &documents[0].value), Context { mode, ..HERE })
    };
    let cluster = judged(Mode::Cluster);
    assert!(cluster.errors.is_empty() && cluster.refused.is_empty() && cluster.ignored.is_empty(), "{cluster:?}");
    let folder = judged(Mode::Standalone);
    assert!(folder.errors.is_empty() && folder.refused.is_empty(), "the cap is served all the same: {folder:?}");
    let fields: Vec<_> = folder.ignored.iter().map(|e| e.field.as_str()).collect();
    assert_eq!(fields, ["spec.awsBudget", "spec.thresholds[0].actions[0].notify"]);
}

#[test]
fn what_aws_cannot_mirror_or_publish_to_is_refused() {
    for period in ["Weekly", "Once"] {
        let found = findings(Kind::CostBudget, &WITH_AWS.replace("Daily", period));
        assert_eq!(found.errors[0].field, "spec.awsBudget", "{found:?}");
    }
    for arn in [
        "arn:aws:sqs:us-east-1:123456789012:t",
        "arn:aws:sns::123456789012:t",
        "arn:aws:sns:us-east-1:123456789012:t:sub",
    ] {
        let found = findings(Kind::CostBudget, &WITH_AWS.replace("arn:aws:sns:us-east-1:123456789012:t", arn));
        assert_eq!(found.errors[0].field, "spec.thresholds[0].actions[0].notify.snsTopicArn", "{found:?}");
    }
}

#[test]
fn an_embedding_endpoint_is_judged_whole() {
    let good = "{model: BAAI/bge-m3, dimensions: 1024, sagemaker: {endpointName: e}}";
    let found = findings(Kind::EmbeddingEndpoint, good);
    assert!(
        found.errors.is_empty() && found.checked.is_some() && found.refused.is_empty() && found.ignored.is_empty(),
        "{found:?}"
    );
    let found = errors(
        Kind::EmbeddingEndpoint,
        "{model: m, dimensions: 0, sagemaker: {endpointName: -e}, fallback: [{}], autoscaling: {minInstances: 3, maxInstances: 1, \
         target: {metric: Utilization, value: 101}}, latencyTarget: 1h, price: {}}",
    );
    assert_eq!(found.len(), 7, "{found:#?}");
    let provision = "{image: i, instanceType: ml.m5.xlarge, executionRoleArn: 'arn:aws:iam::123456789012:role/r'}";
    let found = errors(
        Kind::EmbeddingEndpoint,
        &format!(
            "{{model: m, dimensions: 1, sagemaker: {{endpointName: e, inferenceComponent: c}}, provision: {provision}, \
             healthCheck: {{interval: 9s}}, coldStart: {{maxWait: 11m}}}}"
        ),
    );
    let expected = [
        "spec.healthCheck.interval: give 10s to 24h, or 0s for no calls at all",
        "spec.sagemaker.inferenceComponent: an endpoint that spec.provision makes has no inference components: leave one of them out",
        "spec.coldStart.maxWait: 11m is out of range: give 0s to 10m",
    ];
    assert_eq!(found, expected);
}

#[test]
fn loopback_is_for_standalone_and_for_those_who_ask() {
    let yaml = "{models: [m], targets: [{name: t, openai: {baseUrl: 'http://127.0.0.1:1/v1', LOOPBACK}}], rules: [{split: [{target: t, weight: 1}]}]}";
    let judged = |text: &str, mode| {
        let (documents, _) = documents("f.yaml", text);
        parsed(&spec(Kind::ModelRoute, &documents[0].value), Context { mode, ..HERE }).errors.len()
    };
    let plain = yaml.replace(", LOOPBACK", "");
    let asked = yaml.replace("LOOPBACK", "loopback: true");
    assert_eq!(
        (judged(&plain, Mode::Cluster), judged(&plain, Mode::Standalone), judged(&asked, Mode::Cluster)),
        (1, 0, 0)
    );
}
