//! What each ending of an attempt costs, against a real ledger on disk.

use super::*;
use crate::fixture::{budget, priced, stream};
use crate::ledger::BudgetView;
use tollway_core::spend::{Long, Nano};

/// A proxy whose one route is bound by a budget of `dollars`.
async fn bound(dollars: u64, targets: Vec<(&str, Target)>) -> Running {
    let mut route = assistant(targets);
    route.budgets = vec!["team".to_owned()];
    route.retry.attempts = 1;
    let mut table = table(route);
    table.budgets.insert("team".to_owned(), budget(dollars));
    Running::start(table).await
}

/// The budget once nothing is in flight.
async fn settled(proxy: &Running, spent: impl Fn(&BudgetView) -> bool) -> BudgetView {
    proxy.wait_for(|proxy| proxy.budget().is_some_and(|view| spent(&view))).await;
    proxy.budget().unwrap()
}

/// Ten tokens in at a cent a thousand.
const INPUT: u64 = 100_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_complete_answer_costs_what_it_used() {
    let upstream = Upstream::start(vec![ok(), Act::Sse(stream(&["one ", "two"]))]).await;
    let proxy = bound(100, vec![("first", priced(openai(&upstream)))]).await;
    let answer = proxy.ask().await;
    assert_eq!((answer.status, answer.header("x-tollway-cost-usd")), (OK, "0.0002"), "{}", answer.text());
    proxy.stream().await;
    let plain = INPUT + 5 * 20_000;
    let streamed = INPUT + 2 * 20_000;
    let view = settled(&proxy, |view| view.spent == Nano(plain + streamed)).await;
    assert_eq!(view.estimated, Nano::ZERO);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn images_that_are_priced_apart_and_long_inputs_are_charged_as_such() {
    let upstream = Upstream::start(vec![ok()]).await;
    let mut target = priced(openai(&upstream));
    if let Some(price) = target.price.as_mut() {
        price.per_image = Nano(3_000_000);
        price.long = Some(Long::new(9, &price.map(|n| n.plus(n))));
    }
    let proxy = bound(100, vec![("first", target)]).await;
    let image = r#"{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}"#;
    let body = format!(r#"{{"model":"assistant","messages":[{{"role":"user","content":[{image},{image}]}}]}}"#);
    let answer = proxy.send(proxy.request("POST", "/v1/chat/completions", body)).await;
    // Ten tokens in are more than nine: they and the five out at twice the price, and two images on top.
    let cost = 2 * (INPUT + 5 * 20_000) + 2 * 3_000_000;
    assert_eq!(answer.header("x-tollway-cost-usd"), Nano(cost).to_string(), "{}", answer.text());
    settled(&proxy, |view| view.spent == Nano(cost)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_never_ran_costs_nothing_and_what_broke_costs_its_bound() {
    for (act, streamed, is_free) in [
        (Act::Status(500, "oops", vec![]), false, true),
        (Act::Status(400, "{}", vec![]), true, true),
        (Act::Closes, false, false),
        (Act::Dies(stream(&["one"])[..1].to_vec()), true, false),
        (Act::Sse(stream(&["one"])[..1].to_vec()), true, false),
        (Act::Json("{\"choices\":[]}".to_owned()), false, false),
    ] {
        let upstream = Upstream::start(vec![act.clone()]).await;
        let proxy = bound(100, vec![("first", priced(openai(&upstream)))]).await;
        if streamed {
            proxy.stream().await
        } else {
            proxy.ask().await
        };
        // The bound: at most 4096 tokens out, and more in than were sent.
        let at_least = Nano(4096 * 20_000);
        let view = settled(&proxy, |view| is_free || view.spent > at_least).await;
        if is_free {
            assert_eq!(view.spent, Nano::ZERO, "{act:?}");
        } else {
            assert_eq!(view.estimated, view.spent, "{act:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_costs_the_bound_or_with_a_drain_the_usage() {
    for drain in [0, 60_000] {
        let chunks = stream(&["one"]);
        let act = Act::Waits(chunks[..1].to_vec(), chunks[1..].to_vec());
        let upstream = Upstream::start(vec![act]).await;
        let mut route = assistant(vec![("first", priced(openai(&upstream)))]);
        route.budgets = vec!["team".to_owned()];
        route.timeouts.drain_on_disconnect_ms = drain;
        let mut table = table(route);
        table.budgets.insert("team".to_owned(), budget(100));
        let proxy = Running::start(table).await;
        let response = proxy.begin(proxy.chat(",\"stream\":true")).await;
        drop(response);
        if drain == 0 {
            upstream.abandoned().await;
        } else {
            upstream.go_on();
        }
        let used = Nano(INPUT + 20_000);
        let view = settled(&proxy, |view| view.spent > Nano::ZERO).await;
        assert_eq!((view.spent == used, view.estimated == Nano::ZERO), (drain > 0, drain > 0), "{drain}: {view:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn usage_above_the_bound_is_charged_whole_and_denies_the_model() {
    let huge = completion("x").replace("\"completion_tokens\":5", "\"completion_tokens\":1000000");
    let upstream = Upstream::start(vec![Act::Json(huge)]).await;
    let proxy = bound(100, vec![("first", priced(openai(&upstream)))]).await;
    assert_eq!(proxy.ask().await.status, OK);
    settled(&proxy, |view| view.spent == Nano(INPUT + 1_000_000 * 20_000)).await;
    let answer = proxy.ask().await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (429, "budget_exceeded"));
    assert_eq!((answer.header("x-should-retry"), upstream.requests()), ("false", 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bound_that_no_grant_carries_is_429_and_nothing_is_sent() {
    let upstream = Upstream::start(vec![ok()]).await;
    let proxy = bound(1, vec![("first", priced(openai(&upstream)))]).await;
    let answer = proxy.send(proxy.chat(",\"max_tokens\":60000")).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (429, "budget_exceeded"), "{}", answer.text());
    assert_eq!((answer.header("x-should-retry"), upstream.requests()), ("false", 0));
    assert!(answer.json()["error"]["message"].as_str().unwrap().contains("fits"), "{}", answer.text());
    assert_eq!(proxy.ask().await.status, OK);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_without_a_price_is_passed_over_where_a_budget_enforces() {
    let upstream = Upstream::start(vec![ok()]).await;
    let proxy = bound(1, vec![("first", openai(&upstream))]).await;
    let answer = proxy.ask().await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (403, "price_unknown"));
    let proxy = bound(1, vec![("first", openai(&upstream)), ("second", priced(simulated("x")))]).await;
    let answer = proxy.ask().await;
    assert_eq!((answer.header("x-tollway-target"), answer.header("x-tollway-attempts")), ("second", "1"));
    assert_eq!(upstream.requests(), 0);
}
