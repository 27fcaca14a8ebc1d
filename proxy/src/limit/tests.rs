//! What is admitted, what is refused and with which words, and what goes back.

use super::*;
use http::HeaderMap;
use tollway_core::table::LimitScope;

fn limit(per: Per, requests: Option<u32>, tokens: Option<u32>) -> RateLimit {
    RateLimit { per, requests, tokens, window_ms: 60_000, scope: LimitScope::Proxy }
}

fn caller(user: &str) -> Caller {
    Caller { client: Some("shop".to_owned()), user: Some(user.to_owned()) }
}

async fn taken(limits: &Limits, ask: Ask, now: Instant) -> Option<Held> {
    let (held, admitted) = limits.admit(&caller("ann"), ask, now).await;
    admitted.is_ok().then_some(held).flatten()
}

const SMALL: Ask = Ask { input: 10, output: 90, is_stated: true };

fn headers(shown: &Shown) -> Vec<(String, String)> {
    let mut headers = HeaderMap::new();
    shown.write(&mut headers);
    let text = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        (name.as_str().trim_start_matches("x-ratelimit-").to_owned(), value.to_str().unwrap().to_owned())
    };
    let mut all: Vec<_> = headers.iter().map(text).collect();
    all.sort();
    all
}

#[tokio::test]
async fn each_user_has_a_limit_and_the_route_one_for_all() {
    let limits = Limits::new(&[limit(Per::User, Some(2), None), limit(Per::Route, Some(3), None)], None, None);
    let now = Instant::now();
    let ask = async |user: &str, now| limits.admit(&caller(user), SMALL, now).await.1;
    assert!(ask("ann", now).await.is_ok() && ask("ann", now).await.is_ok());
    let refused = ask("ann", now).await.unwrap_err();
    assert_eq!(refused.retry_after, Some(Duration::from_secs(30)));
    assert_eq!(refused.message, "the limit of 2 requests in 1m0s for each user is reached: try again in 30s");
    assert!(ask("bob", now).await.is_ok(), "what was refused took nothing from the route");
    assert_eq!(
        ask("bob", now).await.unwrap_err().message,
        "the limit of 3 requests in 1m0s is reached: try again in 20s"
    );
    assert!(ask("bob", now + Duration::from_secs(20)).await.is_ok());
}

#[tokio::test]
async fn tokens_are_reserved_before_and_corrected_after() {
    let limits = Limits::new(&[limit(Per::Client, None, Some(250))], None, None);
    let now = Instant::now();
    let first = taken(&limits, SMALL, now).await.unwrap();
    let second = taken(&limits, SMALL, now).await.unwrap();
    assert!(taken(&limits, SMALL, now).await.is_none());
    first.settle(20, now);
    second.settle(100, now);
    let third = taken(&limits, SMALL, now).await.unwrap();
    let expected = [("limit-tokens", "250"), ("remaining-tokens", "30"), ("reset-tokens", "52.8s")];
    assert_eq!(headers(&third.shown), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
}

#[tokio::test]
async fn a_request_larger_than_the_limit_is_told_what_would_fit() {
    let limits = Limits::new(&[limit(Per::Route, None, Some(50))], None, None);
    let (held, admitted) = limits.admit(&caller("ann"), SMALL, Instant::now()).await;
    let error = admitted.unwrap_err();
    assert_eq!((error.code, error.retry_after, error.param.as_deref()), (Code::RateLimited, None, Some("max_tokens")));
    assert!(error.message.contains("fewer than 90"), "{}", error.message);
    assert_eq!(headers(&held.unwrap().shown)[1].1, "50");
}

#[tokio::test]
async fn an_answer_of_no_stated_length_takes_what_is_left_and_owes_the_rest() {
    let limits = Limits::new(&[limit(Per::Route, None, Some(300))], None, None);
    let (now, open) = (Instant::now(), Ask { input: 10, output: 4_096, is_stated: false });
    let first = taken(&limits, open, now).await.unwrap();
    assert!(taken(&limits, open, now).await.is_none(), "until it is known, the first one has everything");
    first.settle(100, now);
    let second = taken(&limits, open, now).await.unwrap();
    second.settle(500, now);
    let error = limits.admit(&caller("ann"), open, now).await.1.unwrap_err();
    assert!(error.retry_after.unwrap() > Duration::from_secs(60), "{error}");
}

#[tokio::test]
async fn what_was_counted_survives_a_change_of_the_numbers() {
    let before = Limits::new(&[limit(Per::User, Some(2), None)], None, None);
    let now = Instant::now();
    assert!(taken(&before, SMALL, now).await.is_some() && taken(&before, SMALL, now).await.is_some());
    let after = Limits::new(&[limit(Per::Route, Some(9), None), limit(Per::User, Some(4), None)], Some(&before), None);
    assert!(taken(&after, SMALL, now).await.is_none());
    assert!(after.admit(&caller("bob"), SMALL, now).await.1.is_ok());
}

fn global(per: Per, requests: Option<u32>, tokens: Option<u32>) -> RateLimit {
    RateLimit { scope: LimitScope::Global, ..limit(per, requests, tokens) }
}

#[tokio::test]
async fn a_limit_over_all_proxies_is_kept_here_when_there_is_no_redis() {
    let limits = Limits::new(&[global(Per::Route, Some(2), None), limit(Per::User, Some(9), None)], None, None);
    let now = Instant::now();
    let first = taken(&limits, SMALL, now).await.unwrap();
    assert!(first.is_alone && taken(&limits, SMALL, now).await.is_some());
    let error = limits.admit(&caller("bob"), SMALL, now).await.1.unwrap_err();
    assert_eq!(error.message, "the limit of 2 requests in 1m0s is reached: try again in 30s");
    assert_eq!(headers(&first.shown)[1].1, "1");
}

#[test]
fn a_share_is_never_nothing_and_all_shares_are_never_more_than_the_limit() {
    let requests =
        |limit: u32, sharers| share(&global(Per::Route, Some(limit), Some(limit)), sharers).requests.unwrap();
    assert_eq!([requests(10, 1), requests(10, 3), requests(10, 10), requests(10, 0)], [10, 3, 1, 10]);
    assert_eq!(requests(2, 5), 1, "each proxy admits one, which the documents say");
}
