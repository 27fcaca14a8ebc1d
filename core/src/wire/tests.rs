//! Tables in and out of bytes, whole and damaged.

use super::*;
use serde_json::json;

fn table() -> Value {
    let price = json!({"input": 1, "output": 1, "cacheRead": 1, "cacheWrite": 1, "cacheWrite1h": 1, "perRequest": 0});
    let bounds = json!({"contextWindow": 9, "tokensPerKilobyte": 1000, "perRequest": 1, "perMessage": 1, "perTool": 1, "perImage": 1});
    let provider = json!({"simulated": {"reply": "r", "firstTokenMs": 0, "tokensPerSecond": 0, "failEvery": 0}});
    let route = json!({
        "targets": {"t": {"provider": provider, "price": price, "bounds": bounds}},
        "rules": [{"name": "0", "split": [{"target": "t", "weight": 1}], "fallback": []}],
        "defaults": {},
        "retry": {"attempts": 3, "baseMs": 1, "maxMs": 2},
        "circuitBreaker": {"failures": 5, "recoveryMs": 1},
        "timeouts": {"connectMs": 1, "firstTokenMs": 1, "idleMs": 1, "totalMs": 1, "drainOnDisconnectMs": 0},
        "budgets": ["b"],
    });
    let budget = json!({"limit": 5, "period": "Daily", "timeZone": "UTC", "mode": "Enforce", "onExhausted": "Block"});
    json!({"namespace": "n", "models": {"m": "r", "o": "odd"}, "routes": {"r": route, "odd": route}, "budgets": {"b": budget}})
}

fn decoded(value: &Value, features: &[&str]) -> Result<Decoded, WireError> {
    let bytes = serde_json::to_vec(value).unwrap();
    decode(&bytes, &digest(&bytes), features)
}

#[test]
fn a_table_survives_the_way_and_damage_is_noticed() {
    let table: Table = serde_json::from_value(table()).unwrap();
    let Encoded { mut bytes, digest } = encode(&table);
    let back = decode(&bytes, &digest, FEATURES).unwrap();
    assert_eq!((&back.table, back.unserved.len()), (&table, 0));
    assert_eq!(encode(&back.table).digest, digest);
    let last = bytes.len() - 2;
    bytes[last] ^= 1;
    assert!(matches!(decode(&bytes, &digest, FEATURES), Err(WireError::Digest { .. })));
}

#[test]
fn a_route_that_cannot_be_served_costs_only_itself() {
    let mut newer = table();
    newer["routes"]["odd"]["requires"] = json!(["voice"]);
    let found = decoded(&newer, &[]).unwrap();
    assert!(found.table.routes.contains_key("r") && !found.table.routes.contains_key("odd"));
    assert!(found.unserved["odd"].contains("voice"));
    assert_eq!(found.table.models["o"], "odd", "its names answer 503, not 404");
    assert!(decoded(&newer, &["voice"]).unwrap().unserved.is_empty());

    let mut strange = table();
    strange["routes"]["odd"]["targets"]["t"]["provider"] = json!({"telepathy": {}});
    let found = decoded(&strange, &[]).unwrap();
    assert_eq!(found.unserved.keys().collect::<Vec<_>>(), ["odd"]);
}

#[test]
fn a_budget_that_cannot_be_read_takes_its_routes_with_it() {
    let mut strange = table();
    strange["budgets"]["b"]["period"] = json!("Fortnightly");
    strange["routes"]["odd"]["budgets"] = json!([]);
    let found = decoded(&strange, &[]).unwrap();
    assert_eq!(found.unserved.keys().collect::<Vec<_>>(), ["r"]);
    assert!(found.table.routes.contains_key("odd"));
}

#[test]
fn a_newer_form_is_refused_whole() {
    let mut newer = table();
    newer["version"] = json!(VERSION + 1);
    assert_eq!(decoded(&newer, &[]), Err(WireError::Version(VERSION + 1)));
}

#[test]
fn whatever_is_wrong_inside_a_route_stays_inside_it() {
    fn places(value: &Value, here: String, all: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                fields.iter().for_each(|(name, below)| places(below, format!("{here}/{name}"), all))
            }
            Value::Array(items) => {
                items.iter().enumerate().for_each(|(at, below)| places(below, format!("{here}/{at}"), all))
            }
            _ => {}
        }
        all.push(here);
    }
    let mut all = Vec::new();
    places(&table()["routes"]["odd"], "/routes/odd".to_owned(), &mut all);
    let mut refused = 0;
    for place in all {
        for wrong in [json!(null), json!([{"a": 1}]), json!(-1), json!("x")] {
            let mut damaged = table();
            *damaged.pointer_mut(&place).unwrap() = wrong;
            let found = decoded(&damaged, &[]).unwrap();
            assert!(found.table.routes.contains_key("r"), "{place}");
            assert_ne!(found.table.routes.contains_key("odd"), found.unserved.contains_key("odd"), "{place}");
            refused += found.unserved.len();
        }
    }
    assert!(refused > 50, "only {refused}");
}
