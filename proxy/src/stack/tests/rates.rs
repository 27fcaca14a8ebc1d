//! Limits on rates, as clients meet them.

use super::*;
use crate::fixture::stream;
use tollway_core::table::{LimitScope, Per, RateLimit};

async fn limited(per: Per, requests: Option<u32>, tokens: Option<u32>, acts: Vec<Act>) -> (Running, Upstream) {
    let upstream = Upstream::start(acts).await;
    let mut route = assistant(vec![("first", openai(&upstream))]);
    route.rate_limits = vec![RateLimit { per, requests, tokens, window_ms: 3_600_000, scope: LimitScope::Proxy }];
    route.retry.attempts = 1;
    (Running::start(table(route)).await, upstream)
}

#[tokio::test]
async fn the_request_over_the_limit_is_429_and_says_when_to_come_back() {
    let (proxy, upstream) = limited(Per::User, Some(2), None, vec![ok()]).await;
    let ask = |user: &str| proxy.send(proxy.chat(&format!(",\"user\":\"{user}\"")));
    let first = ask("ann").await;
    assert_eq!((first.status, first.header("x-ratelimit-remaining-requests")), (OK, "1"));
    assert_eq!(ask("ann").await.header("x-ratelimit-limit-requests"), "2");
    let refused = ask("ann").await;
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (429, "rate_limited"), "{}", refused.text());
    assert_eq!(refused.header("x-ratelimit-remaining-requests"), "0");
    let after: u64 = refused.header("retry-after").parse().unwrap();
    assert!((1_790..=1_800).contains(&after), "half of the hour, not {after}");
    assert!(refused.header("x-should-retry").is_empty());
    assert_eq!(ask("bob").await.status, OK);
    assert_eq!(upstream.requests(), 3);
}

#[tokio::test]
async fn what_an_answer_did_not_use_goes_back_plain_streamed_and_failed() {
    // An answer uses 15 tokens; 100 of its own and some for the request are reserved.
    let acts = vec![ok(), Act::Sse(stream(&["one"])), Act::Status(500, "oops", vec![]), ok()];
    let (proxy, _upstream) = limited(Per::Route, None, Some(200), acts).await;
    for streamed in ["", ",\"stream\":true", "", ""] {
        let answer = proxy.send(proxy.chat(&format!(",\"max_tokens\":100{streamed}"))).await;
        assert_ne!(answer.status.as_u16(), 429, "{}", answer.text());
        assert_eq!(answer.header("x-ratelimit-limit-tokens"), "200");
    }
    let answer = proxy.send(proxy.chat(",\"max_tokens\":150")).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (429, "rate_limited"));
}

#[tokio::test]
async fn a_new_table_gives_no_new_rate() {
    let (mut proxy, _upstream) = limited(Per::Route, Some(1), None, vec![ok()]).await;
    assert_eq!(proxy.ask().await.status, OK);
    let mut table = proxy.proxy.live.load_full().unwrap().table.clone();
    table.routes.get_mut("assistant").unwrap().defaults.max_tokens = Some(7);
    proxy.swap(table);
    assert_eq!(proxy.ask().await.code(), "rate_limited");
}
