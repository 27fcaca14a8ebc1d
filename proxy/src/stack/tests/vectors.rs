//! What the endings of a batch of texts cost each request whose texts are in it, against a real ledger on disk.

use super::*;
use crate::fixture::{budget, embedding};
use crate::ledger::BudgetView;
use std::collections::BTreeMap;
use tollway_core::spend::{Nano, Price};
use tollway_core::table::{Budget, Embedding, Table, Threshold};

/// A cent for a thousand tokens.
const TOKEN: u64 = 10_000;
/// What a text of two bytes may come to: a token a byte, and what models add.
const BOUND: u64 = 18 * TOKEN;
/// What it comes to where the endpoint counts.
const COUNTED: u64 = 7 * TOKEN;

fn vectors() -> Act {
    Act::Json(r#"{"data":[{"index":0,"embedding":[1,2]}],"usage":{"prompt_tokens":7}}"#.to_owned())
}

/// A proxy whose one endpoint asks these in turn and is bound by a budget.
async fn bound(budget: Budget, upstreams: &[&Upstream]) -> Running {
    let bases: Vec<String> = upstreams.iter().map(|upstream| format!("http://{}", upstream.address)).collect();
    let mut endpoint = embedding(&bases.iter().map(String::as_str).collect::<Vec<_>>());
    endpoint.price = Price { input: Nano(TOKEN * 1_000_000), ..Price::default() };
    endpoint.budgets = vec!["team".to_owned()];
    endpoint.retry.attempts = 4;
    Running::start(Table {
        namespace: "team".to_owned(),
        models: BTreeMap::from([("bge".to_owned(), Embedding::place("vectors"))]),
        embeddings: BTreeMap::from([("vectors".to_owned(), endpoint)]),
        budgets: BTreeMap::from([("team".to_owned(), budget)]),
        ..Table::default()
    })
    .await
}

async fn embed(proxy: &Running, text: &str) -> crate::fixture::Answer {
    let body = serde_json::json!({"model": "bge", "input": text}).to_string();
    proxy.send(proxy.request("POST", "/v1/embeddings", body)).await
}

/// The budget once so much is spent.
async fn spent(proxy: &Running, nano: u64) -> BudgetView {
    proxy.wait_for(|proxy| proxy.budget().is_some_and(|view| view.spent >= Nano(nano))).await;
    proxy.budget().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_that_nobody_knows_the_end_of_is_paid_beside_the_next() {
    let (first, second) = (Upstream::start(vec![Act::Closes]).await, Upstream::start(vec![vectors()]).await);
    let proxy = bound(budget(1), &[&first, &second]).await;
    let answer = embed(&proxy, "hi").await;
    assert_eq!((answer.status, answer.header("x-tollway-attempts")), (OK, "2"), "{}", answer.text());
    let view = spent(&proxy, BOUND + COUNTED).await;
    assert_eq!((view.spent, view.estimated), (Nano(BOUND + COUNTED), Nano(BOUND)));
    // Each source is charged with its own.
    let text = proxy.proxy.metrics.encode(None, &[]).unwrap();
    for (source, cost) in [("source-0", BOUND), ("source-1", COUNTED)] {
        let cost = cost as f64 / 1e9;
        let line = text.lines().find(|line| line.starts_with("tollway_cost_usd_total{") && line.contains(source));
        let charged: f64 = line.unwrap().rsplit(' ').next().unwrap().parse().unwrap();
        assert!((charged - cost).abs() < 1e-12, "{source}: {charged}, not {cost}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_money_for_both_there_is_no_second_attempt() {
    let (first, second) = (Upstream::start(vec![Act::Closes]).await, Upstream::start(vec![vectors()]).await);
    let proxy = bound(budget(1), &[&first, &second]).await;
    // Six tenths of the budget, and the same again.
    let answer = embed(&proxy, &"x".repeat(60_000)).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (429, "budget_exceeded"), "{}", answer.text());
    assert_eq!((answer.header("x-tollway-attempts"), answer.header("x-tollway-target")), ("1", "source-0"));
    let worst = 60_016 * TOKEN;
    let view = spent(&proxy, worst).await;
    assert_eq!((view.spent, view.estimated), (Nano(worst), Nano(worst)));
    assert_eq!((first.requests(), second.requests()), (1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_lost_attempt_is_paid_and_no_complete_error_is() {
    let acts = vec![Act::Closes, Act::Status(503, "{}", vec![]), Act::Closes, vectors()];
    let upstream = Upstream::start(acts).await;
    let proxy = bound(budget(1), &[&upstream, &upstream, &upstream, &upstream]).await;
    let answer = embed(&proxy, "hi").await;
    assert_eq!((answer.status, answer.header("x-tollway-attempts")), (OK, "4"), "{}", answer.text());
    let view = spent(&proxy, 2 * BOUND + COUNTED).await;
    assert_eq!((view.spent, view.estimated), (Nano(2 * BOUND + COUNTED), Nano(2 * BOUND)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_attempt_is_no_second_request_to_the_pace_of_a_budget() {
    let acts = vec![vectors(), Act::Closes, vectors()];
    let upstream = Upstream::start(acts).await;
    let at = Threshold { percent: 1, downgrade: None, requests_per_minute: Some(2) };
    let limit = Nano(100 * COUNTED);
    let proxy = bound(Budget { limit, thresholds: vec![at], ..budget(0) }, &[&upstream, &upstream]).await;
    assert_eq!(embed(&proxy, "hi").await.status, OK);
    spent(&proxy, COUNTED).await;
    let (twice, once) = (embed(&proxy, "hi").await, embed(&proxy, "hi").await);
    assert_eq!((twice.status, once.status), (OK, OK), "{} {}", twice.text(), once.text());
    assert_eq!(twice.header("x-tollway-attempts"), "2");
    let refused = embed(&proxy, "hi").await;
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (429, "rate_limited"), "{}", refused.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_leaves_after_a_lost_attempt_pays_once() {
    let (first, second) = (Upstream::start(vec![Act::Silent]).await, Upstream::start(vec![vectors()]).await);
    let proxy = bound(budget(1), &[&first, &second]).await;
    let body = serde_json::json!({"model": "bge", "input": "hi"}).to_string();
    let asking = tokio::spawn(proxy.client().request(proxy.request("POST", "/v1/embeddings", body)));
    first.arrived().await;
    asking.abort();
    first.abandoned().await;
    let view = spent(&proxy, BOUND).await;
    assert_eq!((view.spent, view.estimated, second.requests()), (Nano(BOUND), Nano(BOUND), 0));
}
