//! The name of the operator's own namespace in; the namespace there, when the operator may see to that.

use crate::error;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};

/// Makes the namespace if it is missing. One that exists, or that the operator may not make, is left to whoever installs it: what
/// needs it says so as long as it is missing.
pub async fn settle(client: &Client, name: &str) {
    let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
    let namespace = Namespace { metadata, ..Namespace::default() };
    match Api::all(client.clone()).create(&PostParams::default(), &namespace).await {
        Ok(_) => tracing::info!(namespace = name, "namespace made: ledgers, lease and certificate are kept there"),
        Err(kube::Error::Api(status)) if matches!(status.code, 403 | 409) => {}
        Err(error) => tracing::warn!(namespace = name, error = error::brief(&error), "namespace not looked at"),
    }
}
