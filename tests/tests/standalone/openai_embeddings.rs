//! Embeddings of the openai package through the proxy to the Bedrock simulator: Titan, one call a text, and Cohere, many; what they cost;
//! what is asked of the wrong model.

use serde_json::{Value, json};
use tollway_tests::process::Proxy;
use tollway_tests::python;
use tollway_tests::sim::{Config, Exception, Rule, Sim};

use super::setup::proxy;

const ROUTE: &str = r#"
apiVersion: tollway.dev/v1alpha1
kind: ModelRoute
metadata: {name: titan}
spec:
  models: [titan]
  targets:
  - {name: titan, bedrock: {modelId: "amazon.titan-embed-text-v2:0", region: us-east-1}}
  rules:
  - split: [{target: titan, weight: 1}]
---
apiVersion: tollway.dev/v1alpha1
kind: ModelRoute
metadata: {name: cohere}
spec:
  models: [cohere]
  targets:
  - {name: cohere, bedrock: {modelId: "cohere.embed-english-v3", region: us-east-1}}
  rules:
  - split: [{target: cohere, weight: 1}]
---
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

async fn setup() -> (Sim, Proxy) {
    let sim = Sim::start(Config::default()).await.expect("a simulator");
    let proxy = proxy(&sim, ROUTE).await;
    (sim, proxy)
}

/// What a program sees. The simulator runs on this test's runtime, so the program waits on another thread.
async fn run(script: &str, args: &[&str]) -> Value {
    let program = python::script(script).args(args.iter().copied());
    let output = tokio::task::spawn_blocking(move || program.output()).await.expect("the Python program");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

async fn embed(proxy: &Proxy, model: &str, options: &Value, texts: &[&str]) -> Value {
    let (base_url, options) = (format!("{}/v1", proxy.url), options.to_string());
    let args: Vec<&str> =
        [base_url.as_str(), model, options.as_str()].into_iter().chain(texts.iter().copied()).collect();
    run("openai_embeddings.py", &args).await
}

fn cost(seen: &Value) -> u64 {
    let cost: tollway_core::spend::Nano = seen["cost"].as_str().unwrap_or_default().parse().expect("a cost");
    cost.0
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_become_vectors_in_their_order_and_cost_what_they_cost() {
    for (model, calls) in [("titan", 12), ("cohere", 1)] {
        // The package asks for base64 unless it is told otherwise.
        for options in [json!({}), json!({"encoding_format": "float"})] {
            let (sim, proxy) = setup().await;
            let texts: Vec<String> = ('a'..='l').map(|first| format!("{first} text to embed")).collect();
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            let seen = embed(&proxy, model, &options, &texts).await;
            let first: Vec<f64> = (b'a'..=b'l').map(f64::from).collect();
            assert_eq!(seen["first"], json!(first), "{model} {options}: {seen}");
            assert_eq!(seen["indexes"], json!((0..12).collect::<Vec<_>>()));
            let bill = sim.bill();
            let used: u64 = bill.models.values().map(|model| model.input_tokens).sum();
            assert_eq!(seen["tokens"], used);
            assert_eq!(cost(&seen), bill.nano, "{model}");
            assert_eq!(sim.requests().len(), calls, "{model}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dimensions_reach_the_models_that_have_them() {
    let (sim, proxy) = setup().await;
    let seen = embed(&proxy, "titan", &json!({"dimensions": 256}), &["a"]).await;
    assert_eq!(seen["lengths"], json!([256]), "{seen}");
    let seen = embed(&proxy, "cohere", &json!({"dimensions": 256}), &["a"]).await;
    assert_eq!(seen["error"], json!({"status": 400, "code": "unsupported_field", "param": "dimensions"}));
    assert_eq!(sim.requests().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_text_that_fails_fails_all() {
    let (sim, proxy) = setup().await;
    sim.script(Rule::error(Exception::Validation).model("amazon.titan-embed-text-v2:0").times(1));
    let seen = embed(&proxy, "titan", &json!({}), &["a", "b", "c"]).await;
    assert_eq!(seen["error"]["status"], 400, "{seen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_for_something_else_says_so() {
    let (sim, proxy) = setup().await;
    let seen = embed(&proxy, "assistant", &json!({}), &["a"]).await;
    assert_eq!(seen["error"], json!({"status": 400, "code": "invalid_request", "param": "model"}));
    let base_url = format!("{}/v1", proxy.url);
    let seen = run("openai_chat.py", &[&base_url, "titan", "Hello"]).await;
    assert_eq!((&seen["error"]["status"], &seen["error"]["code"]), (&400.into(), &"invalid_request".into()), "{seen}");
    assert!(sim.requests().is_empty());
}
