//! A CostBudget and a place in AWS in; the record on the resource that what is there is ours out.

use super::Place;
use crate::index::{Kind, api_resource};
use crate::ledger::Key;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{DynamicObject, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;

/// Holds the resource until its budget in AWS is deleted.
pub const FINALIZER: &str = "tollway.dev/aws-budget";
/// Says where that is: `account/name`.
pub const ANNOTATION: &str = "tollway.dev/aws-budget";
/// Field manager of both, and of nothing else: what it does not apply again is taken off.
const MANAGER: &str = "tollway-operator-aws";

/// The place that a resource's metadata claims.
pub fn claimed(metadata: &ObjectMeta) -> Option<Place> {
    let held = metadata.finalizers.as_ref().is_some_and(|all| all.iter().any(|one| one == FINALIZER));
    metadata.annotations.as_ref().filter(|_| held)?.get(ANNOTATION)?.parse().ok()
}

/// Where claims are kept.
pub trait Claims: Send + Sync + 'static {
    /// Sets the claim of this very object, or takes it off.
    fn set(&self, key: &Key, uid: &str, place: Option<&Place>) -> impl Future<Output = Result<(), kube::Error>> + Send;
}

/// Claims on CostBudgets.
#[derive(Clone)]
pub struct OnBudgets(pub Client);

impl Claims for OnBudgets {
    async fn set(&self, key: &Key, uid: &str, place: Option<&Place>) -> Result<(), kube::Error> {
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.0.clone(), &key.namespace, &api_resource(Kind::CostBudget));
        let mut metadata = json!({"uid": uid});
        if let Some(place) = place {
            metadata["finalizers"] = json!([FINALIZER]);
            metadata["annotations"] = json!({ANNOTATION: place.to_string()});
        }
        let patch =
            json!({"apiVersion": tollway_crds::API_VERSION, "kind": Kind::CostBudget.as_str(), "metadata": metadata});
        let apply = PatchParams::apply(MANAGER).force();
        match api.patch(&key.name, &apply, &Patch::Apply(&patch)).await {
            // Gone, or made anew: nothing of this object is left to take off.
            Err(kube::Error::Api(status)) if place.is_none() && matches!(status.code, 404 | 409 | 422) => Ok(()),
            other => other.map(|_| ()),
        }
    }
}
