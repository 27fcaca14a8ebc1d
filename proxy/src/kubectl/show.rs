//! Resources with their status in; what stands, as columns for a person or JSON for a program, out.

use crate::cli::columns;
use serde_json::{Value, json};
use tollway_core::spend::Nano;

/// Whether every resource has `Ready=True`.
pub fn is_ready(objects: &[Value]) -> bool {
    objects.iter().all(|object| condition(object, "Ready").is_some_and(|ready| ready["status"] == "True"))
}

pub fn status(objects: &[Value]) -> String {
    if objects.is_empty() {
        return "no ModelRoute, EmbeddingEndpoint or CostBudget here: kubectl apply one, or choose a namespace with -n\n"
            .to_owned();
    }
    let mut text = String::new();
    for (kind, head, cells) in [
        ("ModelRoute", ["ROUTE", "READY", "MODELS", "PROXIES"], route as fn(&Value) -> [String; 4]),
        ("EmbeddingEndpoint", ["EMBEDDING ENDPOINT", "READY", "MODEL", "INSTANCES"], endpoint),
        ("CostBudget", ["BUDGET", "READY", "SPENT OF LIMIT", "FORECAST"], budget),
    ] {
        let mut rows: Vec<Vec<String>> =
            objects.iter().filter(|object| object["kind"] == kind).map(|object| cells(object).to_vec()).collect();
        if rows.is_empty() {
            continue;
        }
        rows.insert(0, head.map(str::to_owned).to_vec());
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&columns(&rows));
    }
    for object in objects {
        for bad in conditions(object).filter(|condition| condition["status"] == "False") {
            let [kind, name] = [&object["kind"], &object["metadata"]["name"]].map(|value| value.as_str().unwrap_or(""));
            let [what, reason, message] =
                ["type", "reason", "message"].map(|field| bad[field].as_str().unwrap_or_default());
            text.push_str(&format!("! {kind} {name}: {what}=False, {reason}: {message}\n"));
        }
    }
    text
}

fn route(object: &Value) -> [String; 4] {
    let models = object["spec"]["models"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let proxies = &object["status"]["proxies"];
    let [programmed, connected] = ["programmed", "connected"].map(|field| proxies[field].as_u64().unwrap_or(0));
    [name(object), ready(object), models.collect::<Vec<_>>().join(","), format!("{programmed}/{connected}")]
}

fn endpoint(object: &Value) -> [String; 4] {
    let instances = &object["status"]["instances"];
    let count = |field: &str| instances[field].as_u64().map_or_else(|| "?".to_owned(), |count| count.to_string());
    [
        name(object),
        ready(object),
        text_of(&object["spec"]["model"]),
        format!("{} of {}", count("current"), count("desired")),
    ]
}

fn budget(object: &Value) -> [String; 4] {
    let status = &object["status"];
    let [spent, limit] = [&status["spentUsd"], &object["spec"]["limit"]["amount"]]
        .map(|value| text_of(value).parse::<Nano>().unwrap_or_default());
    let percent = if limit > Nano::ZERO { u128::from(spent.0) * 100 / u128::from(limit.0) } else { 100 };
    let forecast = status["forecastUsd"].as_str().map_or_else(|| "?".to_owned(), str::to_owned);
    [name(object), ready(object), format!("{spent} of {limit} ({percent} %)"), forecast]
}

/// What a program reads of each resource.
pub fn json(objects: &[Value]) -> Value {
    objects
        .iter()
        .map(|object| {
            let mut status = object["status"].clone();
            if let Some(status) = status.as_object_mut() {
                status.remove("lastAccepted");
            }
            json!({"kind": object["kind"], "name": object["metadata"]["name"], "status": status})
        })
        .collect()
}

/// Targets of every route, by what they cost.
fn targets(objects: &[Value]) -> Vec<(String, Value)> {
    let of = |object: &Value| {
        let route = name(object);
        let targets = object["status"]["targets"].as_array().cloned().unwrap_or_default();
        targets.into_iter().map(move |target| (route.clone(), target)).collect::<Vec<_>>()
    };
    let mut all: Vec<_> = objects.iter().flat_map(of).collect();
    let cost = |target: &Value| text_of(&target["costUsd"]).parse::<Nano>().unwrap_or_default();
    all.sort_by_key(|(_, target)| std::cmp::Reverse((cost(target), target["requests"].as_u64())));
    all
}

pub fn top(objects: &[Value]) -> String {
    let mut rows =
        vec![["ROUTE", "TARGET", "USD", "REQUESTS", "ERRORS", "P50 MS", "P95 MS"].map(str::to_owned).to_vec()];
    rows.extend(targets(objects).into_iter().map(|(route, target)| {
        let cells = ["name", "costUsd", "requests", "errors", "p50Ms", "p95Ms"].map(|field| text_of(&target[field]));
        std::iter::once(route).chain(cells).collect()
    }));
    columns(&rows)
}

pub fn top_json(objects: &[Value]) -> Value {
    targets(objects).into_iter().map(|(route, target)| json!({"route": route, "target": target})).collect()
}

fn name(object: &Value) -> String {
    text_of(&object["metadata"]["name"])
}

fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    }
}

fn conditions(object: &Value) -> impl Iterator<Item = &Value> {
    object["status"]["conditions"].as_array().into_iter().flatten()
}

fn condition<'o>(object: &'o Value, kind: &str) -> Option<&'o Value> {
    conditions(object).find(|condition| condition["type"] == kind)
}

fn ready(object: &Value) -> String {
    let Some(ready) = condition(object, "Ready") else { return "Unknown".to_owned() };
    match ready["status"].as_str() {
        Some("True") => "True".to_owned(),
        Some(status) => format!("{status} ({})", text_of(&ready["reason"])),
        None => "Unknown".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_ready_says_why() {
        let budget = json!({
            "kind": "CostBudget", "metadata": {"name": "team"}, "spec": {"limit": {"amount": "2.00"}},
            "status": {"spentUsd": "1.00", "conditions": [{"type": "Ready", "status": "False", "reason": "Frozen", "message": "look"}]},
        });
        assert!(!is_ready(std::slice::from_ref(&budget)));
        let text = status(&[budget]);
        assert!(text.contains("team    False (Frozen)  1.00 of 2.00 (50 %)"), "{text}");
        assert!(text.contains("! CostBudget team: Ready=False, Frozen: look"), "{text}");
        assert!(is_ready(&[]) && status(&[]).contains("-n"));
    }

    #[test]
    fn the_dearest_target_comes_first() {
        let target = |name: &str, cost: &str| json!({"name": name, "costUsd": cost, "requests": 1});
        let route = json!({"metadata": {"name": "r"}, "status": {"targets": [target("cheap", "0.10"), target("dear", "10.00")]}});
        let top = top(&[route]);
        assert!(top.find("dear") < top.find("cheap"), "{top}");
    }
}
