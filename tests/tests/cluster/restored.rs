//! A ledger that an administrator puts back to a backup while everything runs: the budget freezes by itself and grants again after a resume.

use serde_json::Value;
use tollway_tests::cluster::Cluster;
use tollway_tests::manifests::budget;
use tollway_tests::process::Operator;
use tollway_tests::{scratch, wait};

const ROUTE: &str = r#"---
apiVersion: tollway.dev/v1alpha1
kind: ModelRoute
metadata: {name: answers}
spec:
  models: [answers]
  targets:
  - {name: it, simulated: {reply: granted}, price: {inputPerMillion: "1", outputPerMillion: "1"}}
  rules: [{split: [{target: it, weight: 1}]}]
"#;

fn ledger(cluster: &Cluster, operator: &Operator) -> Value {
    let text = cluster.kubectl(["get", "budgetledgers", "-n", &operator.namespace, "-o", "json"]);
    serde_json::from_str::<Value>(&text).expect("JSON of kubectl")["items"][0].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_is_put_back_freezes_its_budget_at_once() {
    let cluster = Cluster::shared().await;
    let namespace = cluster.namespace("restored").await;
    cluster.apply_text(&namespace, &format!("{ROUTE}{}", budget("team", "1.00", "")));
    let operator = Operator::start(cluster, &namespace).await;
    let first = operator.new_proxy(cluster, &namespace, "first").await;
    first.chat("answers", "hello").await.ok();
    let backup = ledger(cluster, &operator);
    let second = operator.new_proxy(cluster, &namespace, "second").await;
    second.chat("answers", "hello").await.ok();

    let file = scratch::folder("backup").join("ledger.json");
    wait::until("the backup in place of the ledger", async || {
        // The operator may write at the same time.
        let mut object = backup.clone();
        object["metadata"]["resourceVersion"] = ledger(cluster, &operator)["metadata"]["resourceVersion"].clone();
        std::fs::write(&file, object.to_string()).expect("a file");
        let replaced = cluster.try_kubectl(["replace", "-f", &file.to_string_lossy()]);
        replaced.status.success().then_some(())
    })
    .await;

    // Nobody asks for anything: the change alone is what shows it.
    let why = wait::until("a frozen budget", async || {
        let condition = "jsonpath={.status.conditions[?(@.type=='Frozen')].message}";
        let status = "jsonpath={.status.conditions[?(@.type=='Frozen')].status}";
        let get = |path: &str| cluster.kubectl(["get", "costbudget", "team", "-n", &namespace, "-o", path]);
        (get(status) == "True").then(|| get(condition))
    })
    .await;
    assert!(why.contains("put back"), "{why}");
    let third = operator.new_proxy(cluster, &namespace, "third").await;
    let refused = third.chat("answers", "hello").await;
    assert!(refused.text().contains("frozen"), "{} {}", refused.status, refused.text());
    // The second proxy's grant is not on the backup: shown by its holder, it is charged in full.
    wait::until("the lost grant on record", async || {
        let lost = ledger(cluster, &operator)["spec"]["state"]["lost"].as_object().map_or(0, serde_json::Map::len);
        (lost == 1).then_some(())
    })
    .await;

    let resume = r#"{"spec":{"adjustments":[{"id":"checked","resume":true}]}}"#;
    cluster.kubectl(["patch", "costbudget", "team", "-n", &namespace, "--type=merge", "-p", resume]);
    wait::until("a grant after the resume", async || {
        third.chat("answers", "hello").await.status.is_success().then_some(())
    })
    .await;
}
