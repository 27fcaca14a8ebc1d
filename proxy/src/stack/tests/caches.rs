//! The same request again: who gets the kept answer, and who does not.

use super::*;
use crate::fixture::{budget, priced, stream};
use tollway_core::table::Cache;

async fn caching(acts: Vec<Act>) -> (Running, Upstream) {
    let upstream = Upstream::start(acts).await;
    let mut route = assistant(vec![("first", priced(openai(&upstream)))]);
    route.cache = Some(Cache { ttl_ms: 3_600_000, shared: None });
    route.budgets = vec!["team".to_owned()];
    let mut table = table(route);
    table.budgets.insert("team".to_owned(), budget(100));
    (Running::start(table).await, upstream)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_request_is_answered_once_and_costs_once() {
    let (proxy, upstream) = caching(vec![ok(), Act::Json(completion("another"))]).await;
    let first = proxy.ask().await;
    assert_eq!((first.status, first.header("x-tollway-cache")), (OK, "miss"), "{}", first.text());
    let second = proxy.ask().await;
    assert_eq!((second.header("x-tollway-cache"), second.header("x-tollway-cost-usd")), ("hit", "0"));
    assert_eq!((second.header("x-tollway-target"), second.header("x-tollway-attempts")), ("first", "0"));
    assert_eq!((second.body, upstream.requests()), (first.body, 1));
    let other = proxy.send(proxy.chat(",\"user\":\"ann\"")).await;
    assert_eq!((other.header("x-tollway-cache"), upstream.requests()), ("miss", 2));
    let text = proxy.proxy.metrics.encode(None, &[]).unwrap();
    let count = |result: &str| format!("tollway_cache_requests_total{{result=\"{result}\",route=\"assistant\"}}");
    assert!(text.contains(&format!("{} 1", count("hit"))) && text.contains(&format!("{} 2", count("miss"))), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_is_replayed_as_a_stream_and_a_broken_one_is_not_kept() {
    let chunks = stream(&["one ", "two"]);
    let (proxy, upstream) =
        caching(vec![Act::Dies(chunks[..1].to_vec()), Act::Sse(chunks.clone()), Act::Json(completion("plain"))]).await;
    proxy.stream().await;
    let whole = proxy.stream().await;
    assert_eq!((whole.said().as_str(), whole.header("x-tollway-cache")), ("one two", "miss"));
    let again = proxy.stream().await;
    assert_eq!((again.header("x-tollway-cache"), again.header("content-type")), ("hit", "text/event-stream"));
    assert_eq!((again.body, upstream.requests()), (whole.body, 2));
    assert_eq!(proxy.ask().await.header("x-tollway-cache"), "miss", "a plain request is another one");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_may_refuse_to_be_kept_or_to_get_what_was() {
    let (mut proxy, upstream) = caching(vec![ok()]).await;
    let asked = |proxy: &Running, control: &'static str| {
        let mut request = proxy.chat("");
        request.headers_mut().insert("cache-control", http::HeaderValue::from_static(control));
        request
    };
    for (control, result) in [("no-store", "off"), ("max-age=60", "miss"), ("x, No-Store", "off"), ("no-cache", "miss")]
    {
        let answer = proxy.send(asked(&proxy, control)).await;
        assert_eq!((answer.status, answer.header("x-tollway-cache")), (OK, result), "{control}");
    }
    assert_eq!((proxy.ask().await.header("x-tollway-cache"), upstream.requests()), ("hit", 4));
    // Another route of the same name answers for itself.
    let mut table = proxy.proxy.live.load_full().unwrap().table.clone();
    table.routes.get_mut("assistant").unwrap().defaults.temperature = Some(0.5);
    proxy.swap(table);
    assert_eq!(proxy.ask().await.header("x-tollway-cache"), "miss");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_are_never_kept() {
    let (proxy, upstream) = caching(vec![Act::Status(400, "{}", vec![]), ok()]).await;
    assert_eq!(proxy.ask().await.status.as_u16(), 400);
    assert_eq!((proxy.ask().await.status, upstream.requests()), (OK, 2));
}
