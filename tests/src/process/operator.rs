//! In: a cluster, and perhaps a namespace to stay in. Out: a `tollway-operator` that serves proxies, and proxies connected to it.

use std::path::PathBuf;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::Api;

use crate::cluster::{Cluster, ProxyPod};
use crate::http;
use crate::process::{Process, Program, Proxy, free_port};
use crate::{scratch, wait};

/// A running operator with ports and a namespace of its own.
#[derive(Debug)]
pub struct Operator {
    pub process: Process,
    /// Where proxies connect: `https://127.0.0.1:port`.
    pub url: String,
    /// The admin port, `http://127.0.0.1:port`.
    pub admin: String,
    /// Where its ledgers, lease and certificate are.
    pub namespace: String,
    /// PEM file with the authority of its certificate: what `--operator-ca` wants.
    pub ca: PathBuf,
}

impl Operator {
    /// An operator in a new namespace that watches only `watched`, leading and ready. Tests that share a cluster each have their own.
    pub async fn start(cluster: &Cluster, watched: &str) -> Operator {
        Operator::start_with(cluster, |program| program.arg(format!("--watch-namespace={watched}"))).await
    }

    /// An operator in a new namespace that watches everything but for what `change` adds.
    pub async fn start_with(cluster: &Cluster, change: impl FnOnce(Program) -> Program) -> Operator {
        let namespace = cluster.namespace("tollway-system").await;
        let mut operator = Operator::replica(cluster, &namespace, change);
        operator.leading().await;
        operator.fetch_ca(cluster).await;
        operator
    }

    /// One more operator in a namespace, not waited for: of several, one leads and the others stand by.
    pub fn replica(cluster: &Cluster, namespace: &str, change: impl FnOnce(Program) -> Program) -> Operator {
        let (port, admin_port) = (free_port(), free_port());
        let program = Program::operator()
            .arg("run")
            .env("KUBECONFIG", cluster.kubeconfig())
            .arg(format!("--listen=127.0.0.1:{port}"))
            .arg(format!("--admin=127.0.0.1:{admin_port}"))
            .arg(format!("--namespace={namespace}"))
            .arg(format!("--replica=operator-{port}"))
            .arg("--tls-san=127.0.0.1");
        Operator {
            process: change(program).start(),
            url: format!("https://127.0.0.1:{port}"),
            admin: format!("http://127.0.0.1:{admin_port}"),
            namespace: namespace.into(),
            ca: scratch::folder("operator-ca").join("ca.pem"),
        }
    }

    /// Waits until `/readyz` says so, leading or standing by; fails at once when the process ends before.
    pub async fn ready(&mut self) {
        self.wait_for_readyz("ok").await;
    }

    /// Waits until it holds the lease: at once when it is alone, some seconds after the former leader was killed.
    pub async fn leading(&mut self) {
        self.wait_for_readyz("leading").await;
    }

    async fn wait_for_readyz(&mut self, text: &str) {
        let url = format!("{}/readyz", self.admin);
        wait::until(&format!("tollway-operator to say '{text}' on /readyz"), async || {
            assert!(self.process.is_running(), "tollway-operator ended:\n{}", self.process.log_tail(30));
            http::try_get(&url).await.is_ok_and(|r| r.status.is_success() && r.text().contains(text)).then_some(())
        })
        .await;
    }

    /// kill -9 and the same command again, ready; `leading` waits for the lease.
    pub async fn restart(&mut self) {
        self.process.start_again();
        self.ready().await;
    }

    /// The certificate authority from ConfigMap `tollway-ca`, into the file `ca`.
    pub async fn fetch_ca(&self, cluster: &Cluster) {
        let maps: Api<ConfigMap> = Api::namespaced(cluster.client().await, &self.namespace);
        let pem =
            wait::until("ConfigMap tollway-ca", async || maps.get("tollway-ca").await.ok()?.data?.remove("ca.crt"))
                .await;
        std::fs::write(&self.ca, pem).expect("a file for the certificate authority");
    }

    /// A proxy of this operator in the Pod, not waited for: `ready` does. For several operators add more `--operator` by `change`.
    pub fn proxy(&self, pod: &ProxyPod, change: impl FnOnce(Program) -> Program) -> Proxy {
        let program = Program::proxy()
            .arg("run")
            .arg(format!("--operator={}", self.url))
            .arg("--operator-ca")
            .arg(&self.ca)
            .arg("--token-file")
            .arg(&pod.token_file);
        Proxy::start(change(program))
    }

    /// A proxy in a new Pod of the namespace, ready to serve.
    pub async fn new_proxy(&self, cluster: &Cluster, namespace: &str, name: &str) -> Proxy {
        let pod = cluster.proxy_pod(namespace, name).await;
        let mut proxy = self.proxy(&pod, |program| program);
        proxy.ready().await;
        proxy
    }

    /// The admin page `/metrics`.
    pub async fn metrics(&self) -> String {
        http::get(&format!("{}/metrics", self.admin)).await.ok().text()
    }
}
