//! What is counted is exposed, what is gone disappears, and series stay bounded whatever the resources are.

use super::*;
use std::time::Duration;
use tollway_core::spend::{Nano, Usage};
use tollway_core::table::{Bounds, Provider, Simulated};

fn target() -> Target {
    let simulated = Simulated { reply: String::new(), first_token_ms: 0, tokens_per_second: 0, fail_every: 0 };
    let bounds = Bounds {
        context_window: 1,
        tokens_per_kilobyte: None,
        per_request: 0,
        per_message: 0,
        per_tool: 0,
        per_image: 0,
    };
    Target { provider: Provider::Simulated(simulated), price: None, bounds, max_concurrent: None }
}

fn text(metrics: &Metrics, serving: Option<&Serving>) -> String {
    metrics.encode(serving, &[]).unwrap()
}

fn series(text: &str) -> usize {
    let own = |line: &&str| line.starts_with("tollway_") || line.starts_with("gen_ai_");
    text.lines().filter(own).count()
}

fn traffic(metrics: &Metrics, route: &str, name: &str) {
    let meter = metrics.target(route, name, &target());
    meter.attempt(Attempt::Ok, Duration::from_millis(120));
    meter.first_token(Duration::from_millis(20));
    meter.usage(&Usage { input: 3, output: 5, ..Usage::default() });
    meter.cost(Nano(1_500_000_000), true);
    meter.circuit(Circuit::Open);
    metrics.route(route).request(Outcome::Ok);
}

#[test]
fn traffic_is_exposed() {
    let metrics = Metrics::new().unwrap();
    traffic(&metrics, "chat", "pretend");
    let text = text(&metrics, None);
    for line in [
        r#"tollway_requests_total{outcome="ok",route="chat"} 1"#,
        r#"tollway_attempts_total{outcome="ok",route="chat",target="pretend"} 1"#,
        r#"tollway_tokens_total{kind="output",route="chat",target="pretend"} 5"#,
        r#"tollway_cost_usd_total{route="chat",target="pretend"} 1.5"#,
        r#"tollway_estimated_usd_total{route="chat",target="pretend"} 1.5"#,
        r#"tollway_circuit_state{route="chat",target="pretend"} 2"#,
        "tollway_ready 0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is missing from\n{text}");
    }
    assert!(text.contains("gen_ai_client_operation_duration_seconds_count{"), "{text}");
}

#[test]
fn series_are_bounded_and_totals_stay_right() {
    let metrics = Metrics::new().unwrap();
    for number in 0..500 {
        traffic(&metrics, &format!("route-{number}"), "pretend");
    }
    let text = text(&metrics, None);
    assert!(series(&text) <= MOST_SERIES, "{} series", series(&text));
    let counted = text.lines().filter(|line| line.starts_with("tollway_requests_total"));
    let total: u64 = counted.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum();
    assert_eq!(total, 500);
}

#[test]
fn what_is_gone_leaves_room_for_what_comes() {
    let metrics = Metrics::new().unwrap();
    let none = Serving::default();
    let empty = series(&text(&metrics, Some(&none)));
    for number in 0..500 {
        traffic(&metrics, &format!("route-{number}"), "pretend");
        let text = text(&metrics, None);
        assert!(text.contains(&format!("route-{number}\"")), "route-{number} is counted as other");
        assert_eq!(series(&self::text(&metrics, Some(&none))), empty);
    }
}

#[test]
fn observations_are_cumulative_and_only_of_targets_with_traffic() {
    let metrics = Metrics::new().unwrap();
    metrics.target("chat", "idle", &target());
    traffic(&metrics, "chat", "pretend");
    traffic(&metrics, "chat", "pretend");
    let seen = metrics.observations();
    assert_eq!(seen.len(), 1);
    let one = &seen[0];
    assert_eq!((one.requests, one.errors, one.cost, one.circuit.as_str()), (2, 0, 3_000_000_000, "Open"));
    assert_eq!(one.latency_buckets.iter().sum::<u64>(), 2);
}
