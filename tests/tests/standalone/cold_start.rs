//! An inference component without a copy behind the proxy; texts that wait for one, go elsewhere or are told when to come again out.

use super::setup::proxy;
use serde_json::json;
use tollway_tests::http;
use tollway_tests::manifests::budget;
use tollway_tests::process::Proxy;
use tollway_tests::sim::{Answers, Config, Embeds, Model, Price, Rule, Sim};
use tollway_tests::wait;

/// Ten dollars a million: a text of ten bytes costs the simulator some micro-dollars.
async fn start(lines: &str) -> (Sim, Proxy) {
    let mut config = Config::default();
    for name in ["cold", "bge"] {
        let answers = if name == "bge" { Answers::OpenAi } else { Answers::Object };
        let embeds = Embeds { answers, dimensions: 8, ..Embeds::default() };
        let price = Price { input: 10_000_000_000, ..Price::default() };
        config.models.insert(name.to_owned(), Model { embeds: Some(embeds), ..Model::priced(price) });
    }
    let sim = Sim::start(config).await.expect("a simulator");
    let manifests = format!(
        "apiVersion: tollway.dev/v1alpha1\nkind: EmbeddingEndpoint\nmetadata: {{name: vectors}}\nspec:\n  model: bge\n  dimensions: 8\n  \
         price: {{inputPerMillion: \"10\"}}\n  sagemaker: {{endpointName: cold, inferenceComponent: bge-copies, region: us-east-1}}\n  {}\n---\n{}",
        lines.replace("SIM", &sim.url()),
        budget("team", "1.00", "")
    );
    let proxy = proxy(&sim, &manifests).await;
    sim.script(Rule::no_capacity().model("cold"));
    (sim, proxy)
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_wait_for_the_first_copy_and_pay_once() {
    let (sim, proxy) = start("batching: {maxItems: 2, maxWait: 1ms}").await;
    let (url, body) =
        (format!("{}/v1/embeddings", proxy.url), json!({"model": "bge", "input": ["one", "two", "three"]}));
    let asking = tokio::spawn(async move { http::post(&url, &body).await });
    // Both batches asked, waited and asked again.
    wait::until("both batches to ask twice", async || (sim.requests().len() >= 4).then_some(())).await;
    assert!(!asking.is_finished());
    assert!(
        sim.requests().iter().all(|seen| seen.headers["x-amzn-sagemaker-inference-component"] == "bge-copies"),
        "{:?}",
        sim.requests()
    );
    assert_eq!(sim.bill().nano, 0);
    let metrics = proxy.metrics().await;
    assert!(metrics.contains("outcome=\"no_capacity\""), "{metrics}");
    sim.clear_script();
    let answer = asking.await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json()["data"].as_array().map(Vec::len), Some(3));
    assert_eq!(sim.bill().models["cold"].requests, 2, "each batch was embedded once");
}

#[tokio::test(flavor = "multi_thread")]
async fn past_the_wait_the_client_is_told_when_to_come_again() {
    let (sim, proxy) = start("coldStart: {maxWait: 0s}").await;
    let url = format!("{}/v1/embeddings", proxy.url);
    let answer = http::post(&url, &json!({"model": "bge", "input": "one"})).await;
    assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, "30"), "{}", answer.text());
    assert!(answer.text().contains("no copy running yet"), "{}", answer.text());
    assert_eq!(sim.requests().len(), 1);
    // Twenty in a row would open the circuit of an endpoint that fails: this one only sleeps.
    for _ in 0..20 {
        assert_eq!(http::post(&url, &json!({"model": "bge", "input": "one"})).await.status, 503);
    }
    sim.clear_script();
    assert_eq!(http::post(&url, &json!({"model": "bge", "input": "one"})).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fallback_serves_meanwhile() {
    let (sim, proxy) = start("fallback: [{openai: {baseUrl: \"SIM/v1\"}}]").await;
    let url = format!("{}/v1/embeddings", proxy.url);
    let answer = http::post(&url, &json!({"model": "bge", "input": "one"})).await;
    assert_eq!((answer.status.as_u16(), answer.header("x-tollway-target")), (200, "fallback-0"), "{}", answer.text());
    assert_eq!(sim.requests().len(), 2, "the copy is asked for, so that it starts");
}
