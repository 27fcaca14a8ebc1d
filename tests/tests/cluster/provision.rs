//! Endpoints that resources have made for them, at moto: made once whatever dies, tagged, left alone when they are somebody else's, and gone
//! with the resource also when it is deleted in the middle of their making.

use serde_json::{Value, json};
use tollway_tests::cluster::Cluster;
use tollway_tests::moto::{Moto, identified};
use tollway_tests::process::Operator;
use tollway_tests::wait;

use super::scaling::is;

const SCRIPT: &str = "moto_provision.py";

fn vectors(name: &str) -> String {
    format!(
        "---\napiVersion: tollway.dev/v1alpha1\nkind: EmbeddingEndpoint\nmetadata: {{name: {name}}}\nspec:\n  model: {name}\n  \
         dimensions: 2\n  sagemaker: {{endpointName: {name}}}\n  provision: {{image: \"registry.example/tei:1\", instanceType: ml.m5.xlarge, \
         executionRoleArn: \"arn:aws:iam::123456789012:role/runs-models\"}}\n  \
         autoscaling: {{minInstances: 2, maxInstances: 3, target: {{metric: InvocationsPerInstance, value: 100}}}}\n"
    )
}

/// How many models, configurations and endpoints there are.
fn count(there: &Value) -> [usize; 3] {
    ["models", "configs", "endpoints"].map(|of| there[of].as_object().map_or(0, serde_json::Map::len))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_is_made_once_and_goes_with_its_resource() {
    let cluster = Cluster::shared().await;
    let namespace = cluster.namespace("provision").await;
    let moto = Moto::start().await;
    moto.run(SCRIPT, &["make", "theirs"]).await;
    let mut operator = Operator::start_with(cluster, |program| {
        identified(program).arg(format!("--watch-namespace={namespace}")).env("AWS_ENDPOINT_URL", &moto.url)
    })
    .await;

    cluster.apply_text(&namespace, &format!("{}{}", vectors("bge"), vectors("theirs")));
    let (status, _) = is(cluster, &namespace, "bge", "ScalingActive", "Active").await;
    assert_eq!(status["instances"]["current"], 2, "as many as run at least: {status}");
    let (_, message) = is(cluster, &namespace, "theirs", "EndpointInService", "InService").await;
    let there = moto.run(SCRIPT, &["look"]).await;
    assert_eq!(count(&there), [2, 2, 2], "one of each beside theirs: {there} {message}");
    let uid = cluster.kubectl(["get", "embeddingendpoint", "bge", "-n", &namespace, "-o", "jsonpath={.metadata.uid}"]);
    let endpoint = &there["endpoints"]["bge"];
    assert_eq!(endpoint["tollway.dev/owner"], uid, "{there}");
    assert_eq!(endpoint["tollway.dev/resource"], json!(format!("{namespace}/bge")), "{there}");
    let config = &there["configs"][endpoint["config"].as_str().expect("a configuration")];
    assert_eq!(
        (&config["tollway.dev/owner"], &config["variant"]["InstanceType"]),
        (&json!(uid), &json!("ml.m5.xlarge"))
    );

    // Whoever comes after a crash makes nothing again.
    let made = |calls: &[String]| calls.iter().filter(|call| call.starts_with("Create")).count();
    let before = moto.calls();
    assert_eq!(made(&before), 3, "{before:?}");
    operator.restart().await;
    operator.leading().await;
    wait::until("the next leader's look", async || (moto.calls().len() > before.len() + 4).then_some(())).await;
    assert_eq!(made(&moto.calls()), 3);

    cluster.kubectl(["delete", "embeddingendpoint", "--all", "-n", &namespace]);
    let there = moto.run(SCRIPT, &["look"]).await;
    assert_eq!(count(&there), [1, 1, 1], "theirs alone, and kubectl waited: {there}");
    assert_eq!(there["endpoints"]["theirs"]["config"], "theirs-config");

    // Killed in the middle of it, and deleted in the middle of it.
    for victim in ["killed", "deleted"] {
        let begun = moto.calls().len();
        cluster.apply_text(&namespace, &vectors(victim));
        wait::until("the first thing to be made", async || (made(&moto.calls()[begun..]) >= 1).then_some(())).await;
        if victim == "killed" {
            operator.restart().await;
            operator.leading().await;
            is(cluster, &namespace, victim, "EndpointInService", "InService").await;
            assert_eq!(count(&moto.run(SCRIPT, &["look"]).await), [2, 2, 2]);
        }
        cluster.kubectl(["delete", "embeddingendpoint", victim, "-n", &namespace]);
        assert_eq!(count(&moto.run(SCRIPT, &["look"]).await), [1, 1, 1], "{victim}");
    }
}
