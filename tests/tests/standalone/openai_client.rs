//! The openai package from PyPI through the proxy to the Bedrock simulator: what it sees when the first target is throttled, refuses,
//! stalls or dies.

use serde_json::Value;
use tollway_tests::process::Proxy;
use tollway_tests::python;
use tollway_tests::sim::{Config, Exception, Outcome, Point, Rule, Sim};

use super::setup::proxy;

const ROUTE: &str = r#"
apiVersion: tollway.dev/v1alpha1
kind: ModelRoute
metadata: {name: assistant}
spec:
  models: [assistant]
  targets:
  - {name: pro, bedrock: {modelId: "us.amazon.nova-pro-v1:0", region: us-east-1}}
  - {name: lite, bedrock: {modelId: "us.amazon.nova-lite-v1:0", region: us-east-1}}
  rules:
  - split: [{target: pro, weight: 1}]
    fallback: [lite]
  timeouts: {firstToken: 2s, idle: 2s}
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
async fn ask(proxy: &Proxy, stream: bool) -> Value {
    let base_url = format!("{}/v1", proxy.url);
    let mut program = python::script("openai_chat.py").args([base_url.as_str(), "assistant", "Is the road open?"]);
    if stream {
        program = program.arg("--stream");
    }
    let output = tokio::task::spawn_blocking(move || program.output()).await.expect("the Python program");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_arrives_whole_plain_and_streamed() {
    let (sim, proxy) = setup().await;
    let plain = ask(&proxy, false).await;
    assert_eq!((&plain["text"], &plain["finish"], &plain["target"]), (&SAID.into(), &"stop".into(), &"pro".into()));
    let bill = sim.bill();
    assert_eq!(plain["usage"][0], bill.models[PRO].input_tokens);
    assert_eq!(plain["usage"][1], bill.models[PRO].output_tokens);
    let cost: tollway_core::spend::Nano = plain["cost"].as_str().unwrap_or_default().parse().expect("a cost");
    assert_eq!(cost.0, bill.nano);
    let streamed = ask(&proxy, true).await;
    assert_eq!((&streamed["text"], &streamed["finish"]), (&SAID.into(), &"stop".into()));
    assert_eq!(streamed["usage"], plain["usage"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_pass_moves_on_to_the_next_target() {
    let (sim, proxy) = setup().await;
    for fault in [
        Rule::error(Exception::Throttling),
        Rule::error(Exception::ModelNotReady),
        Rule::error(Exception::ModelTimeout),
        Rule::error(Exception::ModelError),
        Rule::error(Exception::InternalServer),
        Rule::error(Exception::ServiceUnavailable),
        Rule::status(502, "<html>bad gateway</html>"),
        Rule::cut(Point::Headers),
        Rule::stall(Point::Headers),
    ] {
        for stream in [false, true] {
            let described = format!("{:?}, stream {stream}", fault.fault);
            sim.script(fault.clone().model(PRO).times(1));
            let seen = ask(&proxy, stream).await;
            assert_eq!(seen["text"], SAID, "{described}: {seen}");
            let served = sim
                .requests()
                .into_iter()
                .rev()
                .find(|r| r.outcome == Outcome::Complete)
                .expect("a request that was served");
            assert_eq!(served.model.as_deref(), Some("us.amazon.nova-lite-v1:0"), "{described}");
            sim.clear_script();
            // A fresh proxy for the next fault: circuits would open otherwise, which is another test's matter.
            sim.idle().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_stalls_before_its_first_event_moves_on() {
    let (sim, proxy) = setup().await;
    sim.script(Rule::stall(Point::FirstToken).model(PRO).stream(true).times(1));
    let seen = ask(&proxy, true).await;
    assert_eq!(seen["text"], SAID, "{seen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_will_not_pass_is_told_at_once() {
    for (exception, status, kind) in [
        (Exception::Validation, 400, "BadRequestError"),
        (Exception::AccessDenied, 403, "PermissionDeniedError"),
        (Exception::ResourceNotFound, 404, "NotFoundError"),
    ] {
        let (sim, proxy) = setup().await;
        sim.script(Rule::error(exception).model(PRO).times(1));
        let seen = ask(&proxy, false).await;
        assert_eq!((&seen["error"]["status"], &seen["error"]["kind"]), (&status.into(), &kind.into()), "{seen}");
        assert_eq!(sim.requests().len(), 1, "{exception:?} must not be tried elsewhere");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_dies_says_so_and_is_charged() {
    // The first event carries nothing that a client would see: until the second the next target may still answer.
    for k in 2..6 {
        for fault in [
            Rule::cut(Point::Events(k)),
            Rule::stream_error(Exception::ModelStreamError, k),
            Rule::stall(Point::Events(k)),
        ] {
            let (sim, proxy) = setup().await;
            sim.script(fault.clone().model(PRO).stream(true).times(1));
            let seen = ask(&proxy, true).await;
            assert!(seen["broken"].is_object(), "{fault:?}: {seen}");
            assert!(SAID.starts_with(seen["text"].as_str().unwrap_or("?")), "{fault:?}: {seen}");
            assert_eq!(sim.requests().len(), 1, "{fault:?}: what reached the client cannot be asked for again");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn when_everything_fails_the_last_reason_is_told() {
    let (sim, proxy) = setup().await;
    sim.script(Rule::error(Exception::ServiceUnavailable));
    let seen = ask(&proxy, true).await;
    assert_eq!(seen["error"]["status"], 503, "{seen}");
    assert_eq!(seen["error"]["code"], "upstream_unavailable", "{seen}");
    assert!(sim.requests().len() >= 2);
}
