//! The operator does its work with exactly the rights that the README's manifest gives to its service account.

use tollway_tests::cluster::Cluster;
use tollway_tests::moto::Moto;
use tollway_tests::process::{Operator, Proxy, workspace};
use tollway_tests::sim::Account;
use tollway_tests::wait;

const KEYED: &str = r#"
apiVersion: v1
kind: Secret
metadata: {name: upstream}
stringData: {apiKey: some-key}
---
apiVersion: tollway.dev/v1alpha1
kind: ModelRoute
metadata: {name: keyed}
spec:
  models: [keyed]
  targets:
  - {name: away, openai: {baseUrl: "http://upstream.example/v1", model: m, apiKey: {secretRef: {name: upstream}}}}
  rules:
  - split: [{target: away, weight: 100}]
"#;

const MIRRORED: &str = r#"
apiVersion: tollway.dev/v1alpha1
kind: CostBudget
metadata: {name: mirrored}
spec: {limit: {amount: "5"}, period: Daily, mode: Observe, awsBudget: {accountId: "123456789012", name: mirrored}}
"#;

const SCALED: &str = r#"
apiVersion: tollway.dev/v1alpha1
kind: EmbeddingEndpoint
metadata: {name: scaled}
spec:
  model: scaled
  dimensions: 2
  sagemaker: {endpointName: scaled}
  autoscaling: {minInstances: 1, maxInstances: 2, target: {metric: InvocationsPerInstance, value: 70}}
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rights_in_the_manifest_are_enough() {
    let cluster = Cluster::start().await;
    let rights = std::fs::read_to_string(workspace().join("operator/rbac.yaml")).unwrap();
    cluster.kubectl(["create", "namespace", "tollway-system"]);
    cluster.apply_text("tollway-system", &rights);
    let kubeconfig = cluster.kubeconfig_of("tollway-system", "tollway-operator").await;

    let account = Account::start().await.expect("a port");
    let moto = Moto::start().await;
    moto.run("moto_scaling.py", &["make", "scaled", "ml.m5.xlarge"]).await;
    let mut operator = Operator::replica(&cluster, "tollway-system", |p| {
        p.env("KUBECONFIG", &kubeconfig)
            .env("AWS_ENDPOINT_URL", &moto.url)
            .env("AWS_ENDPOINT_URL_BUDGETS", account.url())
            .env("AWS_ACCESS_KEY_ID", "AKIASIMULATED0000001")
            .env("AWS_SECRET_ACCESS_KEY", "simulated/secret/access/key/number+00001")
            .env("AWS_REGION", "us-east-1")
    });
    operator.leading().await;
    operator.fetch_ca(&cluster).await;
    let namespace = cluster.namespace("team").await;
    cluster.apply(&namespace, "examples/quickstart");
    cluster.apply_text(&namespace, KEYED);
    let proxy: Proxy = operator.new_proxy(&cluster, &namespace, "proxy-0").await;
    proxy.chat("assistant", "hello").await.ok();
    let holds = |condition: &str, kind: &str| {
        let condition = format!("--for=condition={condition}");
        cluster.kubectl(["wait", &condition, kind, "--all", "--timeout=30s", "-n", &namespace]);
    };
    holds("Programmed", "modelroute");
    holds("ResolvedRefs", "modelroute");
    holds("Enforced", "costbudget");

    // The end of a Pod that holds a grant is seen, and told as an event.
    cluster.delete_pod(&namespace, "proxy-0").await;
    wait::until("an event about the burned grant", async || {
        let reasons = cluster.kubectl(["get", "events", "-n", &namespace, "-o", "jsonpath={.items[*].reason}"]);
        reasons.contains("GrantBurned").then_some(())
    })
    .await;

    // The finalizers of a mirror and of scaling can be set and taken off.
    cluster.apply_text(&namespace, MIRRORED);
    let in_sync = "--for=condition=AwsBudgetInSync";
    cluster.kubectl(["wait", in_sync, "costbudget/mirrored", "--timeout=30s", "-n", &namespace]);
    cluster.kubectl(["delete", "costbudget", "mirrored", "-n", &namespace]);
    cluster.apply_text(&namespace, SCALED);
    let active = "--for=condition=ScalingActive";
    cluster.kubectl(["wait", active, "embeddingendpoint/scaled", "--timeout=30s", "-n", &namespace]);
    cluster.kubectl(["delete", "embeddingendpoint", "scaled", "-n", &namespace]);

    let log = operator.process.log().to_lowercase();
    assert!(!log.contains("forbidden"), "{log}");
}
