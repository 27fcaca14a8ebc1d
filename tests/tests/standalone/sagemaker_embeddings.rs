//! Embedding endpoints through the proxy: the openai package and boto3 in, the SageMaker simulator behind; what is sent, shared, kept,
//! repeated and paid out.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tollway_tests::http;
use tollway_tests::manifests::budget;
use tollway_tests::process::Proxy;
use tollway_tests::python;
use tollway_tests::sim::{Answers, Config, Corruption, Embeds, Exception, Model, Point, Price, Rule, Sim, vector};
use tollway_tests::wait;

use super::setup::proxy;

const DIMENSIONS: usize = 8;

/// An endpoint `bge`, with further lines of its spec, beside a budget of one dollar for everything.
fn manifests(lines: &str) -> String {
    format!(
        r#"
apiVersion: tollway.dev/v1alpha1
kind: EmbeddingEndpoint
metadata: {{name: vectors}}
spec:
  model: bge
  dimensions: {DIMENSIONS}
  {}
{}"#,
        lines.trim().replace('\n', "\n  "),
        budget("team", "1.00", "")
    )
}

fn container(answers: Answers) -> Model {
    let embeds = Embeds { answers, dimensions: DIMENSIONS, ..Embeds::default() };
    Model { embeds: Some(embeds), ..Model::priced(Price { input: 100_000_000_000, ..Price::default() }) }
}

/// A simulator with an endpoint in every form, and a server of the same model.
async fn start(lines: &str) -> (Sim, Proxy) {
    start_as(lines, |manifests| manifests).await
}

/// The same with other manifests than usual.
async fn start_as(lines: &str, change: impl Fn(String) -> String) -> (Sim, Proxy) {
    let forms = [
        ("object", Answers::Object),
        ("bare", Answers::Bare),
        ("tokens", Answers::Tokens),
        ("data", Answers::OpenAi),
        ("bge", Answers::OpenAi),
    ];
    let mut config = Config::default();
    config.models.extend(forms.map(|(name, answers)| (name.to_owned(), container(answers))));
    let sim = Sim::start(config).await.expect("a simulator");
    let proxy = proxy(&sim, &change(manifests(&lines.replace("SIM", &sim.url())))).await;
    (sim, proxy)
}

async fn run(script: &str, args: &[&str]) -> Value {
    let program = python::script(script).args(args.iter().copied());
    let output = tokio::task::spawn_blocking(move || program.output()).await.expect("the Python program");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

async fn openai(proxy: &Proxy, options: &Value, texts: &[&str]) -> Value {
    let (base_url, options) = (format!("{}/v1", proxy.url), options.to_string());
    let args: Vec<&str> =
        [base_url.as_str(), "bge", options.as_str()].into_iter().chain(texts.iter().copied()).collect();
    run("openai_embeddings.py", &args).await
}

fn numbers(value: &Value) -> Vec<f32> {
    value.as_array().into_iter().flatten().filter_map(Value::as_f64).map(|number| number as f32).collect()
}

#[track_caller]
fn assert_embeds(seen: &Value, texts: &[&str]) {
    let vectors: Vec<Vec<f32>> =
        seen["vectors"].as_array().unwrap_or_else(|| panic!("{seen}")).iter().map(numbers).collect();
    let expected: Vec<Vec<f32>> = texts.iter().map(|text| vector(text, DIMENSIONS)).collect();
    let near = |a: &[f32], b: &[f32]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-6);
    assert!(vectors.len() == expected.len() && vectors.iter().zip(&expected).all(|(a, b)| near(a, b)), "{seen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_openai_package_gets_vectors_of_every_form_of_container() {
    let texts = ["one", "two", "three"];
    for lines in [
        "sagemaker: {endpointName: object, region: us-east-1}",
        "sagemaker: {endpointName: bare, region: us-east-1, payload: TEI}",
        "sagemaker: {endpointName: data, region: us-east-1, payload: OpenAI}",
        "sagemaker: {endpointName: tokens, region: us-east-1}\npooling: Mean\nnormalize: true",
    ] {
        let (sim, proxy) = start(lines).await;
        for options in [json!({}), json!({"encoding_format": "float"})] {
            let seen = openai(&proxy, &options, &texts).await;
            assert_embeds(&seen, &texts);
            assert_eq!(seen["indexes"], json!([0, 1, 2]), "{lines}");
        }
        assert_eq!(sim.requests().len(), 2, "{lines}: one batch a request");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn boto3_invokes_the_endpoint_by_its_own_name_and_in_its_own_words() {
    for (name, payload, body, at) in [
        ("object", "Inputs", json!({"inputs": ["one", "two"]}), "/embeddings"),
        ("bare", "TEI", json!({"inputs": ["one", "two"]}), ""),
    ] {
        let (sim, proxy) =
            start(&format!("sagemaker: {{endpointName: {name}, region: us-east-1, payload: {payload}}}")).await;
        let seen = run("sagemaker_embeddings.py", &[&proxy.url, name, &body.to_string()]).await;
        let vectors = seen["answer"].pointer(at).cloned().unwrap_or_default();
        assert_embeds(&json!({ "vectors": vectors }), &["one", "two"]);
        assert_eq!(seen["variant"], "AllTraffic");
        assert_eq!(
            sim.requests()[0].client.as_deref(),
            Some("AKIASIMULATED0000001"),
            "signed by the proxy, not by the client"
        );
        let seen = run("sagemaker_embeddings.py", &[&proxy.url, name, &json!({"text": "one"}).to_string()]).await;
        assert_eq!(
            (&seen["error"]["status"], &seen["error"]["code"]),
            (&400.into(), &"ValidationError".into()),
            "{seen}"
        );
        let seen = run("sagemaker_embeddings.py", &[&proxy.url, "other", &body.to_string()]).await;
        assert_eq!(seen["error"]["code"], "ValidationError", "{seen}");
    }
}

const CACHED: &str =
    "sagemaker: {endpointName: object, region: us-east-1}\ncache: {ttl: 1h}\nprice: {inputPerMillion: \"100\"}";

#[tokio::test(flavor = "multi_thread")]
async fn only_texts_that_are_not_at_hand_are_sent_and_paid() {
    let (sim, proxy) = start(CACHED).await;
    let known: Vec<String> = (0..30).map(|at| format!("text {at}")).collect();
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    let seen = openai(&proxy, &json!({}), &known).await;
    assert_eq!(seen["cache"], "miss", "{seen}");
    let both: Vec<&str> = ["new 1"].into_iter().chain(known.iter().copied()).chain(["new 2", "new 1"]).collect();
    let seen = openai(&proxy, &json!({}), &both).await;
    assert_embeds(&seen, &both);
    assert_eq!(seen["cache"], "partial");
    assert_eq!(sim.requests()[1].json(), json!({"inputs": ["new 1", "new 2"]}));
    let seen = openai(&proxy, &json!({"encoding_format": "float"}), &both).await;
    assert_embeds(&seen, &both);
    assert_eq!((&seen["cache"], &seen["cost"]), (&"hit".into(), &"0.00".into()));
    assert_eq!(sim.requests().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exhausted_budget_denies_new_texts_and_not_those_at_hand() {
    let (sim, proxy) = start(CACHED).await;
    assert_embeds(&openai(&proxy, &json!({}), &["kept"]).await, &["kept"]);
    // Ten thousand bytes are a dollar at most, and the container counts no tokens.
    let long = "x".repeat(4_000);
    for number in 0..3 {
        openai(&proxy, &json!({}), &[&format!("{number}{long}")]).await;
    }
    let seen = openai(&proxy, &json!({}), &[&format!("last{long}")]).await;
    assert_eq!((&seen["error"]["status"], &seen["error"]["code"]), (&429.into(), &"budget_exceeded".into()), "{seen}");
    let asked = sim.requests().len();
    assert_embeds(&openai(&proxy, &json!({}), &["kept"]).await, &["kept"]);
    assert_eq!(sim.requests().len(), asked);
    // What the endpoint would have charged is never above what the budget was charged.
    assert!(sim.bill().nano <= 1_000_000_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_that_is_nearly_spent_slows_new_texts_down_and_not_those_at_hand() {
    let slow = "mode: Enforce\n  thresholds: [{percent: 10, actions: [{rateLimit: {requestsPerMinute: 2}}]}]";
    let (_sim, proxy) = start_as(CACHED, |manifests| manifests.replace("mode: Enforce", slow)).await;
    let url = format!("{}/v1/embeddings", proxy.url);
    http::post(&url, &json!({"model": "bge", "input": "kept"})).await.ok();
    // A tenth of a dollar and more.
    http::post(&url, &json!({"model": "bge", "input": "x".repeat(1_500)})).await.ok();
    let mut asked = 0;
    let refused = wait::until("the slower pace", async || {
        asked += 1;
        let answer = http::post(&url, &json!({"model": "bge", "input": format!("number {asked}")})).await;
        (!answer.status.is_success()).then_some(answer)
    })
    .await;
    assert_eq!(refused.status.as_u16(), 429, "{}", refused.text());
    let text = refused.text();
    assert!(text.contains("rate_limited") && text.contains("team") && text.contains("2 requests a minute"), "{text}");
    assert!((1..=30).contains(&refused.header("retry-after").parse::<u64>().expect("seconds")));
    http::post(&url, &json!({"model": "bge", "input": "kept"})).await.ok();
}

const SHARED: &str = "sagemaker: {endpointName: data, region: us-east-1, payload: OpenAI}\nbatching: {maxItems: 16, maxWait: 5s}\nprice: {inputPerMillion: \"100\"}";

#[tokio::test(flavor = "multi_thread")]
async fn requests_share_a_batch_and_each_pays_its_share() {
    let (sim, proxy) = start(SHARED).await;
    let asking = (0..16).map(|at| {
        let url = format!("{}/v1/embeddings", proxy.url);
        let body = json!({"model": "bge", "input": format!("a text of its own, the number {at} of many")});
        async move { http::post(&url, &body).await }
    });
    let answers = futures_util::future::join_all(asking).await;
    let mut paid = 0;
    for (at, answer) in answers.iter().enumerate() {
        let seen = json!({"vectors": [answer.json()["data"][0]["embedding"]]});
        assert_embeds(&seen, &[&format!("a text of its own, the number {at} of many")]);
        let cost: tollway_core::spend::Nano = answer.header("x-tollway-cost-usd").parse().expect("a cost");
        paid += cost.0;
    }
    assert_eq!(sim.requests().len(), 1, "one call for all");
    let bill = sim.bill().nano;
    assert!(paid >= bill && paid <= bill + 16 * 100_000, "{paid} for {bill}: a token more each at most");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_that_the_container_refuses_fails_its_own_request_only() {
    // Cheap enough that the budget holds all of them at once.
    let (sim, proxy) = start(&SHARED.replace("\"100\"", "\"1\"")).await;
    let texts: Vec<String> = (0..16).map(|at| if at == 5 { "x".repeat(5_000) } else { format!("text {at}") }).collect();
    let asking = texts.iter().map(|text| {
        let (url, body) = (format!("{}/v1/embeddings", proxy.url), json!({"model": "bge", "input": text}));
        async move { http::post(&url, &body).await }
    });
    let answers = futures_util::future::join_all(asking).await;
    let failed: Vec<usize> =
        answers.iter().enumerate().filter(|(_, a)| !a.status.is_success()).map(|(at, _)| at).collect();
    assert_eq!(failed, [5]);
    let error = answers[5].json();
    assert_eq!(
        (answers[5].status.as_u16(), error["error"]["code"].as_str()),
        (400, Some("invalid_request")),
        "{error}"
    );
    assert!(error["error"]["message"].as_str().is_some_and(|words| words.contains("less than 4096 bytes")), "{error}");
    assert!(sim.requests().len() <= 1 + 2 * 4, "halved, not tried one by one: {}", sim.requests().len());
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_batch_that_fails_is_sent_again() {
    let (sim, proxy) = start("sagemaker: {endpointName: object, region: us-east-1}\nbatching: {maxItems: 4}").await;
    let texts: Vec<String> = (0..12).map(|at| format!("text {at}")).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    for rule in [
        Rule::error(Exception::Throttling),
        Rule::error(Exception::ModelError),
        Rule::error(Exception::InternalServer),
        Rule::status(502, "<html>"),
        Rule::cut(Point::Headers),
        Rule::cut(Point::Body),
    ] {
        let before = sim.requests().len();
        sim.script(rule.times(1));
        assert_embeds(&openai(&proxy, &json!({}), &texts).await, &texts);
        assert_eq!(sim.requests().len() - before, 4, "three batches, one of them twice");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn vectors_of_another_size_are_never_passed_on() {
    let (sim, proxy) =
        start("sagemaker: {endpointName: object, region: us-east-1}\nfallback: [{openai: {baseUrl: \"SIM/v1\"}}]")
            .await;
    sim.script(Rule::corrupt(Corruption::Dimensions, 0).model("object"));
    assert_embeds(&openai(&proxy, &json!({}), &["one"]).await, &["one"]);
    sim.script(Rule::corrupt(Corruption::Dimensions, 0).model("bge"));
    let seen = http::post(&format!("{}/v1/embeddings", proxy.url), &json!({"model": "bge", "input": "two"})).await;
    let words = seen.json()["error"]["message"].as_str().unwrap_or_default().to_owned();
    assert!(seen.status.as_u16() == 502 && words.contains("9 dimensions") && words.contains("expects 8"), "{words}");
    let metrics = http::get(&format!("{}/metrics", proxy.admin)).await;
    let counted = |line: &&str| line.starts_with("tollway_embedding_texts_total") && line.contains("wrong_dimensions");
    assert!(metrics.text().lines().any(|line| counted(&line)), "{}", metrics.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_texts_come_back_line_by_line_in_order() {
    let (sim, proxy) = start("sagemaker: {endpointName: object, region: us-east-1}\nbatching: {maxItems: 64}").await;
    let texts: Vec<String> = (0..5_000).map(|at| format!("text {at}")).collect();
    let body = json!({"model": "bge", "input": texts});
    let accept = [("accept", "application/x-ndjson")];
    let answer = http::try_post(&format!("{}/v1/embeddings", proxy.url), &body, &accept).await.expect("an answer");
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "application/x-ndjson"));
    let lines: Vec<Value> =
        answer.text().lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
    assert_eq!(lines.len(), 5_001);
    for (at, line) in lines.iter().take(5_000).enumerate() {
        assert_eq!(line["index"], at);
        assert_embeds(&json!({"vectors": [line["embedding"]]}), &[&format!("text {at}")]);
    }
    assert!(lines[5_000]["usage"]["prompt_tokens"].as_u64().is_some_and(|tokens| tokens > 0), "{}", lines[5_000]);
    let sent: BTreeSet<u64> = sim.requests().iter().map(|seen| seen.id).collect();
    assert_eq!(sent.len(), 5_000_usize.div_ceil(64));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_done_is_said() {
    let (sim, proxy) = start("sagemaker: {endpointName: object, region: us-east-1}").await;
    for (body, param) in [
        (json!({"model": "bge", "input": [[1, 2]]}), "input[0]"),
        (json!({"model": "bge", "input": "a", "dimensions": 256}), "dimensions"),
        (json!({"model": "bge", "input": "a", "input_type": "query"}), "input_type"),
        (json!({"model": "bge", "input": []}), "input"),
    ] {
        let answer = http::post(&format!("{}/v1/embeddings", proxy.url), &body).await;
        assert_eq!(
            (answer.status.as_u16(), answer.json()["error"]["param"].as_str()),
            (400, Some(param)),
            "{}",
            answer.text()
        );
    }
    let chat = json!({"model": "bge", "messages": [{"role": "user", "content": "hi"}]});
    let answer = http::post(&format!("{}/v1/chat/completions", proxy.url), &chat).await;
    assert_eq!(
        (answer.status.as_u16(), answer.json()["error"]["param"].as_str()),
        (400, Some("model")),
        "{}",
        answer.text()
    );
    let models = http::get(&format!("{}/v1/models", proxy.url)).await;
    assert!(models.text().contains("\"bge\""), "{}", models.text());
    assert!(sim.requests().is_empty());
}
