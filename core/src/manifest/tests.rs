//! Text and values in; resources, or every mistake with its place, out.

use super::*;

fn errors(kind: Kind, yaml: &str) -> Vec<String> {
    let (documents, errors) = documents("f.yaml", yaml);
    assert!(errors.is_empty(), "{errors:?}");
    spec(kind, &documents[0].value).errors.iter().map(ToString::to_string).collect()
}

#[test]
fn every_mistake_of_form_is_named_with_what_to_do() {
    let found = errors(
        Kind::ModelRoute,
        "models: []\ntargets:\n- name: UPPER\n  bedrok: {}\n  price: {inputPerMillion: 0.8}\n- name: b\n  maxConcurrent: 0\n  openai: {service: {name: x}}\n\
         rules: {split: a}\nretry: {attempts: many}\ntimeouts: {firstToken: 30}\ncircuit_breaker: {}\n",
    );
    let expected = [
        "spec.circuit_breaker: no such field: did you mean circuitBreaker?",
        "spec.models: has 0 items: give at least 1",
        "spec.retry.attempts: is text: write a number without quotes",
        "spec.rules: is a group of fields: write a list, each item after a dash",
        "spec.targets[0].bedrok: no such field: remove it, or use agentCore, anthropic, bedrock, maxConcurrent, name, openai, price, sagemaker or simulated",
        "spec.targets[0].name: \"UPPER\" does not have the right form: write lower case letters, digits and -, such as nova-pro",
        "spec.targets[0].price.inputPerMillion: is a number: write it as text, in quotes: \"0.8\"",
        "spec.targets[1].maxConcurrent: 0 is out of range: give a number from 1 to 100000",
        "spec.targets[1].openai.service.port: is missing: it must be given",
        "spec.timeouts.firstToken: is a number: write it as text, in quotes: \"30\"",
    ];
    assert_eq!(found, expected);
}

#[test]
fn what_is_listed_twice_is_named() {
    let found = errors(
        Kind::ModelRoute,
        "models: [a, b, a]\ntargets: [{name: t, simulated: {}}, {name: t, simulated: {}}]\nrules: [{split: [{target: t, weight: 1}]}]",
    );
    assert_eq!(
        found,
        [
            "spec.models[2]: \"a\" is there twice: give each one once",
            "spec.targets[1].name: \"t\" is there twice: give each one once"
        ]
    );
}

#[test]
fn a_spec_with_mistakes_of_form_is_still_read() {
    for kind in Kind::ALL {
        for value in [
            serde_json::json!({}),
            serde_json::json!(null),
            serde_json::json!({"limit": 1, "models": {}, "sagemaker": []}),
        ] {
            let parsed = spec(kind, &value);
            assert!(parsed.spec.is_some() && !parsed.errors.is_empty(), "{kind} {value}");
        }
    }
}

#[test]
fn a_document_that_is_not_yaml_hides_no_other() {
    let (documents, errors) = documents("f.yaml", "a: 1\n---\nb: [1\n---\nc: 1\nc: 2\n---\n1: x\n---\n\n---\nd: 1\n");
    let found: Vec<_> = documents.iter().map(|d| d.value.to_string()).collect();
    assert_eq!(found, [r#"{"a":1}"#, r#"{"d":1}"#]);
    let lines: Vec<_> = errors.iter().map(|e| e.line).collect();
    assert_eq!(lines, [4, 5, 8], "{errors:?}");
    assert!(errors.iter().all(|e| e.to_string().starts_with("f.yaml:")));
}
