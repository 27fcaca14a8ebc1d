//! Every folder of examples/ as it is: the proxy takes it without a complaint and answers for each model it names.

use serde_json::json;
use tollway_tests::http;
use tollway_tests::process::{Proxy, workspace};
use tollway_tests::sim::{Config, Sim};

use super::setup::with_aws;

#[tokio::test(flavor = "multi_thread")]
async fn every_example_runs() {
    let folders = std::fs::read_dir(workspace().join("examples")).expect("the folder examples");
    let mut tried = 0;
    for folder in folders.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()) {
        let sim = Sim::start(Config::default()).await.expect("a simulator");
        let proxy = Proxy::standalone_with(&folder, |program| with_aws(&sim, program)).await;
        let models = http::get(&format!("{}/v1/models", proxy.url)).await.ok().json();
        let names = models["data"].as_array().expect("a list of models");
        assert!(!names.is_empty(), "{} serves no model", folder.display());
        for model in names.iter().filter_map(|model| model["id"].as_str()) {
            let mut reply = proxy.chat(model, "Is the road open?").await;
            if reply.text().contains("use /v1/embeddings") {
                let body = json!({"model": model, "input": "Is the road open?"});
                reply = http::post(&format!("{}/v1/embeddings", proxy.url), &body).await;
            }
            assert!(reply.status.is_success(), "{}: {model}: {}", folder.display(), reply.text());
        }
        let log = proxy.process.log();
        assert!(!log.contains(".yaml:"), "{} has mistakes:\n{log}", folder.display());
        assert!(folder.join("README.md").is_file(), "{} has no README.md", folder.display());
        tried += 1;
    }
    assert!(tried >= 3, "only {tried} examples were found");
}
