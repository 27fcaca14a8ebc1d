//! A budget at size: fifty proxies, thousands of clients, a hundred budgets, an API server that is away. Prints figures; asserts only what
//! must hold at any speed. `make fleet` runs it.

mod endpoints;
mod streams;
mod tables;

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};
use tollway_tests::cluster::Cluster;
use tollway_tests::http;
use tollway_tests::manifests::{bedrock_route, budget};
use tollway_tests::process::{Operator, Proxy};
use tollway_tests::sim::{Block, Config, Reply, Rule, Sim};
use tollway_tests::wait;

use super::cap::{Outcome, Storm, nanos, status, storm, with_aws};

const PROXIES: usize = 50;
const BUDGETS: usize = 100;

async fn fleet(cluster: &Cluster, operator: &Operator, namespace: &str, count: usize, sim: Option<&Sim>) -> Vec<Proxy> {
    let mut proxies = Vec::new();
    for i in 0..count {
        let pod = cluster.proxy_pod(namespace, &format!("proxy-{i}")).await;
        proxies.push(operator.proxy(&pod, |program| match sim {
            Some(sim) => with_aws(sim, program),
            None => program,
        }));
    }
    for proxy in &mut proxies {
        proxy.ready().await;
    }
    proxies
}

fn body(model: &str, max_tokens: u32) -> Value {
    json!({"model": model, "max_tokens": max_tokens, "messages": [{"role": "user", "content": "Tell me of toll roads."}]})
}

/// Writes of a budget's ledger so far.
fn writes(cluster: &Cluster, operator: &Operator) -> u64 {
    let text = cluster.kubectl(["get", "budgetledgers", "-n", &operator.namespace, "-o", "json"]);
    let list: Value = serde_json::from_str(&text).unwrap_or_default();
    list["items"][0]["metadata"]["generation"].as_u64().unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "make fleet"]
async fn fifty_proxies_and_two_thousand_clients_spend_the_cap() {
    let Outcome { bill, spent, .. } = storm(Storm { dollars: 5, proxies: PROXIES, ..Storm::default() }).await;
    let of_cap = |nano: u64| nano as f64 / 5e7;
    println!(
        "50 proxies, 2,000 clients, nothing killed: {:.2} % of the cap spent, {:.2} % billed",
        of_cap(spent),
        of_cap(bill)
    );
    assert!(spent >= 4_950_000_000, "{spent}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "make fleet"]
async fn fifty_proxies_that_are_killed_and_paused_never_break_the_cap() {
    let Outcome { bill, .. } =
        storm(Storm { dollars: 5, proxies: PROXIES, kills: 24, faults: true, ..Storm::default() }).await;
    println!(
        "50 proxies, 2,000 clients, 24 kills and pauses, dying streams: billed {:.2} % of the cap",
        bill as f64 / 5e7
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "make fleet"]
async fn one_dollar_and_fifty_proxies_and_three_cents_a_request() {
    let cluster = Cluster::shared().await;
    let namespace = cluster.namespace("dear").await;
    let sim = Sim::start(Config::default()).await.expect("a simulator");
    // 9,200 tokens at 3.20 USD a million.
    sim.script(Rule::reply(Reply::blocks(vec![Block::Tokens(9_200)])));
    cluster.apply_text(
        &namespace,
        &format!("{}{}", bedrock_route("nova", "us.amazon.nova-pro-v1:0", ""), budget("team", "1.00", "")),
    );
    let operator = Operator::start(cluster, &namespace).await;
    let proxies = fleet(cluster, &operator, &namespace, PROXIES, Some(&sim)).await;
    let body = body("nova", 9_300);
    // Everybody asks until told that nothing is left.
    let asking = proxies.iter().map(|proxy| {
        let (url, body) = (proxy.chat_url(), &body);
        async move { while !http::post(&url, body).await.text().contains("at most") {} }
    });
    join_all(asking).await;
    let bill = sim.bill().nano;
    println!("1 dollar, 50 proxies, 3-cent requests: {:.1} % spent when all say exhausted", bill as f64 / 1e7);
    assert!((900_000_000..=1_000_000_000).contains(&bill), "{bill}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "make fleet"]
async fn a_steady_load_writes_its_ledger_seldom() {
    let cluster = Cluster::shared().await;
    let namespace = cluster.namespace("steady").await;
    let sim = Sim::start(Config::default()).await.expect("a simulator");
    sim.script(Rule::reply(Reply::blocks(vec![Block::Tokens(50)])));
    cluster.apply_text(
        &namespace,
        &format!("{}{}", bedrock_route("nova", "us.amazon.nova-pro-v1:0", ""), budget("team", "1000.00", "")),
    );
    let operator = Operator::start(cluster, &namespace).await;
    let proxies = fleet(cluster, &operator, &namespace, 10, Some(&sim)).await;
    let body = body("nova", 100);
    let load = async |requests: usize| {
        let asking = proxies.iter().map(|proxy| {
            let (url, body) = (proxy.chat_url(), &body);
            async move {
                for _ in 0..requests {
                    http::post(&url, body).await.ok();
                }
            }
        });
        join_all(asking).await;
    };
    load(200).await;
    let (before, start) = (writes(cluster, &operator), Instant::now());
    load(1_000).await;
    let (written, seconds) = (writes(cluster, &operator) - before, start.elapsed().as_secs_f64());
    println!(
        "steady load, 10 proxies, {:.0} requests a second: {:.2} ledger writes a second",
        1e4 / seconds,
        written as f64 / seconds
    );
    assert!(written < 100, "{written} writes for 10,000 requests");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "make fleet"]
async fn grants_flow_again_after_a_restart() {
    let cluster = Cluster::shared().await;
    let namespace = cluster.namespace("restart").await;
    let manifests: String = (0..BUDGETS)
        .map(|i| {
            format!(
                "---\napiVersion: tollway.dev/v1alpha1\nkind: ModelRoute\nmetadata: {{name: r{i}}}\nspec:\n  models: [m{i}]\n  \
                 targets:\n  - {{name: it, simulated: {{reply: granted}}, price: {{inputPerMillion: \"1\", outputPerMillion: \"1\"}}}}\n  \
                 rules: [{{split: [{{target: it, weight: 1}}]}}]\n{}",
                budget(&format!("b{i}"), "1.00", &format!("targetRefs: [{{kind: ModelRoute, name: r{i}}}]"))
            )
        })
        .collect();
    cluster.apply_text(&namespace, &manifests);
    let mut operator = Operator::start(cluster, &namespace).await;
    let proxies = fleet(cluster, &operator, &namespace, PROXIES, None).await;
    // Each budget is known to one proxy; after the restart another one asks for each.
    let ask = async |shift: usize| {
        let asking = (0..BUDGETS).map(|i| {
            let (url, body) = (proxies[(i + shift) % PROXIES].chat_url(), body(&format!("m{i}"), 100));
            async move {
                wait::until("a grant", async || {
                    http::try_post(&url, &body, &[]).await.is_ok_and(|reply| reply.status.is_success()).then_some(())
                })
                .await;
            }
        });
        join_all(asking).await;
    };
    ask(0).await;
    let start = Instant::now();
    operator.restart().await;
    ask(1).await;
    println!(
        "50 proxies, 100 budgets: every budget granted {:.1} s after kill -9 of the only operator",
        start.elapsed().as_secs_f64()
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "make fleet"]
async fn an_api_server_away_for_a_minute_loses_nothing() {
    let cluster = Cluster::start().await;
    let namespace = cluster.namespace("away").await;
    let sim = Sim::start(Config::default()).await.expect("a simulator");
    sim.script(Rule::reply(Reply::blocks(vec![Block::Tokens(400)])));
    sim.script(Rule::pace(20, 5));
    let routes =
        bedrock_route("nova", "us.amazon.nova-pro-v1:0", "") + &bedrock_route("lite", "us.amazon.nova-lite-v1:0", "");
    let of = |name: &str| format!("targetRefs: [{{kind: ModelRoute, name: {name}}}]");
    cluster.apply_text(
        &namespace,
        &(routes + &budget("team", "1.00", &of("nova")) + &budget("other", "1.00", &of("lite"))),
    );
    let operator = Operator::start(&cluster, &namespace).await;
    let mut proxies = fleet(&cluster, &operator, &namespace, 2, Some(&sim)).await;
    let second = proxies.pop().expect("two proxies");
    let first = proxies.pop().expect("two proxies");
    let streams = join_all((0..4).map(|_| first.chat_stream("nova", "Tell me of toll roads."))).await;
    cluster.pause_api_server();
    let away = Instant::now();
    let waits = http::post(&format!("{}/v1/chat/completions", second.url), &body("lite", 50)).await;
    assert!(matches!(waits.status.as_u16(), 429 | 503), "{} {}", waits.status, waits.text());
    tokio::time::sleep(Duration::from_secs(60).saturating_sub(away.elapsed())).await;
    cluster.resume_api_server();
    let back = Instant::now();
    sim.script(Rule::reply(Reply::blocks(vec![Block::Tokens(5)])));
    wait::until("a grant for who waited", async || {
        let reply = http::post(&second.chat_url(), &body("lite", 50)).await;
        reply.status.is_success().then_some(())
    })
    .await;
    println!(
        "API server away for 60 s: four streams whole, a new grant {:.1} s after it was back",
        back.elapsed().as_secs_f64()
    );
    for mut stream in streams {
        assert_eq!(stream.rest().await.expect("a whole stream").last().map(String::as_str), Some("[DONE]"));
    }
    sim.idle().await;
    let bill = sim.bill().nano;
    wait::until("every nano-dollar in the status", async || {
        let other =
            cluster.kubectl(["get", "costbudget", "other", "-n", &namespace, "-o", "jsonpath={.status.spentUsd}"]);
        let spent = nanos(status(&cluster, &namespace)["spentUsd"].as_str().unwrap_or("0"))
            + other.parse::<tollway_core::spend::Nano>().map_or(0, |n| n.0);
        (spent == bill).then_some(())
    })
    .await;
}
