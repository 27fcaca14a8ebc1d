//! Pods as the API server stores them once the webhook is asked: who gets the proxy, what it may do, and that it works as injected.

use super::stand::{Stand, pod, stderr};
use serde_json::Value;
use std::time::Instant;
use tollway_tests::http;
use tollway_tests::manifests::split_route;
use tollway_tests::process::{Program, Proxy};
use tollway_tests::{scratch, wait};

fn proxy_of(pod: &Value) -> Option<&Value> {
    pod["spec"]["initContainers"].as_array()?.iter().find(|container| container["name"] == "tollway-proxy")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_gets_the_proxy_when_it_or_its_namespace_asks() {
    let stand = Stand::asked(&["--inject-default=proxy-memory-request=48Mi"]).await;
    let cluster = &stand.cluster;
    let [labelled, annotated, plain] =
        [cluster.namespace("labelled").await, cluster.namespace("annotated").await, cluster.namespace("plain").await];
    cluster.kubectl(["label", "namespace", &labelled, "tollway.dev/inject=true"]);
    // The API server itself turns this into the label that selectors see.
    cluster.kubectl(["annotate", "namespace", &annotated, "tollway.dev/inject=true"]);
    let apply = |namespace: &str, name: &str, metadata: &str| {
        cluster.apply_text(namespace, &pod(name, metadata));
        stand.stored(namespace, name)
    };
    // The namespace's label reaches the API server's selectors some moments later.
    let dry = |namespace: &str| {
        let output = stand.try_apply(namespace, &["--dry-run=server", "-o", "json"], &pod("dry", ""));
        String::from_utf8_lossy(&output.stdout).contains("tollway-proxy")
    };
    for namespace in [&labelled, &annotated] {
        wait::until("the namespace's label to be seen", async || dry(namespace).then_some(())).await;
        assert!(proxy_of(&apply(namespace, "app", "")).is_some(), "{namespace}");
    }
    let injected = stand.stored(&labelled, "app");
    let proxy = proxy_of(&injected).expect("the proxy");
    assert_eq!(injected["spec"]["initContainers"][0]["name"], "tollway-proxy");
    assert_eq!(proxy["restartPolicy"], "Always");
    assert_eq!(proxy["resources"]["requests"]["memory"], "48Mi", "the operator's default");
    // The API server mounts the Pod's token into every container that has nothing there: into the application, not into the proxy.
    let app_mounts = injected["spec"]["containers"][0]["volumeMounts"].to_string();
    let proxy_mounts = proxy["volumeMounts"].to_string();
    assert!(app_mounts.contains("kube-api-access") && !app_mounts.contains("tollway"), "{app_mounts}");
    assert!(!proxy_mounts.contains("kube-api-access") && proxy_mounts.contains("tollway-identity"), "{proxy_mounts}");

    assert!(proxy_of(&apply(&labelled, "refuses", "annotations: {tollway.dev/inject: \"false\"}")).is_none());
    assert!(proxy_of(&apply(&labelled, "refuses-too", "labels: {tollway.dev/inject: \"false\"}")).is_none());
    assert!(proxy_of(&apply(&plain, "plain", "")).is_none());
    assert!(proxy_of(&apply(&plain, "asks", "annotations: {tollway.dev/inject: \"true\"}")).is_some());
    assert!(proxy_of(&apply(&plain, "asks-too", "labels: {tollway.dev/inject: \"true\"}")).is_some());

    // The label goes with the annotation.
    cluster.kubectl(["annotate", "namespace", &annotated, "tollway.dev/inject-"]);
    let labels = cluster.kubectl(["get", "namespace", &annotated, "-o", "jsonpath={.metadata.labels}"]);
    assert!(!labels.contains("tollway.dev/inject"), "{labels}");

    let wrong =
        "annotations: {tollway.dev/inject: \"true\", tollway.dev/proxy-threads: two, tollway.dev/proxy-colour: blue}";
    let refused = stand.try_apply(&plain, &[], &pod("wrong", wrong));
    let told = stderr(&refused);
    assert!(!refused.status.success() && told.contains("proxy-threads") && told.contains("proxy-colour"), "{told}");

    let log = stand.operator.process.log().to_lowercase();
    assert!(!log.contains("forbidden"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_proxy_serves_as_it_is_injected() {
    let stand = Stand::asked(&["--inject-default=proxy-log=debug"]).await;
    let cluster = &stand.cluster;
    let namespace = cluster.namespace("team").await;
    cluster.apply_text(&namespace, &split_route("chat", 1, 0));
    cluster.apply_text(&namespace, &pod("app", "annotations: {tollway.dev/inject: \"true\"}"));
    let injected = stand.stored(&namespace, "app");
    let container = proxy_of(&injected).expect("the proxy");

    // What a kubelet does: the token of the volume, the annotation as a file, an empty folder; but ports of the test's own.
    let folder = scratch::folder("kubelet");
    let sources = injected["spec"]["volumes"].as_array().expect("volumes");
    let identity = sources.iter().find(|volume| volume["name"] == "tollway-identity").expect("the identity");
    let token = &identity["projected"]["sources"][0]["serviceAccountToken"];
    let audience = token["audience"].as_str().expect("an audience");
    let object: k8s_openapi::api::core::v1::Pod = serde_json::from_value(injected.clone()).expect("a Pod");
    let token = cluster.token(&namespace, "default", audience, Some(&object)).await;
    std::fs::write(folder.join("token"), token).expect("a file for the token");
    let ca = injected["metadata"]["annotations"]["tollway.dev/operator-ca"].as_str().expect("the authority");
    std::fs::write(folder.join("ca.crt"), ca).expect("a file for the authority");
    let mounted = folder.to_string_lossy().into_owned();
    let mut program = Program::proxy();
    for arg in container["args"].as_array().expect("arguments").iter().filter_map(Value::as_str) {
        let own = ["--listen=", "--admin=", "--state-dir="].iter().any(|flag| arg.starts_with(flag));
        match arg {
            _ if own => {}
            // No DNS and no Service here.
            _ if arg.starts_with("--operator=") => {
                assert_eq!(arg, "--operator=https://tollway-operator.tollway-system.svc:8443");
                program = program.arg(format!("--operator={}", stand.operator.url));
            }
            arg => program = program.arg(arg.replace("/var/run/secrets/tollway.dev", &mounted)),
        }
    }
    let mut proxy = Proxy::start(program);
    proxy.ready().await;
    assert_eq!(proxy.chat("chat", "hello").await.ok().header("x-tollway-target"), "left");
    assert!(http::get(&format!("{}/livez", proxy.admin)).await.status.is_success());
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_put_back_and_a_pod_that_asks_never_starts_without_its_proxy() {
    let mut stand = Stand::asked(&[]).await;
    let namespace = stand.cluster.namespace("team").await;
    let asks = pod("asks", "annotations: {tollway.dev/inject: \"true\"}");
    let injected = |stand: &Stand| {
        let output = stand.try_apply(&namespace, &["--dry-run=server", "-o", "json"], &asks);
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).contains("tollway-proxy"))
    };
    let first = stand.cluster.ca_bundles();
    assert!(first.iter().all(|bundle| *bundle == first[0]));

    // Somebody takes the authority away: it is put back.
    let remove = "[{\"op\": \"remove\", \"path\": \"/webhooks/1/clientConfig/caBundle\"}]";
    stand.cluster.kubectl(["patch", "mutatingwebhookconfiguration", "tollway", "--type=json", "-p", remove]);
    wait::until("the authority to be put back", async || (stand.cluster.ca_bundles() == first).then_some(())).await;

    // Somebody deletes the Secret: another authority and certificate are made, known and served.
    stand.cluster.kubectl(["delete", "secret", "tollway-webhook-tls", "-n", "tollway-system"]);
    wait::until("a new authority in every webhook", async || {
        let bundles = stand.cluster.ca_bundles();
        (bundles[0] != first[0] && bundles.iter().all(|bundle| *bundle == bundles[0])).then_some(())
    })
    .await;
    wait::until("the API server to accept the new certificate", async || injected(&stand).filter(|injected| *injected))
        .await;

    stand.operator.process.kill();
    let refused = stand.try_apply(&namespace, &[], &asks);
    assert!(!refused.status.success() && stderr(&refused).contains("pod.inject.tollway.dev"), "{}", stderr(&refused));
    stand.cluster.apply_text(&namespace, &pod("others", ""));
    // And a budget can be written while nobody judges it.
    let budget = "{apiVersion: tollway.dev/v1alpha1, kind: CostBudget, metadata: {name: more}, spec: {limit: {amount: \"9\"}, period: Daily}}";
    stand.cluster.apply_text(&namespace, budget);
}

/// As from cert-manager: somebody else makes the certificate and tells the API server whom to trust.
#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_from_files_is_served_and_the_configurations_are_left_alone() {
    use base64::Engine;
    let folder = scratch::folder("issued");
    let issued = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
    let file = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).expect("a file for the certificate");
        path.to_string_lossy().into_owned()
    };
    let cert = format!("--webhook-cert={}", file("tls.crt", &issued.cert.pem()));
    let key = format!("--webhook-key={}", file("tls.key", &issued.signing_key.serialize_pem()));
    let stand = Stand::start(&[&cert, &key]).await;
    let authority = base64::engine::general_purpose::STANDARD.encode(issued.cert.pem());
    stand.cluster.apply_webhook_with(&stand.address, Some(&authority));
    stand.heard().await;
    assert!(stand.cluster.ca_bundles().iter().all(|bundle| *bundle == authority));
    let secrets = stand.cluster.kubectl(["get", "secrets", "-n", "tollway-system", "-o", "name"]);
    assert!(!secrets.contains("tollway-webhook-tls"), "{secrets}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_injection_adds_to_the_admission_of_a_pod() {
    const PODS: usize = 200;
    let stand = Stand::asked(&[]).await;
    let namespace = stand.cluster.namespace("team").await;
    let api: kube::Api<k8s_openapi::api::core::v1::Pod> =
        kube::Api::namespaced(stand.cluster.client().await, &namespace);
    let dry = kube::api::PostParams { dry_run: true, ..Default::default() };
    let mut medians = Vec::new();
    for metadata in ["", "annotations: {tollway.dev/inject: \"true\"}"] {
        let mut seconds = Vec::new();
        for at in 0..PODS {
            let object = serde_yaml::from_str(&pod(&format!("pod-{at}"), metadata)).expect("a Pod");
            let begun = Instant::now();
            let created = api.create(&dry, &object).await.expect("a dry run");
            seconds.push(begun.elapsed().as_secs_f64());
            let injected = created.spec.is_some_and(|spec| spec.init_containers.is_some());
            assert_eq!(injected, !metadata.is_empty());
        }
        seconds.sort_by(f64::total_cmp);
        medians.push((seconds[PODS / 2] * 1e3, seconds[PODS * 99 / 100] * 1e3));
    }
    // The API server's own account of what it waited for the webhook.
    let client = stand.cluster.client().await;
    let request = http_request("/metrics");
    let text = client.request_text(request).await.expect("the API server's metrics");
    let of = |suffix: &str| -> f64 {
        let name = format!("apiserver_admission_webhook_admission_duration_seconds_{suffix}");
        let lines = text.lines().filter(|line| line.starts_with(&name) && line.contains("pod.inject.tollway.dev"));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    };
    let (calls, waited) = (of("count"), of("sum"));
    assert!(calls >= PODS as f64, "the API server asked {calls} times");
    println!(
        "Pod admission, {PODS} dry runs each: median {:.2} ms (p99 {:.2}) without, {:.2} ms (p99 {:.2}) with injection; \
         the API server waited {:.2} ms a call on average over {calls} calls",
        medians[0].0,
        medians[0].1,
        medians[1].0,
        medians[1].1,
        waited / calls * 1e3
    );
    let counted = stand.operator.metrics().await;
    let own = |suffix: &str| -> f64 {
        let name = format!("tollway_operator_admission_seconds_{suffix}{{call=\"inject\"}} ");
        counted.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok()).unwrap_or_default()
    };
    println!("the operator itself took {:.3} ms a call on average", own("sum") / own("count") * 1e3);
    assert!(counted.contains("tollway_operator_admissions_total{answer=\"allowed\",call=\"inject\"}"), "{counted}");
}

fn http_request(path: &str) -> ::http::Request<Vec<u8>> {
    ::http::Request::get(path).body(Vec::new()).expect("a request")
}
