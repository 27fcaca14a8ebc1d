//! In: names. Out: namespaces, service accounts, Pods and tokens in the cluster, as controllers and a kubelet would have made them.

use std::path::PathBuf;

use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Container, Namespace, Pod, PodSpec, ServiceAccount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, PostParams};

use crate::cluster::Cluster;
use crate::scratch;

/// The audience of the tokens that proxies show to the operator.
pub const AUDIENCE: &str = "tollway-operator";

/// A Pod that a proxy process can pretend to run in.
#[derive(Clone, Debug)]
pub struct ProxyPod {
    pub namespace: String,
    pub name: String,
    pub uid: String,
    /// Holds the projected token: what `--token-file` wants.
    pub token_file: PathBuf,
}

impl Cluster {
    /// A new namespace whose name begins with `hint`, with the service account `default`.
    pub async fn namespace(&self, hint: &str) -> String {
        let name = format!("{hint}-{:08x}", fastrand::u32(..));
        let object = Namespace { metadata: named(&name), ..Namespace::default() };
        let api: Api<Namespace> = Api::all(self.client().await);
        api.create(&PostParams::default(), &object).await.unwrap_or_else(|e| panic!("namespace {name}: {e}"));
        self.service_account(&name, "default").await;
        name
    }

    /// A new service account without any right.
    pub async fn service_account(&self, namespace: &str, name: &str) {
        let object = ServiceAccount { metadata: named(name), ..ServiceAccount::default() };
        let api: Api<ServiceAccount> = Api::namespaced(self.client().await, namespace);
        api.create(&PostParams::default(), &object).await.unwrap_or_else(|e| panic!("service account {name}: {e}"));
    }

    /// A new Pod of one container. Nothing runs in it.
    pub async fn pod(&self, namespace: &str, name: &str, service_account: &str) -> Pod {
        let container =
            Container { name: "app".into(), image: Some("example.invalid/app".into()), ..Container::default() };
        let spec = PodSpec {
            service_account_name: Some(service_account.into()),
            containers: vec![container],
            ..PodSpec::default()
        };
        let object = Pod { metadata: named(name), spec: Some(spec), ..Pod::default() };
        let api: Api<Pod> = Api::namespaced(self.client().await, namespace);
        api.create(&PostParams::default(), &object).await.unwrap_or_else(|e| panic!("pod {name}: {e}"))
    }

    /// Deletes a Pod at once: its bound tokens are worth nothing from then on.
    pub async fn delete_pod(&self, namespace: &str, name: &str) {
        let api: Api<Pod> = Api::namespaced(self.client().await, namespace);
        api.delete(name, &DeleteParams::default().grace_period(0)).await.unwrap_or_else(|e| panic!("pod {name}: {e}"));
    }

    /// A token of a service account for an audience; bound to the Pod when there is one.
    pub async fn token(&self, namespace: &str, service_account: &str, audience: &str, pod: Option<&Pod>) -> String {
        let bound = pod.map(|pod| BoundObjectReference {
            api_version: Some("v1".into()),
            kind: Some("Pod".into()),
            name: Some(pod.name_any()),
            uid: pod.uid(),
        });
        let spec = TokenRequestSpec {
            audiences: vec![audience.into()],
            bound_object_ref: bound,
            expiration_seconds: Some(3600),
        };
        let request = TokenRequest { spec, ..TokenRequest::default() };
        let api: Api<ServiceAccount> = Api::namespaced(self.client().await, namespace);
        let answer = api.create_token_request(service_account, &PostParams::default(), &request).await;
        answer.expect("an answer to the TokenRequest").status.expect("a token in it").token
    }

    /// A new Pod with the namespace's default service account, and its token for the operator in a file.
    pub async fn proxy_pod(&self, namespace: &str, name: &str) -> ProxyPod {
        let pod = self.pod(namespace, name, "default").await;
        let token = self.token(namespace, "default", AUDIENCE, Some(&pod)).await;
        let token_file = scratch::folder(name).join("token");
        std::fs::write(&token_file, token).expect("a file for the token");
        let uid = pod.uid().expect("the API server gives every object a uid");
        ProxyPod { namespace: namespace.into(), name: name.into(), uid, token_file }
    }

    /// A kubeconfig file that acts as a service account: what a Pod of it may do.
    pub async fn kubeconfig_of(&self, namespace: &str, service_account: &str) -> PathBuf {
        let token = self.token(namespace, service_account, "https://kubernetes.default.svc.cluster.local", None).await;
        let path = scratch::folder(service_account).join("kubeconfig");
        let text = self.certificates.kubeconfig_with_token(self.url(), &token);
        std::fs::write(&path, text).expect("a kubeconfig file");
        path
    }
}

fn named(name: &str) -> ObjectMeta {
    ObjectMeta { name: Some(name.into()), ..ObjectMeta::default() }
}
