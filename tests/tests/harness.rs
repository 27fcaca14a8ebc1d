//! The harness itself: a real API server starts, takes our CRDs, judges by their CEL rules, binds tokens to Pods, survives an outage; a
//! program starts, is paused, killed and started again.

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, ListParams, PostParams};
use kube::{Client, ResourceExt};
use tollway_crds::ModelRoute;
use tollway_tests::cluster::{AUDIENCE, Cluster};
use tollway_tests::process::Proxy;
use tollway_tests::{http, scratch};

const ROUTE: &str = r#"
apiVersion: tollway.dev/v1alpha1
kind: ModelRoute
metadata: {name: chat}
spec:
  models: [assistant]
  targets:
  - {name: pretend, simulated: {reply: hello}}
  rules:
  - split: [{target: pretend, weight: 100}]
"#;

#[tokio::test]
async fn a_resource_round_trips() {
    let cluster = Cluster::shared().await;
    let namespace = cluster.namespace("round-trip").await;
    cluster.apply_text(&namespace, ROUTE);
    let routes: Api<ModelRoute> = Api::namespaced(cluster.client().await, &namespace);
    let route = routes.get("chat").await.unwrap();
    let spec = serde_json::to_value(&route.spec).unwrap();
    assert_eq!(spec["models"], serde_json::json!(["assistant"]));
    assert_eq!(spec["targets"][0]["simulated"]["reply"], "hello");
    let table = cluster.kubectl(["get", "tollway", "-n", &namespace, "-o", "name"]);
    assert_eq!(table.trim(), "modelroute.tollway.dev/chat");
}

#[tokio::test]
async fn a_target_with_two_providers_is_refused_with_a_reason() {
    let cluster = Cluster::shared().await;
    let namespace = cluster.namespace("cel").await;
    let two = ROUTE.replace(
        "simulated: {reply: hello}",
        "simulated: {reply: hello}, anthropic: {model: claude, apiKey: {secretRef: {name: key}}}",
    );
    let output = cluster.try_apply_text(&namespace, &two);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "accepted: {}", String::from_utf8_lossy(&output.stdout));
    assert!(error.contains("exactly one"), "{error}");
}

#[tokio::test]
async fn an_unknown_field_is_refused() {
    let cluster = Cluster::shared().await;
    let namespace = cluster.namespace("unknown").await;
    let output = cluster.try_apply_text(&namespace, &ROUTE.replace("models:", "modells: [x]\n  models:"));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && error.contains("modells"), "{error}");
}

#[tokio::test]
async fn a_proxys_token_names_its_pod_until_the_pod_is_gone() {
    let cluster = Cluster::shared().await;
    let namespace = cluster.namespace("token").await;
    let pod = cluster.proxy_pod(&namespace, "proxy-0").await;
    let token = std::fs::read_to_string(&pod.token_file).unwrap();
    let client = cluster.client().await;

    let good = review(&client, &token, AUDIENCE).await;
    assert_eq!(good.authenticated, Some(true), "{good:?}");
    let user = good.user.unwrap();
    assert_eq!(user.username.unwrap(), format!("system:serviceaccount:{namespace}:default"));
    assert_eq!(user.extra.unwrap()["authentication.kubernetes.io/pod-uid"], vec![pod.uid.clone()]);

    assert_ne!(review(&client, &token, "somebody-else").await.authenticated, Some(true));

    cluster.delete_pod(&namespace, &pod.name).await;
    // The API server remembers a verdict for ten seconds.
    tollway_tests::wait::until("the token of a Pod that is gone to be refused", async || {
        (review(&client, &token, AUDIENCE).await.authenticated != Some(true)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_service_account_may_do_nothing_by_itself() {
    let cluster = Cluster::shared().await;
    let namespace = cluster.namespace("rbac").await;
    let kubeconfig = cluster.kubeconfig_of(&namespace, "default").await;
    let client = tollway_tests::cluster::client(&kubeconfig).await;
    let routes: Api<ModelRoute> = Api::namespaced(client, &namespace);
    let error = routes.list(&ListParams::default()).await.unwrap_err().to_string();
    assert!(error.contains("forbidden"), "{error}");
}

#[tokio::test]
async fn what_was_written_survives_an_outage_of_the_api_server() {
    let cluster = Cluster::start().await;
    let namespace = cluster.namespace("outage").await;
    let maps: Api<ConfigMap> = Api::namespaced(cluster.client().await, &namespace);
    let mut map = ConfigMap::default();
    map.metadata.name = Some("kept".into());
    maps.create(&PostParams::default(), &map).await.unwrap();

    cluster.stop_api_server();
    assert!(maps.get("kept").await.is_err());

    cluster.start_api_server().await;
    assert_eq!(maps.get("kept").await.unwrap().name_any(), "kept");
}

#[tokio::test]
async fn a_proxy_is_started_paused_killed_and_started_again() {
    let folder = scratch::folder("manifests");
    std::fs::write(folder.join("route.yaml"), ROUTE).unwrap();
    let mut proxy = Proxy::standalone(&folder).await;
    let reply = proxy.chat("assistant", "hi").await.ok();
    assert_eq!(reply.json()["choices"][0]["message"]["content"], "hello");
    assert!(proxy.process.resident_bytes() > 0);

    let mut stream = proxy.chat_stream("assistant", "hi").await;
    assert_eq!(stream.rest().await.unwrap().last().unwrap(), "[DONE]");

    proxy.process.pause();
    let hung = tokio::time::timeout(std::time::Duration::from_millis(200), http::try_get(&proxy.admin)).await;
    assert!(hung.is_err(), "a paused process answers nothing");
    proxy.process.resume();
    proxy.ready().await;

    let before = proxy.process.pid();
    proxy.restart().await;
    assert_ne!(proxy.process.pid(), before);

    proxy.process.terminate();
    assert!(proxy.process.exited().await.success(), "{}", proxy.process.log());
}

async fn review(client: &Client, token: &str, audience: &str) -> TokenReviewStatus {
    let spec = TokenReviewSpec { token: Some(token.into()), audiences: Some(vec![audience.into()]) };
    let review = TokenReview { spec, ..TokenReview::default() };
    let api: Api<TokenReview> = Api::all(client.clone());
    let answer = api.create(&PostParams::default(), &review).await.expect("an answer to the TokenReview");
    answer.status.expect("a verdict in it")
}
