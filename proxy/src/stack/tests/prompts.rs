//! A route's own text before the conversation.

use super::*;
use crate::fixture::{budget, priced};
use tollway_core::table::Prompt;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_bundle_reaches_the_upstream_and_is_counted_in_the_bound() {
    let upstream = Upstream::start(vec![ok()]).await;
    let mut route = assistant(vec![("first", priced(openai(&upstream)))]);
    route.system = Some(Prompt { system: vec!["Be kind.".to_owned()], user: Some("Remember.".to_owned()) });
    let proxy = Running::start(table(route.clone())).await;
    assert_eq!(proxy.ask().await.status, OK);
    let expected = serde_json::json!([
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Remember."},
        {"role": "user", "content": "hi"},
    ]);
    assert_eq!(upstream.seen()[0].body["messages"], expected);

    // Ten dollars at a cent a thousand tokens: the bundle alone would cost more, and nothing is sent.
    route.system = Some(Prompt { system: vec!["x".repeat(1_100_000)], user: None });
    route.budgets = vec!["team".to_owned()];
    if let Some(target) = route.targets.get_mut("first") {
        target.bounds.context_window = 2_000_000;
    }
    let mut table = table(route);
    table.budgets.insert("team".to_owned(), budget(10));
    let proxy = Running::start(table).await;
    let answer = proxy.ask().await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (429, "budget_exceeded"), "{}", answer.text());
    assert_eq!(upstream.requests(), 1);
}
