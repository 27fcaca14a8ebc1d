//! A resource and a place in AWS in; the record on the resource that what is there was made for it out.

use crate::index::{Kind, api_resource};
use crate::ledger::Key;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{DynamicObject, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;

/// One kind of claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The finalizer that holds a resource until what was made for it is deleted, and the annotation that says what that is.
    name: &'static str,
    /// Field manager of these claims, and of nothing else: what it does not apply again is taken off.
    manager: &'static str,
}

/// A mirror in AWS Budgets.
pub const BUDGET: Mark = Mark { name: "tollway.dev/aws-budget", manager: "tollway-operator-aws" };
/// A scalable target and its policy.
pub const SCALING: Mark = Mark { name: "tollway.dev/aws-scaling", manager: "tollway-operator-aws" };
/// An endpoint with its configurations and models.
pub const PROVISION: Mark = Mark { name: "tollway.dev/aws-provision", manager: "tollway-operator-aws-provision" };

/// What a resource's metadata claims.
pub fn claimed(mark: Mark, metadata: &ObjectMeta) -> Option<String> {
    let held = metadata.finalizers.as_ref().is_some_and(|all| all.iter().any(|one| one == mark.name));
    metadata.annotations.as_ref().filter(|_| held)?.get(mark.name).cloned()
}

/// Where claims are kept.
pub trait Claims: Send + Sync + 'static {
    /// Sets the claim of this very object, or takes it off.
    fn set(&self, key: &Key, uid: &str, place: Option<&str>) -> impl Future<Output = Result<(), kube::Error>> + Send;
}

/// Claims on the resources themselves.
#[derive(Clone)]
pub struct OnResources {
    /// The API server.
    pub client: Client,
    /// Which resources.
    pub kind: Kind,
    /// Which of their claims.
    pub mark: Mark,
}

impl Claims for OnResources {
    async fn set(&self, key: &Key, uid: &str, place: Option<&str>) -> Result<(), kube::Error> {
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), &key.namespace, &api_resource(self.kind));
        let mut metadata = json!({"uid": uid});
        let Mark { name, manager } = self.mark;
        if let Some(place) = place {
            metadata["finalizers"] = json!([name]);
            metadata["annotations"] = json!({name: place});
        }
        let patch = json!({"apiVersion": tollway_crds::API_VERSION, "kind": self.kind.as_str(), "metadata": metadata});
        let apply = PatchParams::apply(manager).force();
        match api.patch(&key.name, &apply, &Patch::Apply(&patch)).await {
            // Gone, or made anew: nothing of this object is left to take off.
            Err(kube::Error::Api(status)) if place.is_none() && matches!(status.code, 404 | 409 | 422) => Ok(()),
            other => other.map(|_| ()),
        }
    }
}
