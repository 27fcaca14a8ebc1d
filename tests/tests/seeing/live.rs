//! A Prometheus at real processes: every query of every dashboard has data, every alert reads series that are there, and alerts fire.

use std::collections::BTreeSet;

use serde_json::Value;
use tollway_tests::http;
use tollway_tests::process::workspace;
use tollway_tests::prometheus::Prometheus;
use tollway_tests::wait;

use super::alerts::{RULES, rules, series};
use super::dashboards::{Query, queries};
use super::stage::{NAMESPACE, Stage};

/// A number at least: a share of nothing is none.
fn is_data(series: &[Value]) -> bool {
    let mut values = series.iter().filter_map(|one| one["value"][1].as_str()?.parse::<f64>().ok());
    values.any(|value| !value.is_nan())
}

async fn without_data(prometheus: &Prometheus, queries: &BTreeSet<Query>) -> BTreeSet<Query> {
    let mut without = BTreeSet::new();
    for query in queries {
        if !is_data(&prometheus.query(&query.expression).await) {
            without.insert(query.clone());
        }
    }
    without
}

fn name(alert: &Value) -> String {
    alert["labels"]["alertname"].as_str().unwrap_or_default().to_owned()
}

/// Waits until each of these alerts is in one of the states, and gives what is active then.
async fn active(prometheus: &Prometheus, names: &[&str], states: &[&str]) -> Vec<Value> {
    for wanted in names {
        wait::until(&format!("{wanted} to be {}", states.join(" or ")), async || {
            let alerts = prometheus.alerts().await;
            let found = alerts.iter().find(|alert| name(alert) == *wanted)?;
            states.iter().any(|state| found["state"] == *state).then_some(())
        })
        .await;
    }
    prometheus.alerts().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dashboards_show_what_happens_and_alerts_fire() {
    let mut stage = Stage::set().await;
    let prometheus = Prometheus::start(&stage.scraped(), &workspace().join(RULES)).await;
    let operator = stage.operator.namespace.clone();
    let usual = [("__rate_interval", "2m"), ("__range", "1h"), ("datasource", "it")];
    let chosen = [
        ("namespace", NAMESPACE),
        ("route", "nova"),
        ("budget", "little"),
        ("endpoint", "vectors"),
        ("operator", operator.as_str()),
    ];
    let all = ["namespace", "route", "budget", "endpoint", "operator"].map(|variable| (variable, ".+"));
    let mut open = queries(&[&usual[..], &all].concat());
    // Route and endpoint of one's choice need not have every kind of trouble: no circuit of these ever opened.
    let chosen = queries(&[&usual[..], &chosen].concat());
    open.extend(chosen.into_iter().filter(|query| !query.place.ends_with(", Circuits")));
    assert!(open.len() > 100, "{} queries", open.len());

    let mut rounds = 0;
    loop {
        stage.traffic().await;
        open = without_data(&prometheus, &open).await;
        rounds += 1;
        if open.is_empty() {
            break;
        }
        assert!(rounds < 60, "without data after {rounds} rounds of traffic: {open:#?}");
    }

    let read: BTreeSet<String> =
        rules().values().flat_map(|rule| series(rule["expr"].as_str().unwrap_or_default())).collect();
    for name in read {
        assert!(is_data(&prometheus.query(&name).await), "{RULES} reads {name}, which nothing exposes");
    }

    let fired = active(&prometheus, &["TollwayBudgetExhausted", "TollwayWrongDimensions"], &["firing"]).await;
    let exhausted: Vec<&Value> = fired.iter().filter(|alert| name(alert) == "TollwayBudgetExhausted").collect();
    assert_eq!(exhausted.len(), 1, "{exhausted:?}");
    assert_eq!(exhausted[0]["annotations"]["summary"], "Budget team/little is exhausted");
    assert!(exhausted[0]["annotations"]["runbook"].as_str().is_some_and(|text| text.contains("spec.adjustments")));
    let waiting =
        ["TollwayCircuitOpen", "TollwayProxyNotReady", "TollwayProxiesDisconnected", "TollwayUnauthenticated"];
    let seen = active(&prometheus, &waiting, &["pending", "firing"]).await;
    let healthy = [
        "TollwayOperatorDown",
        "TollwayNoLeader",
        "TollwayProxyDown",
        "TollwayRedisDown",
        "TollwayBudgetFrozen",
        "TollwayGrantsBurned",
    ];
    assert!(!seen.iter().any(|alert| healthy.contains(&name(alert).as_str())), "{seen:?}");

    // A proxy dies with its Pod and what it was granted; then Redis, then the operator.
    stage.proxies[1].process.kill();
    stage.cluster.kubectl(["delete", "pod", "proxy-1", "-n", NAMESPACE, "--force"]);
    active(&prometheus, &["TollwayGrantsBurned"], &["firing"]).await;
    pages_say_the_same(&stage).await;
    stage.redis.process.kill();
    active(&prometheus, &["TollwayProxyDown", "TollwayRedisDown"], &["pending", "firing"]).await;
    stage.operator.process.kill();
    active(&prometheus, &["TollwayOperatorDown"], &["pending", "firing"]).await;
}

/// The operator's status page has every resource and what it did last; a proxy's has its requests.
async fn pages_say_the_same(stage: &Stage) {
    let html = [("accept", "text/html")];
    let url = format!("{}/status", stage.operator.admin);
    let page = http::get_as(&url, &html).await.ok().text();
    for part in [
        "leading",
        "<!doctype html>",
        "/</span>little",
        "/</span>vectors",
        "/</span>broken",
        "Exhausted",
        "GrantBurned",
    ] {
        assert!(page.contains(part), "{part} is not on the operator's page: {page}");
    }
    let json = http::get(&url).await.ok().json();
    let named = |list: &str| json[list].as_array().into_iter().flatten().any(|one| one["namespace"] == NAMESPACE);
    assert!(named("budgets") && named("routes") && named("endpoints"), "{json}");
    assert!(json["problems"].as_array().is_some_and(Vec::is_empty), "{json}");

    let page = http::get_as(&format!("{}/status", stage.proxies[0].admin), &html).await.ok().text();
    let decisions = page.split("Recent decisions").nth(1).unwrap_or_default();
    assert!(decisions.contains("<td>broken<td>works") && decisions.contains("200"), "{page}");
}
