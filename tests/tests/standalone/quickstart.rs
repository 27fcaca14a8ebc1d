//! examples/quickstart as its README tells it: routing, fallback, streaming and the cap, with nothing but the proxy.

use tollway_tests::process::{Program, Proxy};

#[tokio::test]
async fn a_newcomer_sees_routing_fallback_streaming_and_the_cap() {
    let proxy = Proxy::standalone("examples/quickstart").await;
    let first = proxy.chat("assistant", "Hello").await.ok();
    assert!(!first.header("x-tollway-target").is_empty());
    assert!(first.header("x-tollway-cost-usd").starts_with("0."), "{}", first.header("x-tollway-cost-usd"));

    let mut targets = std::collections::BTreeSet::new();
    let mut last = first;
    for _ in 0..10_000 {
        last = proxy.chat("assistant", "Hello").await;
        if !last.status.is_success() {
            break;
        }
        targets.insert(last.header("x-tollway-target").to_owned());
    }
    assert_eq!(targets.len(), 2, "the fallback never served: {targets:?}");
    assert_eq!((last.status.as_u16(), last.json()["error"]["code"].as_str()), (429, Some("budget_exceeded")));
    assert_eq!(last.header("x-should-retry"), "false");

    let status = Program::proxy().args(["status", "--admin", proxy.admin.trim_start_matches("http://")]).output();
    let text = String::from_utf8_lossy(&status.stdout);
    assert!(status.status.success() && text.contains("assistant"), "{text}{}", String::from_utf8_lossy(&status.stderr));
}

#[tokio::test]
async fn a_stream_comes_in_parts_and_ends_with_done() {
    let proxy = Proxy::standalone("examples/quickstart").await;
    let events = proxy.chat_stream("assistant", "Hello").await.rest().await.expect("a stream that ends cleanly");
    assert!(events.len() > 3, "{events:?}");
    assert_eq!(events.last().map(String::as_str), Some("[DONE]"));
}
