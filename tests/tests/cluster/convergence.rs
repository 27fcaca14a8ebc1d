//! Three proxies and one operator: what is applied is in force everywhere, the status says so, and nobody needs the operator to go on.

use tollway_tests::cluster::Cluster;
use tollway_tests::manifests::split_route;
use tollway_tests::process::{Operator, Proxy};
use tollway_tests::wait;

const WAIT: [&str; 3] = ["wait", "--timeout=60s", "--for=condition=Programmed"];

async fn target_of(proxy: &Proxy, model: &str) -> String {
    proxy.chat(model, "which way?").await.ok().header("x-tollway-target").to_owned()
}

async fn three(cluster: &Cluster, operator: &Operator, namespace: &str) -> Vec<Proxy> {
    let mut proxies = Vec::new();
    for i in 0..3 {
        proxies.push(operator.new_proxy(cluster, namespace, &format!("proxy-{i}")).await);
    }
    proxies
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_reaches_every_proxy_and_the_status_says_so() {
    let cluster = Cluster::shared().await;
    let namespace = cluster.namespace("team").await;
    let operator = Operator::start(cluster, &namespace).await;
    cluster.apply(&namespace, "examples/quickstart");
    cluster.apply_text(&namespace, &split_route("fork", 1, 0));
    let proxies = three(cluster, &operator, &namespace).await;
    cluster.kubectl(WAIT.iter().copied().chain(["modelroute", "--all", "-n", &namespace]));
    for proxy in &proxies {
        assert_eq!(target_of(proxy, "fork").await, "left");
    }

    cluster.apply_text(&namespace, &split_route("fork", 0, 1));
    for proxy in &proxies {
        wait::until("the new weight on every proxy", async || {
            (target_of(proxy, "fork").await == "right").then_some(())
        })
        .await;
    }
    let generation = ["get", "modelroute", "fork", "-n", &namespace, "-o"];
    wait::until("Programmed for the new generation", async || {
        let seen =
            cluster.kubectl(generation.iter().copied().chain([
                "jsonpath={.status.conditions[?(@.type==\"Programmed\")].status} {.status.observedGeneration} \
             {.status.proxies.connected} {.status.proxies.programmed}",
            ]));
        (seen == "True 2 3 3").then_some(())
    })
    .await;
    let table = cluster.kubectl(["get", "modelroutes,costbudgets", "-n", &namespace]);
    assert!(table.contains("3/3"), "{table}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_without_proxies_says_that_there_are_none() {
    let cluster = Cluster::shared().await;
    let namespace = cluster.namespace("lonely").await;
    let _operator = Operator::start(cluster, &namespace).await;
    cluster.apply_text(&namespace, &split_route("fork", 1, 0));
    wait::until("Programmed=Unknown/NoProxies", async || {
        let seen = cluster.kubectl([
            "get",
            "modelroute",
            "fork",
            "-n",
            &namespace,
            "-o",
            "jsonpath={.status.conditions[?(@.type==\"Programmed\")].status}/{.status.conditions[?(@.type==\"Programmed\")].reason}",
        ]);
        (seen == "Unknown/NoProxies").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_does_not_answer_is_named() {
    let cluster = Cluster::shared().await;
    let namespace = cluster.namespace("laggard").await;
    let operator = Operator::start(cluster, &namespace).await;
    cluster.apply_text(&namespace, &split_route("fork", 1, 0));
    let proxies = three(cluster, &operator, &namespace).await;
    cluster.kubectl(WAIT.iter().copied().chain(["modelroute", "--all", "-n", &namespace]));
    proxies[1].process.pause();
    cluster.apply_text(&namespace, &split_route("fork", 0, 1));
    wait::until("the paused proxy to be named", async || {
        let seen = cluster.kubectl([
            "get",
            "modelroute",
            "fork",
            "-n",
            &namespace,
            "-o",
            "jsonpath={.status.observedGeneration} {.status.proxies.lagging[*]}",
        ]);
        (seen == "2 proxy-1").then_some(())
    })
    .await;
    proxies[1].process.resume();
    wait::until("the resumed proxy to follow", async || {
        (target_of(&proxies[1], "fork").await == "right").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_operator_a_proxy_serves_on_even_after_its_own_restart() {
    let cluster = Cluster::shared().await;
    let namespace = cluster.namespace("orphan").await;
    let mut operator = Operator::start(cluster, &namespace).await;
    cluster.apply_text(&namespace, &split_route("fork", 1, 0));
    let mut proxies = three(cluster, &operator, &namespace).await;
    operator.process.kill();
    for proxy in &mut proxies {
        assert_eq!(target_of(proxy, "fork").await, "left");
        proxy.restart().await;
        assert_eq!(target_of(proxy, "fork").await, "left");
    }
    operator.restart().await;
    cluster.apply_text(&namespace, &split_route("fork", 0, 1));
    for proxy in &proxies {
        wait::until("the edit made after the operator came back", async || {
            (target_of(proxy, "fork").await == "right").then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_sees_its_own_namespace_and_nothing_else() {
    // A cluster of its own: this operator watches every namespace, and two operators over one budget would fight.
    let cluster = Cluster::start().await;
    let (mine, other) = (cluster.namespace("mine").await, cluster.namespace("other").await);
    let operator = Operator::start_with(&cluster, |program| program).await;
    cluster.apply_text(&mine, &split_route("mine", 1, 0));
    cluster.apply_text(&other, &split_route("other", 1, 0));
    let proxy = operator.new_proxy(&cluster, &mine, "proxy").await;
    assert_eq!(target_of(&proxy, "mine").await, "left");
    let refused = proxy.chat("other", "let me in").await;
    assert_eq!((refused.status.as_u16(), refused.json()["error"]["code"].as_str()), (404, Some("model_not_found")));
    assert!(!proxy.table().await.to_string().contains("other"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_proxy_serves_last_is_counted() {
    let cluster = Cluster::shared().await;
    let namespace = cluster.namespace("farewell").await;
    let operator = Operator::start(cluster, &namespace).await;
    cluster.apply(&namespace, "examples/quickstart");
    let mut proxy = operator.new_proxy(cluster, &namespace, "proxy-0").await;
    cluster.kubectl(WAIT.iter().copied().chain(["modelroute", "--all", "-n", &namespace]));
    let served = 3;
    for _ in 0..served {
        proxy.chat("assistant", "goodbye").await.ok();
    }
    proxy.process.terminate();
    proxy.process.exited().await;
    wait::until("every request in the route's status", async || {
        let path = "jsonpath={.status.targets[*].requests} {.status.targets[*].errors}";
        let seen = cluster.kubectl(["get", "modelroute", "assistant", "-n", &namespace, "-o", path]);
        // The third request fails at the first target and is answered by the second.
        (seen == "3 1 1 0").then_some(())
    })
    .await;
}
