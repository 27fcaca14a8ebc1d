//! An endpoint that answers, answers wrongly and declines, and EmbeddingEndpoints at a real API server in; what `Healthy` says out.

use super::scaling::is;
use tollway_tests::cluster::Cluster;
use tollway_tests::moto::{Moto, identified};
use tollway_tests::process::Operator;
use tollway_tests::sim::{Answers, Config, Embeds, Exception, Model, Price, Rule, Sim};

const SCRIPT: &str = "moto_scaling.py";

fn vectors(name: &str, dimensions: u32, interval: &str) -> String {
    format!(
        "---\napiVersion: tollway.dev/v1alpha1\nkind: EmbeddingEndpoint\nmetadata: {{name: {name}}}\nspec:\n  model: {name}\n  \
         dimensions: {dimensions}\n  sagemaker: {{endpointName: {name}}}\n  healthCheck: {{interval: {interval}}}\n"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_is_called_now_and_then_and_its_answer_is_judged() {
    let cluster = Cluster::shared().await;
    let namespace = cluster.namespace("health").await;
    let moto = Moto::start().await;
    let mut config = Config::default();
    for name in ["well", "other", "quiet"] {
        moto.run(SCRIPT, &["make", name, "ml.m5.xlarge"]).await;
        let embeds = Embeds { answers: Answers::Object, dimensions: 8, ..Embeds::default() };
        config.models.insert(name.to_owned(), Model { embeds: Some(embeds), ..Model::priced(Price::default()) });
    }
    let sim = Sim::start(config).await.expect("a simulator");
    let _operator = Operator::start_with(cluster, |program| {
        identified(program)
            .arg(format!("--watch-namespace={namespace}"))
            .env("AWS_ENDPOINT_URL", &moto.url)
            .env("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME", sim.url())
    })
    .await;
    let all =
        [vectors("well", 8, "10s"), vectors("other", 4, "5m"), vectors("quiet", 8, "0s"), vectors("gone", 8, "5m")];
    cluster.apply_text(&namespace, &all.concat());

    is(cluster, &namespace, "well", "Healthy", "Answered").await;
    let (_, message) = is(cluster, &namespace, "other", "Healthy", "WrongDimensions").await;
    assert!(message.contains("vectors of 8 numbers, and spec.dimensions is 4"), "{message}");
    is(cluster, &namespace, "quiet", "Healthy", "NotChecked").await;
    is(cluster, &namespace, "gone", "EndpointInService", "NotFound").await;
    is(cluster, &namespace, "gone", "Healthy", "Pending").await;
    let called = |name: &str| sim.requests().iter().any(|seen| seen.path.contains(name));
    assert!(called("well") && !called("quiet") && !called("gone"));

    sim.script(Rule::error(Exception::ModelError).model("well"));
    let (_, message) = is(cluster, &namespace, "well", "Healthy", "Unavailable").await;
    assert!(
        message.starts_with("sagemaker:InvokeEndpoint: ModelError") && message.contains("out of memory"),
        "{message}"
    );
    sim.clear_script();
    sim.script(Rule::error(Exception::AccessDenied).model("well"));
    let (_, message) = is(cluster, &namespace, "well", "Healthy", "AccessDenied").await;
    assert!(message.contains("allow the operator's identity sagemaker:InvokeEndpoint"), "{message}");
    sim.clear_script();
    is(cluster, &namespace, "well", "Healthy", "Answered").await;

    // Gone, it is not healthy any more by what it answered before.
    moto.run(SCRIPT, &["unmake", "well"]).await;
    is(cluster, &namespace, "well", "EndpointInService", "NotFound").await;
    is(cluster, &namespace, "well", "Healthy", "Pending").await;
}
