//! The CEL rules of the CRDs, each with a spec that it refuses, judged locally; a real API server judges the same rules in the cluster tests.
#![allow(clippy::unwrap_used, clippy::panic)]

use kube::core::cel::validate_cel_schema;
use serde_json::{Value, json};
use tollway_crds::{BudgetLedgerSpec, CostBudgetSpec, EmbeddingEndpointSpec, ModelRouteSpec};

type Change = fn(&mut Value);

fn route() -> Value {
    json!({"models": ["a"], "targets": [{"name": "t", "simulated": {}}], "rules": [{"split": [{"target": "t", "weight": 1}]}]})
}

fn budget() -> Value {
    json!({"limit": {"amount": "1"}, "period": "Daily", "adjustments": [{"id": "a", "credit": "1"}]})
}

fn refused<T: schemars::JsonSchema>(good: &Value, old: Option<&Value>, cases: &[(&str, Change)]) {
    if let Err(errors) = validate_cel_schema::<T>(good, old) {
        panic!("the good one is refused: {errors}");
    }
    for (message, change) in cases {
        let mut spec = good.clone();
        change(&mut spec);
        let errors = validate_cel_schema::<T>(&spec, old).expect_err(message).to_string();
        assert!(errors.contains(message), "{message}: {errors}");
    }
}

#[test]
fn routes() {
    refused::<ModelRouteSpec>(
        &route(),
        None,
        &[
            ("a split names a target that is not", |s| s["rules"][0]["split"][0]["target"] = json!("z")),
            ("a fallback names a target that is not", |s| s["rules"][0]["fallback"] = json!(["z"])),
            ("at least one weight", |s| s["rules"][0]["split"][0]["weight"] = json!(0)),
            ("two rules have the same name", |s| {
                let rule = json!({"name": "r", "split": [{"target": "t", "weight": 1}]});
                s["rules"] = json!([rule, rule]);
            }),
            ("a when needs at least one", |s| s["rules"][0]["when"] = json!({})),
            ("give min, max or both", |s| s["rules"][0]["when"] = json!({"inputTokens": {}})),
            ("min must not be above max", |s| s["rules"][0]["when"] = json!({"inputTokens": {"min": 2, "max": 1}})),
            ("exactly one provider", |s| s["targets"][0]["bedrock"] = json!({"modelId": "m"})),
            ("exactly one provider", |s| s["targets"][0] = json!({"name": "t"})),
            ("exactly one of service and baseUrl", |s| s["targets"][0] = json!({"name": "t", "openai": {}})),
            ("loopback goes with baseUrl", |s| {
                s["targets"][0] =
                    json!({"name": "t", "openai": {"service": {"name": "a", "port": 1}, "loopback": true}});
            }),
            ("a price needs at least one amount", |s| s["targets"][0]["price"] = json!({})),
            ("a rate limit needs requests", |s| s["rateLimits"] = json!([{"per": "User"}])),
            ("exactly one of jwt and apiKeys", |s| s["auth"] = json!({"trustUserHeader": true})),
        ],
    );
}

#[test]
fn budgets() {
    refused::<CostBudgetSpec>(
        &budget(),
        Some(&budget()),
        &[
            ("append-only", |s| s["adjustments"] = json!([])),
            ("append-only", |s| _ = s.as_object_mut().unwrap().remove("adjustments")),
            ("append-only", |s| s["adjustments"][0]["credit"] = json!("2")),
            ("exactly one of credit and resume", |s| s["adjustments"][0]["resume"] = json!(true)),
            ("targetRefs or selector", |s| {
                s["targetRefs"] = json!([{"kind": "ModelRoute", "name": "a"}]);
                s["selector"] = json!({"matchLabels": {"a": "b"}});
            }),
            ("a target is named twice", |s| {
                s["targetRefs"] = json!([{"kind": "ModelRoute", "name": "a"}, {"kind": "ModelRoute", "name": "a"}]);
            }),
            ("exactly one of notify", |s| s["thresholds"] = json!([{"percent": 1, "actions": [{}]}])),
        ],
    );
    let mut more = budget();
    more["adjustments"] = json!([{"id": "a", "credit": "1"}, {"id": "b", "resume": true}]);
    refused::<CostBudgetSpec>(&more, Some(&budget()), &[]);
}

#[test]
fn endpoints_and_ledgers() {
    refused::<EmbeddingEndpointSpec>(
        &json!({"model": "m", "dimensions": 3, "sagemaker": {"endpointName": "e"}}),
        None,
        &[
            ("exactly one of sagemaker and openai", |s| s["fallback"] = json!([{}])),
            ("minInstances must not be above", |s| {
                s["autoscaling"] =
                    json!({"minInstances": 2, "maxInstances": 1, "target": {"metric": "Utilization", "value": 1}});
            }),
        ],
    );
    let ledger = json!({"budget": {"namespace": "n", "name": "b"}, "window": "2026-11", "state": {}, "summary": {}});
    refused::<BudgetLedgerSpec>(
        &ledger,
        Some(&ledger),
        &[
            ("one budget and one window for ever", |s| s["window"] = json!("2026-12")),
            ("one budget and one window for ever", |s| s["budget"]["name"] = json!("c")),
        ],
    );
}
