//! An endpoint that scales by what waits: proxies of a cluster in, the policy and its metric at moto and the pace in the status out.

use super::cap::with_aws;
use super::scaling::is;
use serde_json::json;
use tollway_tests::cluster::Cluster;
use tollway_tests::http;
use tollway_tests::moto::{Moto, identified};
use tollway_tests::process::Operator;
use tollway_tests::sim::{Account, Answers, Config, Embeds, Model, Point, Price, Rule, Sim};
use tollway_tests::wait;

const SCRIPT: &str = "moto_scaling.py";

const MANIFEST: &str = "
apiVersion: tollway.dev/v1alpha1
kind: EmbeddingEndpoint
metadata: {name: deep}
spec:
  model: bge
  dimensions: 8
  sagemaker: {endpointName: deep, payload: Inputs}
  batching: {maxItems: 2, maxWait: 1ms, maxConcurrent: 1}
  autoscaling: {minInstances: 1, maxInstances: 4, target: {metric: QueueDepth, value: 5}}
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_in_proxies_is_what_the_endpoint_scales_by() {
    let cluster = Cluster::shared().await;
    let namespace = cluster.namespace("deep").await;
    let moto = Moto::start().await;
    moto.run(SCRIPT, &["make", "deep", "ml.m5.xlarge"]).await;
    let embeds = Embeds { answers: Answers::Object, dimensions: 8, ..Embeds::default() };
    let mut config = Config::default();
    config.models.insert("deep".to_owned(), Model { embeds: Some(embeds), ..Model::priced(Price::default()) });
    // moto does not speak the encoding that CloudWatch's clients in Rust use.
    let cloudwatch = Account::start().await.expect("an account");
    let sim = Sim::start(config).await.expect("a simulator");
    let operator = Operator::start_with(cluster, |program| {
        identified(program)
            .arg(format!("--watch-namespace={namespace}"))
            .env("AWS_ENDPOINT_URL", &moto.url)
            .env("AWS_ENDPOINT_URL_CLOUDWATCH", cloudwatch.url())
    })
    .await;
    cluster.apply_text(&namespace, MANIFEST);
    let (_, message) = is(cluster, &namespace, "deep", "ScalingActive", "Active").await;
    assert_eq!(message, "1 to 4 instances, held at 5 waiting texts and batches under way on each");
    let held = &moto.run(SCRIPT, &["look", "deep"]).await["policies"][0]["TargetTrackingScalingPolicyConfiguration"];
    assert_eq!(held["TargetValue"], 5.0);
    let metric = &held["CustomizedMetricSpecification"];
    assert_eq!(
        (&metric["Namespace"], &metric["MetricName"]),
        (&json!("Tollway/EmbeddingEndpoints"), &json!("QueueDepth"))
    );

    let pod = cluster.proxy_pod(&namespace, "proxy").await;
    let mut proxy = operator.proxy(&pod, |program| {
        with_aws(&sim, program).env("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME", sim.url()).env("AWS_REGION", "us-east-1")
    });
    proxy.ready().await;
    let url = format!("{}/v1/embeddings", proxy.url);

    // One batch of two is under way for ever, and eight texts wait behind it.
    sim.script(Rule::stall(Point::Headers).times(1));
    let texts: Vec<String> = (0..10).map(|at| format!("text {at}")).collect();
    let (to, body) = (url.clone(), json!({"model": "bge", "input": texts}));
    let asking = tokio::spawn(async move { http::post(&to, &body).await });
    let metrics = wait::until("what waits at CloudWatch", async || {
        let told = cloudwatch.metrics();
        let deep = |body: &&serde_json::Value| body["MetricData"][0]["Value"].as_f64() == Some(9.0);
        told.iter().find(deep).cloned()
    })
    .await;
    assert_eq!(metrics["Namespace"], "Tollway/EmbeddingEndpoints");
    let told = &metrics["MetricData"][0];
    assert_eq!((&told["MetricName"], &told["Unit"]), (&json!("QueueDepth"), &json!("Count")));
    assert_eq!(told["Dimensions"], metric["Dimensions"], "the policy finds what is told");
    asking.abort();

    wait::until("texts a second in the status", async || {
        http::post(&url, &json!({"model": "bge", "input": "one more"})).await.ok();
        let of = "jsonpath={.status.itemsPerSecond}";
        let pace = cluster.kubectl(["get", "embeddingendpoint", "deep", "-n", &namespace, "-o", of]);
        (pace.parse::<f64>().is_ok_and(|pace| pace > 0.0)).then_some(())
    })
    .await;
}
