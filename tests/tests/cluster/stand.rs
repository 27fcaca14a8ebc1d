//! What the tests of the webhook stand on: a cluster of one's own, and an operator in it that has only its service account's rights.

use serde_json::Value;
use std::process::Output;
use tollway_tests::cluster::Cluster;
use tollway_tests::process::{Operator, free_port, workspace};
use tollway_tests::wait;

pub struct Stand {
    pub cluster: Cluster,
    pub operator: Operator,
    /// Where the operator answers the API server.
    pub address: String,
}

impl Stand {
    /// The operator leads; the API server does not ask it yet.
    pub async fn start(args: &[&str]) -> Stand {
        let cluster = Cluster::start().await;
        let rights = std::fs::read_to_string(workspace().join("operator/rbac.yaml")).expect("operator/rbac.yaml");
        cluster.kubectl(["create", "namespace", "tollway-system"]);
        cluster.apply_text("tollway-system", &rights);
        let kubeconfig = cluster.kubeconfig_of("tollway-system", "tollway-operator").await;
        let address = format!("127.0.0.1:{}", free_port());
        let mut operator = Operator::replica(&cluster, "tollway-system", |program| {
            let program = program.env("KUBECONFIG", &kubeconfig).arg(format!("--webhook={address}"));
            program.args(args)
        });
        operator.leading().await;
        operator.fetch_ca(&cluster).await;
        Stand { cluster, operator, address }
    }

    /// As `start`, and the API server asks.
    pub async fn asked(args: &[&str]) -> Stand {
        let stand = Stand::start(args).await;
        stand.cluster.apply_webhook(&stand.address).await;
        stand.heard().await;
        stand
    }

    /// Waits until the API server has taken up both configurations, which it does some moments after they are stored.
    pub async fn heard(&self) {
        let namespace = self.cluster.namespace("probe").await;
        self.cluster.kubectl(["label", "namespace", &namespace, "tollway.dev/inject=true"]);
        wait::until("the API server to ask about Pods", async || {
            let output = self.try_apply(&namespace, &["--dry-run=server", "-o", "json"], &pod("probe", ""));
            (output.status.success() && stdout(&output).contains("tollway-proxy")).then_some(())
        })
        .await;
        let broken = "{apiVersion: tollway.dev/v1alpha1, kind: CostBudget, metadata: {name: b}, spec: {limit: {amount: \"1\"}, period: Daily, timeZone: Mars/Base}}";
        wait::until("the API server to ask about resources", async || {
            let output = self.try_apply(&namespace, &["--dry-run=server"], broken);
            (!output.status.success() && stderr(&output).contains("spec.timeZone")).then_some(())
        })
        .await;
    }

    /// `kubectl apply` with more arguments.
    pub fn try_apply(&self, namespace: &str, args: &[&str], manifest: &str) -> Output {
        let path = tollway_tests::scratch::folder("manifests").join("manifest.yaml");
        std::fs::write(&path, manifest).expect("a file for the manifest");
        let path = path.to_string_lossy().into_owned();
        let first = ["apply", "-n", namespace, "-f", &path];
        self.cluster.try_kubectl(first.iter().chain(args).copied())
    }

    /// A Pod as the API server stored it.
    pub fn stored(&self, namespace: &str, name: &str) -> Value {
        let text = self.cluster.kubectl(["get", "pod", name, "-n", namespace, "-o", "json"]);
        serde_json::from_str(&text).expect("JSON from kubectl")
    }
}

/// A Pod of one container, with more metadata or none, like `annotations: {a: "b"}`.
pub fn pod(name: &str, metadata: &str) -> String {
    let comma = if metadata.is_empty() { "" } else { ", " };
    format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}{comma}{metadata}}}, spec: {{containers: [{{name: app, image: example.invalid/app}}]}}}}"
    )
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
