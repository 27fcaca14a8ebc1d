//! Two operators: one leads; when it is killed the other takes over, and proxies that know both find it.

use serde_json::json;
use tollway_tests::cluster::Cluster;
use tollway_tests::http;
use tollway_tests::manifests::split_route;
use tollway_tests::process::Operator;
use tollway_tests::wait;

#[tokio::test(flavor = "multi_thread")]
async fn the_second_operator_takes_over_when_the_leader_is_killed() {
    let cluster = Cluster::shared().await;
    let namespace = cluster.namespace("failover").await;
    let watched = format!("--watch-namespace={namespace}");
    let mut first = Operator::start(cluster, &namespace).await;
    let second = Operator::replica(cluster, &first.namespace, |program| program.arg(&watched));
    cluster.apply_text(&namespace, &split_route("fork", 1, 0));
    let pod = cluster.proxy_pod(&namespace, "proxy").await;
    let mut proxy = first.proxy(&pod, |program| program.arg(format!("--operator={}", second.url)));
    proxy.ready().await;

    first.process.kill();
    cluster.apply_text(&namespace, &split_route("fork", 0, 1));
    wait::until("an edit that only the second operator can have published", async || {
        (proxy.chat("fork", "who leads?").await.ok().header("x-tollway-target") == "right").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_that_is_restarted_under_its_name_has_its_lease_back() {
    let cluster = Cluster::shared().await;
    let namespace = cluster.namespace("restarted").await;
    let mut operator = Operator::start(cluster, &namespace).await;
    let lease = |operator: &Operator| {
        let of = "jsonpath={.spec.holderIdentity} {.spec.leaseTransitions} {.spec.acquireTime}";
        cluster.kubectl(["get", "lease", "tollway-operator", "-n", &operator.namespace, "-o", of])
    };
    let before = lease(&operator);

    operator.restart().await;
    operator.leading().await;

    assert_eq!(lease(&operator), before, "nobody else had it, and nobody waited for its end");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_whose_namespace_is_missing_makes_it() {
    let cluster = Cluster::shared().await;
    let namespace = format!("made-{:08x}", fastrand::u32(..));
    let watched = cluster.namespace("watched").await;
    let mut operator =
        Operator::replica(cluster, &namespace, |program| program.arg(format!("--watch-namespace={watched}")));
    operator.ready().await;
    operator.fetch_ca(cluster).await;
    assert!(cluster.kubectl(["get", "namespace", &namespace]).contains(&namespace));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_leads_as_soon_as_the_leader_gives_the_lease_back() {
    let cluster = Cluster::shared().await;
    let namespace = cluster.namespace("handover").await;
    // A leader whose lease would last for an hour.
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "tollway-operator"},
        "spec": {
            "holderIdentity": "another", "leaseDurationSeconds": 3600, "leaseTransitions": 1,
            "acquireTime": "2100-01-01T00:00:00.000000Z", "renewTime": "2100-01-01T00:00:00.000000Z",
        },
    });
    cluster.apply_text(&namespace, &lease.to_string());
    let mut operator = Operator::replica(cluster, &namespace, |program| program);
    operator.ready().await;
    let page = http::get(&format!("{}/readyz", operator.admin)).await.ok().text();
    assert!(!page.contains("leading"), "{page}");

    let released =
        r#"{"spec": {"holderIdentity": null, "leaseDurationSeconds": null, "acquireTime": null, "renewTime": null}}"#;
    cluster.kubectl(["patch", "lease", "tollway-operator", "-n", &namespace, "--type=merge", "-p", released]);
    operator.leading().await;
}
