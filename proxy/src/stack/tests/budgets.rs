//! Shares of users and what is done at thresholds, as clients meet them, against a real ledger on disk.

use super::*;
use crate::fixture::{budget, priced};
use tollway_core::spend::Nano;
use tollway_core::table::{Budget, Threshold};

/// What one answer here costs: 10 tokens in, 300 out.
const COST: u64 = 6_100_000;

fn answer() -> Act {
    Act::Json(completion("hello").replace("\"completion_tokens\":5", "\"completion_tokens\":300"))
}

async fn bound(budget: Budget, targets: Vec<(&str, Target)>) -> Running {
    let mut route = assistant(targets);
    route.budgets = vec!["team".to_owned()];
    route.retry.attempts = 1;
    let mut table = table(route);
    table.budgets.insert("team".to_owned(), budget);
    Running::start(table).await
}

async fn spent(proxy: &Running, amount: u64) {
    proxy.wait_for(|proxy| proxy.budget().is_some_and(|view| view.spent == Nano(amount))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_who_has_spent_their_share_is_refused_and_nobody_else_is() {
    let upstream = Upstream::start(vec![answer()]).await;
    let share = Budget { per_user: Some(Nano(2 * COST)), ..budget(100) };
    let proxy = bound(share, vec![("first", priced(openai(&upstream)))]).await;
    let ask = |user: &str| proxy.send(proxy.chat(&format!(",\"max_tokens\":400{user}")));
    let (ann, bob, nobody) = (",\"user\":\"ann\"", ",\"user\":\"bob\"", "");
    assert_eq!(ask(ann).await.status, OK);
    // What is left would carry an answer like the first, but not one of the length asked for.
    let refused = ask(ann).await;
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (429, "budget_exceeded"), "{}", refused.text());
    let message = refused.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("user's share of budget \"team\"") && message.contains("0.0061 USD"), "{message}");
    assert_eq!(refused.header("x-should-retry"), "false");
    assert_eq!(ask(bob).await.status, OK);
    assert_eq!(ask(nobody).await.status, OK);
    assert_eq!(ask(nobody).await.code(), "budget_exceeded", "those without a name have one share together");
    assert_eq!(upstream.requests(), 3);
    spent(&proxy, 3 * COST).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_a_threshold_on_the_budget_sets_the_pace() {
    let upstream = Upstream::start(vec![answer()]).await;
    let at = Threshold { percent: 1, downgrade: None, requests_per_minute: Some(2) };
    let proxy = bound(
        Budget { limit: Nano(100 * COST), thresholds: vec![at], ..budget(0) },
        vec![("first", priced(openai(&upstream)))],
    )
    .await;
    let ask = || proxy.send(proxy.chat(",\"max_tokens\":400"));
    assert_eq!(ask().await.status, OK);
    spent(&proxy, COST).await;
    assert_eq!((ask().await.status, ask().await.status), (OK, OK));
    let refused = ask().await;
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (429, "rate_limited"), "{}", refused.text());
    let after: u64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=30).contains(&after) && refused.text().contains("team"), "{after}: {}", refused.text());
    assert_eq!(upstream.requests(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_a_threshold_on_another_target_serves_alone() {
    let upstream = Upstream::start(vec![answer()]).await;
    let at = Threshold { percent: 1, downgrade: Some("lite".to_owned()), requests_per_minute: None };
    let targets = vec![("first", priced(openai(&upstream))), ("lite", priced(simulated("lite")))];
    let proxy = bound(Budget { limit: Nano(100 * COST), thresholds: vec![at], ..budget(0) }, targets).await;
    let ask = || proxy.send(proxy.chat(",\"max_tokens\":400"));
    assert_eq!(ask().await.header("x-tollway-target"), "first");
    spent(&proxy, COST).await;
    let (second, third) = (ask().await, ask().await);
    assert_eq!((second.header("x-tollway-target"), third.header("x-tollway-target")), ("lite", "lite"));
    assert_eq!(upstream.requests(), 1);
}
