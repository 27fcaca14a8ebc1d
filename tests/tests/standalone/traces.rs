//! Spans of requests and attempts, as a collector gets them; trace context through the proxy; a collector that is slow, refuses or is gone.

use http::StatusCode;
use serde_json::{Value, json};
use tollway_tests::collector::Collector;
use tollway_tests::process::{Proxy, free_port};
use tollway_tests::sim::{Config, Exception, Rule, Sim};
use tollway_tests::{http as client, manifests};

use super::setup::{folder, with_aws};

const PRO: &str = "us.amazon.nova-pro-v1:0";
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

async fn proxy(sim: &Sim, endpoint: &str) -> Proxy {
    let manifests =
        format!("{}{}", manifests::bedrock_route("assistant", PRO, ""), manifests::budget("team", "5.00", ""));
    let change = |program| {
        with_aws(sim, program)
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
            .env("OTEL_EXPORTER_OTLP_HEADERS", "Authorization=Basic%20cGs6c2s%3D")
            .env("OTEL_SERVICE_NAME", "shop")
            .env("OTEL_EXPORTER_OTLP_TIMEOUT", "500")
    };
    Proxy::standalone_with(folder(&manifests), change).await
}

fn body(stream: bool) -> Value {
    json!({"model": "assistant", "stream": stream, "messages": [{"role": "user", "content": "secret words"}]})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_and_its_attempts_are_one_trace() {
    let sim = Sim::start(Config::default()).await.expect("a simulator");
    let collector = Collector::start().await;
    let mut proxy = proxy(&sim, &collector.url()).await;
    sim.script(Rule::error(Exception::Throttling).times(1));
    let answer =
        client::try_post(&proxy.chat_url(), &body(false), &[("traceparent", PARENT)]).await.expect("an answer").ok();
    assert!(answer.header("x-tollway-budget-remaining-usd").parse::<f64>().is_ok_and(|left| left > 4.9 && left <= 5.0));
    let mut stream = client::post_stream(&proxy.chat_url(), &body(true)).await.expect("a stream");
    stream.rest().await.expect("a stream that ends well");
    // What is waiting goes out when the proxy stops.
    proxy.process.terminate();
    assert!(proxy.process.exited().await.success());
    let spans = collector.spans(5).await;
    assert_eq!(collector.headers()[0]["authorization"], "Basic cGs6c2s=");
    assert!(!json!(spans).to_string().contains("secret words"));
    assert!(!proxy.process.log().contains("cGs6c2s"));

    let (first, second): (Vec<&Value>, Vec<&Value>) =
        spans.iter().partition(|span| span["trace"] == "4bf92f3577b34da6a3ce929d0e0e4736");
    let server =
        |of: &[&Value]| (*of.iter().find(|span| span["kind"] == "SPAN_KIND_SERVER").expect("a server's span")).clone();
    let attempts = |of: &[&Value]| {
        of.iter().filter(|span| span["kind"] == "SPAN_KIND_CLIENT").map(|s| (*s).clone()).collect::<Vec<_>>()
    };
    let request = server(&first);
    assert_eq!((&request["parent"], &request["name"]), (&json!("00f067aa0ba902b7"), &json!("/v1/chat/completions")));
    assert_eq!(request["resource"]["service.name"], "shop");
    assert_eq!(request["attributes"]["tollway.attempts"], 2);
    assert_eq!(request["attributes"]["http.response.status_code"], 200);
    let tried = attempts(&first);
    assert_eq!(tried.len(), 2);
    assert!(tried.iter().all(|attempt| attempt["parent"] == request["span"]));
    let failed = tried.iter().find(|attempt| attempt["status"] == 2).expect("the throttled one");
    assert_eq!(failed["attributes"]["error.type"], "throttled");
    let good = tried.iter().find(|attempt| attempt["status"] == 0).expect("the good one");
    let said = &good["attributes"];
    assert_eq!((&good["name"], &said["gen_ai.provider.name"]), (&json!(format!("chat {PRO}")), &json!("aws.bedrock")));
    assert_eq!(said["gen_ai.request.model"], PRO);
    assert!(said["gen_ai.usage.input_tokens"].as_u64() > Some(0) && said["tollway.cost_usd"].as_f64() > Some(0.0));

    let streamed = attempts(&second);
    assert!(server(&second)["parent"] == "" && streamed.len() == 1);
    assert!(streamed[0]["attributes"]["gen_ai.response.time_to_first_chunk"].as_f64() > Some(0.0));
    // The target can go on with the trace: it got each attempt's own span.
    let requests = sim.requests();
    let passed: Vec<&str> =
        requests.iter().filter_map(|seen| seen.headers.get("traceparent")).map(String::as_str).collect();
    assert_eq!(passed.len(), 3);
    for attempt in tried.iter().chain(&streamed) {
        let span = attempt["span"].as_str().unwrap_or("?");
        assert!(passed.iter().any(|header| header.contains(span)), "{passed:?} has no {span}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_refuses_gets_the_batch_again() {
    let sim = Sim::start(Config::default()).await.expect("a simulator");
    let collector = Collector::start().await;
    let mut proxy = proxy(&sim, &collector.url()).await;
    collector.refuse(StatusCode::SERVICE_UNAVAILABLE);
    proxy.chat("assistant", "hello").await.ok();
    assert_eq!(collector.spans(2).await.len(), 2);
    proxy.process.terminate();
    assert!(proxy.process.exited().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_collector_requests_are_served_and_context_passes() {
    let sim = Sim::start(Config::default()).await.expect("a simulator");
    let gone = proxy(&sim, &format!("http://127.0.0.1:{}", free_port())).await;
    gone.chat("assistant", "hello").await.ok();
    let untraced = super::setup::proxy(&sim, &manifests::bedrock_route("assistant", PRO, "")).await;
    let headers = [("traceparent", PARENT), ("tracestate", "a=b")];
    client::try_post(&untraced.chat_url(), &body(false), &headers).await.expect("an answer").ok();
    let last = sim.requests().pop().expect("a request");
    assert_eq!(last.headers.get("traceparent").map(String::as_str), Some(PARENT));
    assert_eq!(last.headers.get("tracestate").map(String::as_str), Some("a=b"));
}
