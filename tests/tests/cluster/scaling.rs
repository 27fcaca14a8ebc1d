//! Endpoints at moto and EmbeddingEndpoints at a real API server: autoscaling appears, is put back when somebody turns it, goes with its
//! resource, and costs no write while all is well.

use super::aws::condition;
use serde_json::{Value, json};
use tollway_tests::cluster::Cluster;
use tollway_tests::manifests::budget;
use tollway_tests::moto::{Moto, identified};
use tollway_tests::process::Operator;
use tollway_tests::wait;

const SCRIPT: &str = "moto_scaling.py";

fn vectors(name: &str, endpoint: &str, scaling: &str) -> String {
    format!(
        "---\napiVersion: tollway.dev/v1alpha1\nkind: EmbeddingEndpoint\nmetadata: {{name: {name}}}\nspec:\n  model: {name}\n  \
         dimensions: 2\n  sagemaker: {{endpointName: {endpoint}}}\n  autoscaling: {scaling}\n"
    )
}

fn by(metric: &str, value: u32, max: u32) -> String {
    format!(
        "{{minInstances: 1, maxInstances: {max}, target: {{metric: {metric}, value: {value}}}, scaleInCooldown: 2m}}"
    )
}

pub(super) async fn is(cluster: &Cluster, namespace: &str, name: &str, type_: &str, reason: &str) -> (Value, String) {
    wait::until(&format!("{type_} of {name} to be {reason}"), async || {
        let text = cluster.kubectl(["get", "embeddingendpoint", name, "-n", namespace, "-o", "json"]);
        let status = serde_json::from_str::<Value>(&text).unwrap_or_else(|e| panic!("{e}: {text}"))["status"].clone();
        let (_, said, message) = condition(&status, type_);
        (said == reason).then_some((status, message))
    })
    .await
}

/// Limits, whether anything is suspended, and the policies' configurations.
fn held(there: &Value) -> (Value, bool, Value) {
    let target = &there["targets"][0];
    let suspended = target["SuspendedState"].to_string().contains("true");
    let policies = there["policies"].as_array().into_iter().flatten();
    let policies = policies.map(|policy| policy["TargetTrackingScalingPolicyConfiguration"].clone()).collect();
    (json!([target["MinCapacity"], target["MaxCapacity"]]), suspended, policies)
}

async fn back(moto: &Moto, name: &str, wanted: &(Value, bool, Value)) {
    wait::until(&format!("the scaling of {name} to be put back"), async || {
        (held(&moto.run(SCRIPT, &["look", name]).await) == *wanted).then_some(())
    })
    .await;
}

fn writes(calls: &[String]) -> Vec<&String> {
    calls.iter().filter(|call| !call.starts_with("Describe")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scaling_follows_its_resource_from_its_making_to_its_end() {
    let cluster = Cluster::shared().await;
    let namespace = cluster.namespace("scaling").await;
    let moto = Moto::start().await;
    for (name, type_) in [("busy", "ml.m5.xlarge"), ("called", "ml.m5.xlarge"), ("theirs", "ml.m5.xlarge")] {
        moto.run(SCRIPT, &["make", name, type_]).await;
    }
    moto.run(SCRIPT, &["register", "theirs", "2", "5"]).await;
    let mut operator = Operator::start_with(cluster, |program| {
        identified(program).arg(format!("--watch-namespace={namespace}")).env("AWS_ENDPOINT_URL", &moto.url)
    })
    .await;

    let busy = vectors("busy", "busy", &by("Utilization", 70, 3));
    let called = vectors("called", "called", &by("InvocationsPerInstance", 200, 4));
    let theirs = vectors("theirs", "theirs", &by("Utilization", 70, 3));
    let nowhere = vectors("nowhere", "nowhere", &by("Utilization", 70, 3));
    // Less than an instance costs in two seconds.
    let team = budget("team", "0.0001", "targetRefs: [{kind: EmbeddingEndpoint, name: called}]");
    cluster.apply_text(&namespace, &format!("{busy}{called}{theirs}{nowhere}{team}"));
    let (status, message) = is(cluster, &namespace, "busy", "ScalingActive", "Active").await;
    assert_eq!(message, "1 to 3 instances, held at 70 % in use");
    assert_eq!(condition(&status, "EndpointInService").0, "True");
    assert_eq!(condition(&status, "Supported").0, "True", "{status}");
    assert_eq!(status["instances"], json!({"current": 1, "desired": 1, "min": 1, "max": 3}));
    is(cluster, &namespace, "called", "ScalingActive", "Active").await;

    // What cannot be served says why, and keeps nobody waiting.
    let (missing, message) = is(cluster, &namespace, "nowhere", "EndpointInService", "NotFound").await;
    assert!(message.contains("nowhere in us-east-1"), "{message}");
    assert_eq!(condition(&missing, "EndpointInService").0, "False");
    is(cluster, &namespace, "theirs", "ScalingActive", "NotOurs").await;

    let measured = json!({"Namespace": "/aws/sagemaker/Endpoints", "MetricName": "CPUUtilization", "Statistic": "Average", "Unit": "Percent",
        "Dimensions": [{"Name": "EndpointName", "Value": "busy"}, {"Name": "VariantName", "Value": "AllTraffic"}]});
    let policy = json!({"TargetValue": 280.0, "CustomizedMetricSpecification": measured, "ScaleInCooldown": 120, "ScaleOutCooldown": 60,
        "DisableScaleIn": false});
    let of_busy = (json!([1, 3]), false, json!([policy]));
    assert_eq!(held(&moto.run(SCRIPT, &["look", "busy"]).await), of_busy, "70 % of four cores");
    let invocations = json!({"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"});
    let policy = json!({"TargetValue": 200.0, "PredefinedMetricSpecification": invocations, "ScaleInCooldown": 120, "ScaleOutCooldown": 60,
        "DisableScaleIn": false});
    let of_called = (json!([1, 4]), false, json!([policy]));
    assert_eq!(held(&moto.run(SCRIPT, &["look", "called"]).await), of_called);

    // The next leader looks at everything and changes nothing but what the hours that ran meanwhile ask for: the budget is exhausted.
    let before = moto.calls();
    assert_eq!(writes(&before).len(), 4, "one target and one policy each: {before:?}");
    operator.restart().await;
    operator.leading().await;
    let (status, message) = is(cluster, &namespace, "called", "ScalingActive", "HeldByBudget").await;
    assert!(message.contains("1 to 1 instances") && message.contains("budget team"), "{message}");
    wait::until("the next leader's looks", async || {
        let calls = moto.calls();
        let looks = calls[before.len()..].iter().filter(|call| *call == "DescribeScalingPolicies");
        (looks.count() >= 3).then_some(())
    })
    .await;
    assert_eq!(writes(&moto.calls()[before.len()..]), ["RegisterScalableTarget"]);
    let dollars = |text: &Value| text.as_str().and_then(|text| text.parse::<f64>().ok()).unwrap_or_default();
    assert!(dollars(&status["infrastructureUsd"]) > 0.0001, "{status}");
    let text = cluster.kubectl(["get", "costbudget", "team", "-n", &namespace, "-o", "json"]);
    let spent = serde_json::from_str::<Value>(&text).unwrap()["status"].clone();
    assert!(dollars(&spent["infrastructureUsd"]) > 0.0001, "{spent}");
    let (_, suspended, policies) = of_called;
    let of_called = (json!([1, 1]), suspended, policies);

    // Somebody turns one and takes the other away: a sweep puts both back.
    let tampered = moto.run(SCRIPT, &["tamper", "busy"]).await;
    assert_ne!(held(&tampered), of_busy);
    moto.run(SCRIPT, &["wipe", "called"]).await;
    back(&moto, "busy", &of_busy).await;
    back(&moto, "called", &of_called).await;

    // Neither the end of the budget nor a change of the resource waits for a sweep.
    cluster.kubectl(["delete", "costbudget", "team", "-n", &namespace]);
    cluster.apply_text(&namespace, &vectors("called", "called", &by("InvocationsPerInstance", 200, 6)));
    back(&moto, "called", &(json!([1, 6]), false, of_called.2)).await;

    cluster.kubectl(["delete", "embeddingendpoint", "--all", "-n", &namespace]);
    let none = json!({"targets": [], "policies": []});
    assert_eq!(moto.run(SCRIPT, &["look", "busy"]).await, none, "kubectl waited for the finalizer");
    assert_eq!(moto.run(SCRIPT, &["look", "called"]).await, none);
    assert_eq!(held(&moto.run(SCRIPT, &["look", "theirs"]).await).0, json!([2, 5]), "never touched");
}
