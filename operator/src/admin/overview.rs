//! The API server in; the resources of every namespace as `kubectl` shows them, and what the operator did last, out.

use crate::error::brief;
use crate::events::{Note, Notes};
use crate::index::{Kind, api_resource};
use kube::api::{DynamicObject, ListParams};
use kube::{Api, Client, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tollway_crds::Condition;
use tollway_crds::cost_budget::CostBudgetStatus;
use tollway_crds::embedding_endpoint::EmbeddingEndpointStatus;
use tollway_crds::model_route::ModelRouteStatus;

/// Resources of one kind shown at most.
const MOST: u32 = 500;
/// How long what was read is shown again, however many look.
const AGE: Duration = Duration::from_secs(3);

/// Everything the page shows.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Overview {
    /// By namespace and name, likewise the others.
    pub budgets: Vec<Shown<CostBudgetStatus>>,
    /// Routes.
    pub routes: Vec<Shown<ModelRouteStatus>>,
    /// Embedding endpoints.
    pub endpoints: Vec<Shown<EmbeddingEndpointStatus>>,
    /// What this replica did last, the newest first.
    pub decisions: Vec<Decision>,
    /// There are more resources than are shown.
    pub is_cut: bool,
    /// What could not be read, and why.
    pub problems: Vec<String>,
}

/// One resource.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Shown<S> {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// What the page needs of its spec.
    pub spec: Value,
    /// Its status.
    pub status: S,
}

/// One thing that the operator did or found.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// When (RFC 3339).
    pub at: String,
    /// `Kind namespace/name`.
    pub about: String,
    /// One word for it.
    pub reason: String,
    /// Whether somebody should act on it.
    pub warning: bool,
    /// A sentence.
    pub text: String,
}

/// Reads the overview when somebody looks.
pub struct Reader {
    client: Client,
    namespace: Option<String>,
    notes: Notes,
    last: Mutex<Option<(Instant, Overview)>>,
}

impl Reader {
    /// Of one namespace, or of all.
    pub fn new(client: Client, namespace: Option<String>, notes: Notes) -> Reader {
        Reader { client, namespace, notes, last: Mutex::default() }
    }

    /// As it is now, or was a moment ago.
    pub async fn read(&self) -> Overview {
        // Whoever comes while it is read waits and gets the same.
        let mut last = self.last.lock().await;
        if let Some((at, overview)) = last.as_ref()
            && at.elapsed() < AGE
        {
            return overview.clone();
        }
        let mut overview =
            Overview { decisions: self.notes.recent().into_iter().map(decision).collect(), ..Overview::default() };
        overview.budgets = self.list(Kind::CostBudget, &["/limit/amount", "/period", "/mode"], &mut overview).await;
        overview.routes = self.list(Kind::ModelRoute, &["/models"], &mut overview).await;
        overview.endpoints = self.list(Kind::EmbeddingEndpoint, &["/model"], &mut overview).await;
        *last = Some((Instant::now(), overview.clone()));
        overview
    }

    async fn list<S>(&self, kind: Kind, fields: &[&str], overview: &mut Overview) -> Vec<Shown<S>>
    where
        S: DeserializeOwned + Default,
    {
        let resource = api_resource(kind);
        let api: Api<DynamicObject> = match &self.namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &resource),
            None => Api::all_with(self.client.clone(), &resource),
        };
        match api.list(&ListParams::default().limit(MOST)).await {
            Ok(list) => {
                overview.is_cut |= list.metadata.continue_.is_some_and(|more| !more.is_empty());
                list.items.into_iter().map(|object| shown(object, fields)).collect()
            }
            Err(error) => {
                overview.problems.push(format!("{}s: {}", kind.as_str(), brief(&error)));
                vec![]
            }
        }
    }
}

fn decision((at, note): (jiff::Timestamp, Note)) -> Decision {
    let Note { kind, namespace, name, reason, warning, text, uid: _, action: _ } = note;
    let about = format!("{kind} {namespace}/{name}");
    Decision { at: format!("{at:.0}"), about, reason: reason.to_owned(), warning, text }
}

fn shown<S: DeserializeOwned + Default>(mut object: DynamicObject, fields: &[&str]) -> Shown<S> {
    let spec = &object.data["spec"];
    let wanted = fields.iter().filter_map(|path| {
        let value = spec.pointer(path)?.clone();
        Some((path.rsplit('/').next()?.to_owned(), value))
    });
    let spec = Value::Object(wanted.collect());
    let mut status = object.data["status"].take();
    // The spec in force is long, and stands in the resource.
    if let Some(fields) = status.as_object_mut() {
        fields.remove("lastAccepted");
    }
    Shown {
        namespace: object.namespace().unwrap_or_default(),
        name: object.name_any(),
        spec,
        status: serde_json::from_value(status).unwrap_or_default(),
    }
}

/// The condition of that type.
pub fn condition<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == type_)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_resource_is_shown_without_its_spec_and_however_odd_its_status() {
        let object = |status: Value| -> DynamicObject {
            let metadata = json!({"name": "team", "namespace": "shop"});
            let spec = json!({"limit": {"amount": "5.00"}, "period": "Monthly", "adjustments": [1]});
            serde_json::from_value(
                json!({"apiVersion": "v", "kind": "k", "metadata": metadata, "spec": spec, "status": status}),
            )
            .unwrap()
        };
        let of = |status| shown::<CostBudgetStatus>(object(status), &["/limit/amount", "/mode"]);
        let team = of(json!({"spentUsd": "1.00", "lastAccepted": {"generation": 1, "spec": {}}}));
        assert_eq!((team.namespace.as_str(), team.name.as_str()), ("shop", "team"));
        assert_eq!(team.spec, json!({"amount": "5.00"}));
        assert_eq!((team.status.spent_usd.as_deref(), team.status.last_accepted), (Some("1.00"), None));
        assert_eq!(of(Value::Null).status, CostBudgetStatus::default());
        assert_eq!(of(json!({"spentUsd": 7})).status, CostBudgetStatus::default());
    }
}
