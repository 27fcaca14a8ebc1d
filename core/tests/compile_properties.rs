//! What holds for any resources at all: order does not matter, a broken resource costs only itself, nothing panics.
#![allow(clippy::unwrap_used, clippy::panic)]

use proptest::{collection::vec, prelude::*, sample::Index};
use serde_json::{Value, json};
use tollway_core::{
    compile::{InForce, compile},
    manifest,
    snapshot::{Facts, Snapshot},
    wire,
};

fn good_specs() -> Vec<(&'static str, Value)> {
    let simulated = json!({"name": "pretend", "simulated": {"failEvery": 3}, "price": {"inputPerMillion": "1"}});
    let bedrock = json!({"name": "nova", "bedrock": {"modelId": "amazon.nova-pro-v1:0", "region": "us-east-1"}, "maxConcurrent": 5});
    let openai = json!({"name": "local", "openai": {"service": {"name": "ollama", "port": 11434}, "apiKey": {"secretRef": {"name": "s"}}}});
    let later = json!({"name": "agent", "agentCore": {"runtimeArn": "arn:aws:bedrock-agentcore:us-east-1:1:r"}});
    vec![
        (
            "ModelRoute",
            json!({"models": ["a", "b"], "targets": [simulated], "rules": [{"split": [{"target": "pretend", "weight": 1}]}]}),
        ),
        (
            "ModelRoute",
            json!({
                "models": ["b", "*"],
                "targets": [bedrock, openai, later],
                "rules": [
                    {"name": "x", "when": {"headers": [{"name": "h", "value": "v"}], "user": ["u"], "inputTokens": {"min": 1}},
                     "split": [{"target": "nova", "weight": 9}, {"target": "agent", "weight": 1}], "fallback": ["local"]},
                    {"when": {"prompt": {"class": "Code"}}, "split": [{"target": "agent", "weight": 1}], "fallback": ["local"]},
                ],
                "retry": {"attempts": 2, "backoff": {"base": "1s"}}, "timeouts": {"total": "10m"},
                "defaults": {"temperature": 0.5, "stop": ["x"]}, "auth": {"apiKeys": {"secretRef": {"name": "k"}}},
            }),
        ),
        (
            "EmbeddingEndpoint",
            json!({"model": "b", "dimensions": 3, "sagemaker": {"endpointName": "e"}, "cache": {"ttl": "1h"}}),
        ),
        ("CostBudget", json!({"limit": {"amount": "1.5"}, "period": "Daily", "thresholds": [{"percent": 50}]})),
        (
            "CostBudget",
            json!({"limit": {"amount": "2"}, "period": "Once", "targetRefs": [{"kind": "ModelRoute", "name": "r1"}],
                   "adjustments": [{"id": "a", "credit": "1"}]}),
        ),
    ]
}

fn leaf() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        Just(json!("")),
        Just(json!("5m")),
        Just(json!("999999999h")),
        Just(json!("999999999.999999999")),
    ]
}

fn any_json() -> impl Strategy<Value = Value> {
    leaf().prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec(("[a-zA-Z]{1,8}", inner), 0..4).prop_map(|fields| fields.into_iter().collect::<Value>()),
        ]
    })
}

/// A change of one place: another value, or nothing.
type Change = (Index, Option<Value>);

fn changed(mut spec: Value, changes: &[Change]) -> Value {
    for (place, value) in changes {
        let mut places = Vec::new();
        places_of(&spec, String::new(), &mut places);
        let place = &places[place.index(places.len())];
        match (value, place.rsplit_once('/')) {
            (None, Some((parent, last))) => match spec.pointer_mut(parent) {
                Some(Value::Object(object)) => _ = object.remove(last),
                Some(Value::Array(items)) => _ = items.remove(last.parse().unwrap()),
                _ => {}
            },
            (value, _) => *spec.pointer_mut(place).unwrap() = value.clone().unwrap_or_default(),
        }
    }
    spec
}

fn places_of(value: &Value, here: String, places: &mut Vec<String>) {
    match value {
        Value::Object(object) => object.iter().for_each(|(name, below)| {
            places_of(below, format!("{here}/{}", name.replace('~', "~0").replace('/', "~1")), places)
        }),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(at, below)| places_of(below, format!("{here}/{at}"), places))
        }
        _ => {}
    }
    places.push(here);
}

fn object() -> impl Strategy<Value = Value> {
    let change = (any::<Index>(), proptest::option::of(any_json()));
    let changes = prop_oneof![3 => Just(Vec::new()), 2 => vec(change, 1..4)];
    let seniority = proptest::option::of(1..3_u8);
    (any::<Index>(), 0..4_u8, changes, seniority, any::<bool>()).prop_map(
        |(which, name, changes, seniority, labelled)| {
            let specs = good_specs();
            let (kind, good) = &specs[which.index(specs.len())];
            json!({
                "apiVersion": "tollway.dev/v1alpha1",
                "kind": kind,
                "metadata": {
                    "name": format!("r{name}"),
                    "generation": 2,
                    "labels": if labelled { json!({"team": "a"}) } else { Value::Null },
                    "creationTimestamp": seniority.map(|day| format!("2026-01-0{day}T00:00:00Z")),
                },
                "spec": changed(good.clone(), &changes),
            })
        },
    )
}

fn snapshot<'a>(objects: impl IntoIterator<Item = &'a Value>) -> Snapshot {
    let mut snapshot = Snapshot::new("team");
    for object in objects {
        snapshot.read(object).unwrap();
    }
    snapshot
}

/// One object a kind and name, as in a namespace.
fn distinct(objects: Vec<Value>) -> Vec<Value> {
    let mut seen = std::collections::BTreeSet::new();
    objects.into_iter().filter(|o| seen.insert((o["kind"].to_string(), o["metadata"]["name"].to_string()))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn order_does_not_matter((objects, shuffled) in vec(object(), 0..8).prop_map(distinct).prop_flat_map(|o| (Just(o.clone()), Just(o).prop_shuffle()))) {
        let (one, other) = (compile(&snapshot(&objects), &Facts::default()), compile(&snapshot(&shuffled), &Facts::default()));
        prop_assert_eq!(wire::encode(&one.0).digest, wire::encode(&other.0).digest);
        prop_assert_eq!(one.1, other.1);
    }

    #[test]
    fn a_broken_resource_costs_only_itself(objects in vec(object(), 1..8).prop_map(distinct)) {
        let (table, verdicts) = compile(&snapshot(&objects), &Facts::default());
        let broken = |o: &Value| {
            let verdict = verdicts.iter().find(|(id, _)| o["kind"] == id.kind.as_str() && o["metadata"]["name"] == id.name.as_str());
            verdict.is_some_and(|(_, v)| !v.errors.is_empty())
        };
        let whole: Vec<&Value> = objects.iter().filter(|o| !broken(o)).collect();
        let (without, _) = compile(&snapshot(whole), &Facts::default());
        prop_assert_eq!(table, without);
    }

    #[test]
    fn what_is_accepted_can_be_kept_and_comes_back_the_same(object in object()) {
        let (table, verdicts) = compile(&snapshot([&object]), &Facts::default());
        for (id, verdict) in verdicts {
            prop_assert_eq!(verdict.in_force == InForce::Current, verdict.errors.is_empty() && verdict.refused.is_empty());
            let Some(accepted) = verdict.last_accepted else { continue };
            let kept = manifest::spec(id.kind, &accepted.spec.to_value());
            prop_assert_eq!(kept.errors, vec![]);
            prop_assert_eq!(kept.spec.as_ref(), Some(&accepted.spec));
            let mut later = object.clone();
            later["spec"] = json!({"broken": true});
            later["metadata"]["generation"] = json!(3);
            later["status"] = json!({"lastAccepted": {"generation": 2, "spec": accepted.spec.to_value()}});
            let (kept, verdicts) = compile(&snapshot([&later]), &Facts::default());
            prop_assert_eq!(&kept, &table);
            prop_assert_eq!(verdicts[&id].in_force, InForce::LastGood(2));
        }
    }

    #[test]
    fn a_table_survives_the_wire(objects in vec(object(), 0..8).prop_map(distinct)) {
        let (table, _) = compile(&snapshot(&objects), &Facts::default());
        let encoded = wire::encode(&table);
        let decoded = wire::decode(&encoded.bytes, &encoded.digest, wire::FEATURES).unwrap();
        prop_assert_eq!(decoded.table, table);
        prop_assert!(decoded.unserved.is_empty());
    }

    #[test]
    fn any_text_is_read_or_refused(text in ".{0,200}", yaml in "([a-z]{1,4}: ?(\\[|\\{|&a|\\*a|'|\"|[0-9.e-]{1,4}|\n  )?\n?){0,12}") {
        for text in [text, yaml] {
            let (documents, errors) = manifest::documents("f.yaml", &text);
            prop_assert!(errors.iter().all(|e| e.line >= 1 && !e.message.is_empty()), "{errors:?}");
            for document in documents {
                prop_assert!(document.lines.line("spec") >= 1);
            }
        }
    }
}
