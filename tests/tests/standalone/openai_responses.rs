//! The responses API of the openai package through the proxy to the Bedrock simulator: plain, streamed, tools in a loop, a stream that
//! dies, and what cannot be kept here.

use serde_json::{Value, json};
use tollway_tests::process::Proxy;
use tollway_tests::python;
use tollway_tests::sim::{Block, Config, Point, Reply, Rule, Sim};

use super::setup::proxy;

const ROUTE: &str = r#"
apiVersion: tollway.dev/v1alpha1
kind: ModelRoute
metadata: {name: assistant}
spec:
  models: [assistant]
  targets:
  - {name: pro, bedrock: {modelId: "us.amazon.nova-pro-v1:0", region: us-east-1}}
  rules:
  - split: [{target: pro, weight: 1}]
---
apiVersion: tollway.dev/v1alpha1
kind: CostBudget
metadata: {name: team}
spec:
  limit: {amount: "5.00", currency: USD}
  period: Monthly
  mode: Enforce
"#;
const PRO: &str = "us.amazon.nova-pro-v1:0";
const SAID: &str = "The toll is paid and the road is open.";

async fn setup() -> (Sim, Proxy) {
    let sim = Sim::start(Config::default()).await.expect("a simulator");
    let proxy = proxy(&sim, ROUTE).await;
    (sim, proxy)
}

/// What an application sees. The simulator runs on this test's runtime, so the program waits on another thread.
async fn ask(proxy: &Proxy, what: &str) -> Value {
    let base_url = format!("{}/v1", proxy.url);
    let program = python::script("openai_responses.py").args([base_url.as_str(), "assistant", what]);
    let output = tokio::task::spawn_blocking(move || program.output()).await.expect("the Python program");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_arrives_whole_plain_and_streamed() {
    let (sim, proxy) = setup().await;
    let plain = ask(&proxy, "plain").await;
    assert_eq!((&plain["text"], &plain["status"]), (&SAID.into(), &"completed".into()), "{plain}");
    assert_eq!(plain["store"], false);
    let bill = sim.bill();
    assert_eq!(plain["usage"], json!([bill.models[PRO].input_tokens, bill.models[PRO].output_tokens]));
    let cost: tollway_core::spend::Nano = plain["cost"].as_str().unwrap_or_default().parse().expect("a cost");
    assert_eq!(cost.0, bill.nano);
    let streamed = ask(&proxy, "stream").await;
    assert_eq!((&streamed["text"], &streamed["whole"]), (&SAID.into(), &SAID.into()), "{streamed}");
    let names = [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ];
    assert_eq!(streamed["events"], json!(names));
    let numbers = streamed["numbers"].as_array().map_or(0, Vec::len);
    assert_eq!(streamed["numbers"], json!((0..numbers).collect::<Vec<_>>()));
}

#[tokio::test(flavor = "multi_thread")]
async fn tools_are_called_in_a_loop() {
    let (sim, proxy) = setup().await;
    let call = Block::ToolUse { id: "t1".to_owned(), name: "get_weather".to_owned(), input: json!({"city": "Graz"}) };
    sim.script(Rule::reply(Reply::blocks([Block::Text("Let me look.".to_owned()), call])).times(1));
    let seen = ask(&proxy, "tools").await;
    assert_eq!((&seen["calls"], &seen["text"]), (&json!([["get_weather", {"city": "Graz"}]]), &SAID.into()), "{seen}");
    assert_eq!(sim.requests().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_dies_says_so_in_an_event_of_its_own() {
    for k in 2..5 {
        let (sim, proxy) = setup().await;
        sim.script(Rule::cut(Point::Events(k)).model(PRO).stream(true).times(1));
        let seen = ask(&proxy, "stream").await;
        assert_eq!(seen["broken"]["code"], "upstream_unavailable", "{seen}");
        assert!(seen["whole"].is_null() && SAID.starts_with(seen["text"].as_str().unwrap_or("?")), "{seen}");
        let numbers = seen["numbers"].as_array().map_or(0, Vec::len);
        assert_eq!(seen["numbers"], json!((0..numbers).collect::<Vec<_>>()), "the error has the next number");
        assert_eq!(sim.requests().len(), 1, "what reached the client cannot be asked for again");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_kept_is_refused_before_anything_is_sent() {
    let (sim, proxy) = setup().await;
    let seen = ask(&proxy, "stored").await;
    let error = &seen["error"];
    assert_eq!((&error["status"], &error["code"]), (&400.into(), &"unsupported_field".into()), "{seen}");
    assert_eq!(error["param"], "previous_response_id");
    assert!(sim.requests().is_empty());
}
