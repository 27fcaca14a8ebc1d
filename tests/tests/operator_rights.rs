//! The operator does its work with exactly the rights that the README's manifest gives to its service account.

use tollway_tests::cluster::Cluster;
use tollway_tests::process::{Operator, Proxy, workspace};
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

#[tokio::test]
async fn the_rights_in_the_manifest_are_enough() {
    let cluster = Cluster::start().await;
    let rights = std::fs::read_to_string(workspace().join("operator/rbac.yaml")).unwrap();
    cluster.kubectl(["create", "namespace", "tollway-system"]);
    cluster.apply_text("tollway-system", &rights);
    let kubeconfig = cluster.kubeconfig_of("tollway-system", "tollway-operator").await;

    let mut operator = Operator::replica(&cluster, "tollway-system", |p| p.env("KUBECONFIG", &kubeconfig));
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

    let log = operator.process.log().to_lowercase();
    assert!(!log.contains("forbidden"), "{log}");
}
