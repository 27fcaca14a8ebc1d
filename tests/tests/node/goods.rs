//! Where the simulator listens in; the namespace `shop` out: a Service for it, routes, a budget, a gateway's certificate and values, and a Pod that reads a stream.

use std::path::PathBuf;

use tollway_tests::node::{Node, image_of_client};
use tollway_tests::scratch;
use tollway_tests::sim::{Config, Model, Price, Sim};

/// The model's name at the simulator, one dollar and four a million tokens.
const MODEL: &str = "toll-1";
/// What a client of the gateway shows.
pub const KEY: &str = "the-key-of-the-counter";

/// An upstream outside of the cluster's network.
pub async fn upstream(node: &Node) -> Sim {
    let mut config = Config { listen: (node.outside(), 0).into(), ..Config::default() };
    config.models.insert(MODEL.to_owned(), Model::priced(Price::micro(1_000_000, 4_000_000)));
    Sim::start(config).await.expect("a simulator")
}

/// Everything but the Pod, applied.
pub fn deliver(node: &Node, sim: &Sim) {
    node.cluster.kubectl(["create", "namespace", "shop"]);
    // From here on the API server lets in only Pods that are locked down: the operator's, the gateway's and those with our proxy.
    node.run("kubectl label namespace shop tollway-system pod-security.kubernetes.io/enforce=restricted");
    let route = |name: &str, more: &str| {
        format!(
            "---
apiVersion: tollway.dev/v1alpha1
kind: ModelRoute
metadata: {{name: {name}}}
spec:
  models: [{name}]
  targets:
  - name: outside
    openai: {{service: {{name: model, port: 80}}, path: /v1, model: {MODEL}}}
    price: {{inputPerMillion: \"1.00\", outputPerMillion: \"4.00\"}}
  rules:
  - split: [{{target: outside, weight: 100}}]
  {more}
"
        )
    };
    let (ip, port) = (sim.address().ip(), sim.address().port());
    let around = format!(
        "apiVersion: v1
kind: Service
metadata: {{name: model}}
spec: {{ports: [{{port: 80, targetPort: {port}}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: model-0, labels: {{kubernetes.io/service-name: model}}}}
addressType: IPv4
ports: [{{name: \"\", port: {port}}}]
endpoints: [{{addresses: [{ip}]}}]
---
apiVersion: v1
kind: Secret
metadata: {{name: keys}}
stringData: {{counter: {KEY}}}
---
apiVersion: tollway.dev/v1alpha1
kind: CostBudget
metadata: {{name: shop}}
spec: {{limit: {{amount: \"5.00\"}}, period: Daily}}
"
    );
    let keyed = route("keyed", "auth: {apiKeys: {secretRef: {name: keys}}}");
    node.cluster.apply_text("shop", &format!("{around}{}{keyed}", route("plain", "")));
    let pair = rcgen::generate_simple_self_signed(["tollway-gateway.shop.svc".to_owned()]).expect("a certificate");
    let folder = scratch::folder("gateway-tls");
    std::fs::write(folder.join("crt"), pair.cert.pem()).expect("a certificate's file");
    std::fs::write(folder.join("key"), pair.signing_key.serialize_pem()).expect("a key's file");
    let folder = folder.display();
    node.run(&format!("kubectl -n shop create secret tls gateway-tls --cert={folder}/crt --key={folder}/key"));
}

/// Values of a release with one gateway. Another `log` makes other Pods of operator and gateway.
pub fn values(log: &str) -> PathBuf {
    let file = scratch::folder("values").join("values.yaml");
    let gateway = format!("{{namespace: shop, replicas: 1, tls: {{secretName: gateway-tls}}, log: {log}}}");
    std::fs::write(&file, format!("operator: {{log: {log}}}\ngateways: [{gateway}]\n")).expect("a file for the values");
    file
}

/// The command that reads a stream to its end.
pub fn curl(base: &str, model: &str, more: &str) -> String {
    let body = format!(
        r#"{{"model":"{model}","stream":true,"max_tokens":100,"messages":[{{"role":"user","content":"how far is it?"}}]}}"#
    );
    format!("curl -sSN {more} {base}/chat/completions -H 'content-type: application/json' -d '{body}'")
}

/// An application that reads one stream, and when it is told to stop reads it to its end first, as a good one does.
pub fn reader(node: &Node) {
    let script = format!(
        "{} & stream=$!; trap 'echo told to stop' TERM; while kill -0 $stream 2>/dev/null; do wait $stream; done; echo read all",
        curl("$OPENAI_BASE_URL", "plain", "")
    );
    let pod = serde_json::json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "reader", "labels": {"run": "reader"}, "annotations": {"tollway.dev/inject": "true"}},
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 120,
            "securityContext": {"runAsNonRoot": true, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "name": "app", "image": image_of_client(), "command": ["sh", "-c", script],
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
            }],
        },
    });
    node.cluster.apply_text("shop", &pod.to_string());
}
