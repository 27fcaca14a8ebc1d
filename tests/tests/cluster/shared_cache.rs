//! Secret `tollway-cache` of a namespace, two proxies and a Redis in; answers that they share under that key, and nobody without it, out.

use tollway_tests::cluster::{Cluster, ProxyPod};
use tollway_tests::process::{Operator, PASSWORD, Proxy, Redis};
use tollway_tests::wait;

const ANSWER: &str = "the confidential answer of a model";

/// A key of 32 bytes as base64 that says which, and the route.
fn manifests(digit: char) -> String {
    let key = format!("{}=", digit.to_string().repeat(43));
    format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: tollway-cache}}\nstringData: {{key: \"{key}\"}}\n---\n\
         apiVersion: tollway.dev/v1alpha1\nkind: ModelRoute\nmetadata: {{name: assistant}}\nspec:\n  models: [assistant]\n  \
         targets: [{{name: pretend, simulated: {{reply: {ANSWER}}}}}]\n  rules: [{{split: [{{target: pretend, weight: 1}}]}}]\n  \
         cache: {{ttl: 10m, scope: Shared}}\n"
    )
}

async fn proxy(operator: &Operator, pod: &ProxyPod, redis: &Redis) -> Proxy {
    let url = format!("redis://:{PASSWORD}@127.0.0.1:{}", redis.port);
    let mut proxy = operator.proxy(pod, |program| program.env("TOLLWAY_REDIS_URL", url).arg("--redis-timeout=20000"));
    proxy.ready().await;
    wait::until("the proxy to reach Redis", async || {
        proxy
            .metrics()
            .await
            .lines()
            .any(|line| line.starts_with("tollway_redis_up") && line.ends_with(" 1"))
            .then_some(())
    })
    .await;
    proxy
}

async fn asked(proxy: &Proxy) -> String {
    let answer = proxy.chat("assistant", "tell me").await.ok();
    assert!(answer.text().contains(ANSWER), "{}", answer.text());
    answer.header("x-tollway-cache").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_shared_under_the_key_of_the_namespace() {
    let cluster = Cluster::shared().await;
    let namespace = cluster.namespace("kept").await;
    let redis = Redis::start().await;
    let operator = Operator::start(cluster, &namespace).await;
    cluster.apply_text(&namespace, &manifests('A'));
    let mut pods = Vec::new();
    for name in ["one", "two", "three"] {
        pods.push(cluster.proxy_pod(&namespace, name).await);
    }
    let (one, two) = (proxy(&operator, &pods[0], &redis).await, proxy(&operator, &pods[1], &redis).await);
    assert_eq!(asked(&one).await, "miss");
    let all = wait::until("the answer at Redis", async || {
        let all = redis.everything().await;
        all.windows(8).any(|part| part == b":answer:").then_some(all)
    })
    .await;
    assert!(!all.windows(ANSWER.len()).any(|part| part == ANSWER.as_bytes()), "Redis holds it in the clear");
    assert_eq!(asked(&two).await, "hit", "of the other proxy");

    // Under another key the same question is nobody's.
    cluster.apply_text(&namespace, &manifests('B'));
    let three = proxy(&operator, &pods[2], &redis).await;
    assert_eq!(asked(&three).await, "miss");
    let log = three.process.log();
    assert!(!log.contains("only as secret as"), "the key came from the Secret:\n{log}");
}
