//! An inference component scaled to zero, texts at a proxy, and an operator between in; the first copy started for them out.

use super::cap::with_aws;
use super::scaling::is;
use serde_json::json;
use tollway_tests::cluster::Cluster;
use tollway_tests::http;
use tollway_tests::moto::identified;
use tollway_tests::process::Operator;
use tollway_tests::sim::{Account, Answers, Config, Embeds, Model, Price, Rule, Sim};
use tollway_tests::wait;

const MANIFEST: &str = "
apiVersion: tollway.dev/v1alpha1
kind: EmbeddingEndpoint
metadata: {name: sleeper}
spec:
  model: bge
  dimensions: 8
  sagemaker: {endpointName: shared, inferenceComponent: bge-copies, region: us-east-1}
  autoscaling: {minInstances: 0, maxInstances: 2, target: {metric: Utilization, value: 70}}
  coldStart: {maxWait: 5m}
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn texts_have_the_first_copy_started_and_wait_for_it() {
    let cluster = Cluster::shared().await;
    let namespace = cluster.namespace("cold").await;
    // moto knows no inference components.
    let account = Account::start().await.expect("an account");
    account.add_endpoint("shared", "ml.g5.xlarge");
    account.add_component("bge-copies", "shared");
    let embeds = Embeds { answers: Answers::Object, dimensions: 8, ..Embeds::default() };
    let mut config = Config::default();
    config.models.insert("shared".to_owned(), Model { embeds: Some(embeds), ..Model::priced(Price::default()) });
    let sim = Sim::start(config).await.expect("a simulator");
    sim.script(Rule::no_capacity());
    let operator = Operator::start_with(cluster, |program| {
        identified(program)
            .arg(format!("--watch-namespace={namespace}"))
            .env("AWS_ENDPOINT_URL", account.url())
            .env("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME", sim.url())
    })
    .await;
    cluster.apply_text(&namespace, MANIFEST);

    let (status, message) = is(cluster, &namespace, "sleeper", "ScalingActive", "Active").await;
    assert_eq!(message, "0 to 2 copies, held at 70 % in use");
    assert_eq!(status["instances"], json!({"current": 0, "desired": 0, "min": 0, "max": 2}));
    is(cluster, &namespace, "sleeper", "EndpointInService", "ScaledToZero").await;
    is(cluster, &namespace, "sleeper", "Healthy", "NoInstances").await;
    let (target, policies) = account.scaled("inference-component/bge-copies").expect("a scalable target");
    assert_eq!(target["ScalableDimension"], "sagemaker:inference-component:DesiredCopyCount");
    assert_eq!((&target["MinCapacity"], &target["MaxCapacity"]), (&json!(0), &json!(2)));
    let held = &policies[0]["TargetTrackingScalingPolicyConfiguration"];
    assert_eq!(held["TargetValue"], 70.0, "of what a copy has");
    assert_eq!(held["CustomizedMetricSpecification"]["MetricName"], "GPUUtilizationNormalized");
    assert_eq!(
        held["CustomizedMetricSpecification"]["Dimensions"],
        json!([{"Name": "InferenceComponentName", "Value": "bge-copies"}])
    );
    assert!(sim.requests().is_empty(), "nothing is woken to see how it is");

    let pod = cluster.proxy_pod(&namespace, "proxy").await;
    let mut proxy = operator.proxy(&pod, |program| {
        with_aws(&sim, program).env("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME", sim.url()).env("AWS_REGION", "us-east-1")
    });
    proxy.ready().await;
    let url = format!("{}/v1/embeddings", proxy.url);
    let asking = tokio::spawn(async move { http::post(&url, &json!({"model": "bge", "input": ["one", "two"]})).await });
    wait::until("a copy to be wanted", async || (account.copies("bge-copies") == Some((0, 1))).then_some(())).await;
    is(cluster, &namespace, "sleeper", "EndpointInService", "Starting").await;
    assert!(!asking.is_finished());

    sim.clear_script();
    account.run_copies("bge-copies", 1);
    let answer = asking.await.unwrap().ok();
    assert_eq!(answer.json()["data"].as_array().map(Vec::len), Some(2));
    let (status, _) = is(cluster, &namespace, "sleeper", "EndpointInService", "InService").await;
    assert_eq!(status["instances"], json!({"current": 1, "desired": 1, "min": 0, "max": 2}));
    is(cluster, &namespace, "sleeper", "Healthy", "Answered").await;
    let starts = account.calls().iter().filter(|call| *call == "UpdateInferenceComponentRuntimeConfig").count();
    assert_eq!(starts, 1);

    cluster.kubectl(["delete", "embeddingendpoint", "sleeper", "-n", &namespace]);
    assert_eq!(account.scaled("inference-component/bge-copies"), None);
    assert_eq!(account.copies("bge-copies"), Some((1, 1)), "what runs is left as it is");
}
