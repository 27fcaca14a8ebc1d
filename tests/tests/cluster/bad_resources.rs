//! Resources with mistakes: each says all that is wrong with it, keeps its last good version in force and costs no other anything.

use tollway_tests::cluster::Cluster;
use tollway_tests::manifests::{secret, split_route};
use tollway_tests::process::Operator;
use tollway_tests::wait;

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_route_says_why_and_its_last_good_version_serves_on() {
    let cluster = Cluster::shared().await;
    let namespace = cluster.namespace("broken").await;
    let mut operator = Operator::start(cluster, &namespace).await;
    cluster.apply_text(&namespace, &format!("{}{}", split_route("fork", 1, 0), split_route("other", 1, 0)));
    let proxy = operator.new_proxy(cluster, &namespace, "proxy").await;
    cluster.kubectl(["wait", "--timeout=60s", "--for=condition=Programmed", "modelroute", "--all", "-n", &namespace]);

    // Neither can be judged by the API server's own rules.
    let broken = split_route("fork", 0, 1)
        .replace("  rules:", "  retry: {backoff: {base: 9s, max: 1s}}\n  timeouts: {connect: 2h}\n  rules:");
    cluster.apply_text(&namespace, &broken);
    let condition = |kind: &str, field: &str| {
        let path = format!("jsonpath={{.status.conditions[?(@.type==\"{kind}\")].{field}}}");
        cluster.kubectl(["get", "modelroute", "fork", "-n", &namespace, "-o", &path])
    };
    wait::until("the route to say that it is broken", async || (condition("Ready", "status") == "False").then_some(()))
        .await;
    let told = format!("{} {}", condition("Accepted", "message"), condition("ResolvedRefs", "message"));
    assert!(told.contains("timeouts.connect"), "every mistake is told: {told}");
    assert!(told.contains("backoff"), "every mistake is told: {told}");

    for restart in [false, true] {
        if restart {
            operator.restart().await;
        }
        for model in ["fork", "other"] {
            assert_eq!(proxy.chat(model, "still there?").await.ok().header("x-tollway-target"), "left");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_is_off_while_its_secret_is_missing() {
    let cluster = Cluster::shared().await;
    let namespace = cluster.namespace("secret").await;
    let operator = Operator::start(cluster, &namespace).await;
    let sim = tollway_tests::sim::Sim::start(tollway_tests::sim::Config {
        api_keys: vec!["sk-right".into()],
        ..Default::default()
    })
    .await
    .expect("a simulator");
    let route = format!(
        "---\napiVersion: tollway.dev/v1alpha1\nkind: ModelRoute\nmetadata: {{name: chat}}\nspec:\n  models: [chat]\n  targets:\n  - \
         name: keyed\n    openai: {{baseUrl: \"{}/v1\", loopback: true, model: \"llama3:8b\", apiKey: {{secretRef: {{name: upstream}}}}}}\n  - \
         {{name: spare, simulated: {{reply: spare}}}}\n  rules:\n  - split: [{{target: keyed, weight: 1}}]\n    fallback: [spare]\n",
        sim.url()
    );
    cluster.apply_text(&namespace, &route);
    let proxy = operator.new_proxy(cluster, &namespace, "proxy").await;
    let target = async || proxy.chat("chat", "who?").await.ok().header("x-tollway-target").to_owned();
    assert_eq!(target().await, "spare");

    cluster.apply_text(&namespace, &secret("upstream", "apiKey", "sk-right"));
    wait::until("the Secret to arrive", async || (target().await == "keyed").then_some(())).await;
    cluster.kubectl(["delete", "secret", "upstream", "-n", &namespace]);
    wait::until("the target to be off again", async || (target().await == "spare").then_some(())).await;

    for page in [proxy.table().await.to_string(), proxy.status().await.to_string(), proxy.metrics().await] {
        assert!(!page.contains("sk-right"), "a secret on a page: {page}");
    }
    assert!(!proxy.process.log().contains("sk-right"));
    assert!(!operator.process.log().contains("sk-right"));
}
