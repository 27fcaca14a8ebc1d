//! A real sentence embedding model behind the proxy, LangChain before it: the vectors are those that the model gives without a proxy.

use serde_json::{Value, json};
use tollway_tests::process::{Process, Proxy, free_port};
use tollway_tests::{http, python, wait};

use super::setup::folder;

const TEXTS: [&str; 4] = [
    "A cat sleeps on the sofa.",
    "A kitten naps on the couch.",
    "The central bank raised its rates.",
    "Grüße aus Köln 🦀",
];

async fn model() -> (Process, String) {
    let port = free_port();
    let url = format!("http://127.0.0.1:{port}");
    let server = python::script("minilm_server.py").arg(port.to_string()).start();
    wait::until("the model to be loaded", async || http::try_get(&url).await.is_ok().then_some(())).await;
    (server, url)
}

/// A proxy whose endpoint is the model's, `lines` added to its spec.
async fn proxy(model: &str, endpoint: &str, lines: &str) -> Proxy {
    let manifest = format!(
        "apiVersion: tollway.dev/v1alpha1\nkind: EmbeddingEndpoint\nmetadata: {{name: minilm}}\nspec:\n  model: minilm\n  \
         dimensions: 384\n  sagemaker: {{endpointName: {endpoint}, region: us-east-1, payload: TEI}}\n{lines}"
    );
    Proxy::standalone_with(folder(&manifest), |program| {
        program
            .env("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME", model)
            .env("AWS_ACCESS_KEY_ID", "AKIASIMULATED0000001")
            .env("AWS_SECRET_ACCESS_KEY", "simulated/secret/access/key/number+00001")
    })
    .await
}

async fn langchain(proxy: &Proxy) -> Value {
    let program = python::script("langchain_embeddings.py").args([&format!("{}/v1", proxy.url), "minilm"]).args(TEXTS);
    let output = tokio::task::spawn_blocking(move || program.output()).await.expect("the Python program");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("the script prints JSON")
}

fn vectors(value: &Value) -> Vec<Vec<f64>> {
    let numbers = |vector: &Value| vector.as_array().into_iter().flatten().filter_map(Value::as_f64).collect();
    value.as_array().into_iter().flatten().map(numbers).collect()
}

fn cosine(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn vectors_through_the_proxy_are_those_without_it() {
    let (_server, url) = model().await;
    let direct =
        http::post(&format!("{url}/endpoints/minilm/invocations"), &json!({"inputs": TEXTS})).await.ok().json();
    let direct = vectors(&direct);
    assert!(
        cosine(&direct[0], &direct[1]) > 0.5 && cosine(&direct[0], &direct[2]) < 0.2,
        "the model knows what a cat is"
    );
    let pooled = proxy(&url, "minilm", "").await;
    // The container answers each token's vector; the proxy makes of them what the model's own pooling does.
    let tokens = proxy(&url, "tokens", "  pooling: Mean\n  normalize: true\n").await;
    for proxy in [pooled, tokens] {
        let seen = langchain(&proxy).await;
        let through = vectors(&seen["vectors"]);
        assert_eq!(through.len(), TEXTS.len());
        for (through, direct) in through.iter().zip(&direct) {
            let far = through.iter().zip(direct).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(through.len() == 384 && far < 1e-6, "{far}");
        }
        assert_eq!(vectors(&json!([seen["query"]]))[0], through[3], "a query is a document");
    }
}
