//! Streams that run, break and are left.

use super::*;
use crate::fixture::{read, stream};
use http_body_util::BodyExt;

fn cut(chunks: &[String], at: usize) -> (Vec<String>, Vec<String>) {
    (chunks[..at].to_vec(), chunks[at..].to_vec())
}

#[tokio::test]
async fn a_stream_passes_through_without_the_usage_nobody_asked_for() {
    let (proxy, upstream) = over_one(vec![Act::Sse(stream(&["one ", "two"]))]).await;
    let answer = proxy.stream().await;
    assert_eq!(answer.said(), "one two");
    assert!(answer.text().ends_with("data: [DONE]\n\n") && !answer.text().contains("usage"));
    assert_eq!(upstream.seen()[0].body["stream_options"]["include_usage"], true);
    let answer = proxy.send(proxy.chat(",\"stream\":true,\"stream_options\":{\"include_usage\":true}")).await;
    assert_eq!(answer.text(), stream(&["one ", "two"]).concat());
}

#[tokio::test]
async fn chunks_reach_the_client_as_they_come() {
    let (first, rest) = cut(&stream(&["one ", "two"]), 1);
    let (proxy, upstream) = over_one(vec![Act::Waits(first.clone(), rest)]).await;
    let mut response = proxy.begin(proxy.chat(",\"stream\":true")).await;
    let chunk = response.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(chunk, first[0]);
    upstream.go_on();
    assert!(read(response).await.text().ends_with("[DONE]\n\n"));
}

#[tokio::test]
async fn a_stream_that_breaks_ends_with_one_error_event_and_no_done_marker() {
    let whole = stream(&["one ", "two"]);
    let ended_early = Act::Sse(whole[..1].to_vec());
    let told = "data: {\"error\":{\"message\":\"the model crashed\"}}\n\n".to_owned();
    let failed_inside = Act::Waits(whole[..1].to_vec(), vec![told]);
    for act in [Act::Dies(whole[..2].to_vec()), ended_early, failed_inside] {
        let (proxy, upstream) = over_two(vec![act.clone()]).await;
        upstream.go_on();
        let answer = proxy.stream().await;
        assert_eq!((answer.status, answer.header("x-tollway-target")), (OK, "first"), "{act:?}");
        let events: Vec<_> = answer.text().split("\n\n").filter(|event| !event.trim().is_empty()).collect();
        assert_eq!(events.iter().filter(|event| event.contains("\"error\"")).count(), 1, "{act:?}: {}", answer.text());
        assert!(events.last().unwrap().contains("\"error\"") && !answer.text().contains("[DONE]"), "{act:?}");
    }
}

#[tokio::test]
async fn a_stream_that_breaks_inside_of_an_event_still_ends_with_a_readable_one() {
    for asked in ["", ",\"stream_options\":{\"include_usage\":true}"] {
        let chunks = vec![stream(&["one"]).remove(0), "data: {\"choices\":[{\"del".to_owned()];
        let (proxy, _upstream) = over_one(vec![Act::Dies(chunks)]).await;
        let answer = proxy.send(proxy.chat(&format!(",\"stream\":true{asked}"))).await;
        for event in answer.text().split("\n\n").filter(|event| !event.trim().is_empty()) {
            let data = event.trim().strip_prefix("data: ").unwrap();
            serde_json::from_str::<serde_json::Value>(data).unwrap();
        }
        assert!(answer.text().contains("\"error\""), "{}", answer.text());
    }
}

#[tokio::test]
async fn silence_in_the_middle_is_filled_and_then_ends_the_stream() {
    let upstream = Upstream::start(vec![Act::Stalls(stream(&["one"])[..1].to_vec())]).await;
    let mut route = assistant(vec![("first", openai(&upstream))]);
    route.timeouts.idle_ms = 200;
    let keep_alive = std::time::Duration::from_millis(10);
    let policy = crate::upstream::Policy::Loopback;
    let options = crate::stack::Options { policy, keep_alive, ..Default::default() };
    let proxy = Running::start_with(Some(table(route)), Default::default(), options).await;
    let answer = proxy.stream().await;
    let (spoken, rest) = answer.text().split_once("\n\n").unwrap();
    assert!(spoken.contains("one") && rest.starts_with(": keep-alive\n\n"), "{}", answer.text());
    assert!(rest.contains("fell silent") && !rest.contains("[DONE]"));
    upstream.abandoned().await;
}

#[tokio::test]
async fn a_complete_answer_whose_upstream_forgets_to_end_or_dies_is_complete() {
    for act in [Act::Stalls(stream(&["one"])), Act::Dies(stream(&["one"]))] {
        let (proxy, _upstream) = over_one(vec![act]).await;
        let answer = proxy.stream().await;
        assert!(answer.text().ends_with("data: [DONE]\n\n") && !answer.text().contains("error"), "{}", answer.text());
    }
}

#[tokio::test]
async fn a_client_that_leaves_cancels_the_upstream() {
    // Before the head, before the first byte and in the middle of the stream.
    for act in [Act::Silent, Act::Stalls(vec![]), Act::Stalls(stream(&["one"])[..1].to_vec())] {
        let (proxy, upstream) = over_one(vec![act.clone()]).await;
        let sending = tokio::spawn({
            let request = proxy.chat(",\"stream\":true");
            let client = proxy.client();
            async move {
                let mut response = client.request(request).await.unwrap();
                response.frame().await.unwrap().unwrap();
                std::future::pending::<()>().await;
            }
        });
        upstream.arrived().await;
        if matches!(&act, Act::Stalls(chunks) if !chunks.is_empty()) {
            proxy.wait_for(|proxy| proxy.first_tokens("first") == 1).await;
        }
        sending.abort();
        upstream.abandoned().await;
    }
}

#[tokio::test]
async fn the_cost_of_a_stream_comes_as_a_trailer_when_asked_for() {
    let proxy = over(vec![("pretend", crate::fixture::priced(simulated("one two")))]).await;
    let mut request = proxy.chat(",\"stream\":true");
    request.headers_mut().insert("te", "trailers".parse().unwrap());
    let answer = proxy.send(request).await;
    let cost = answer.trailers.unwrap()["x-tollway-cost-usd"].to_str().unwrap().to_owned();
    assert!(cost.starts_with("0.0"), "{cost}");
    assert!(proxy.stream().await.trailers.is_none());
}
