//! The bundle of authorities and the two webhook configurations in; configurations whose every webhook trusts the bundle out.

use super::certificate::Material;
use futures_util::StreamExt;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration, WebhookClientConfig,
};
use kube::api::{Patch, PatchParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use serde_json::json;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Pause after a failed write.
const PAUSE: Duration = Duration::from_secs(1);

/// What the two kinds have in common.
pub trait Configuration: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static {
    /// Each webhook's name, and how it is reached.
    fn webhooks(&self) -> Vec<(&str, &WebhookClientConfig)>;
}

impl Configuration for MutatingWebhookConfiguration {
    fn webhooks(&self) -> Vec<(&str, &WebhookClientConfig)> {
        self.webhooks.iter().flatten().map(|webhook| (webhook.name.as_str(), &webhook.client_config)).collect()
    }
}

impl Configuration for ValidatingWebhookConfiguration {
    fn webhooks(&self) -> Vec<(&str, &WebhookClientConfig)> {
        self.webhooks.iter().flatten().map(|webhook| (webhook.name.as_str(), &webhook.client_config)).collect()
    }
}

/// Keeps the configuration of that name trusting the bundle, as the one changes and the other, for as long as the process lives.
pub async fn follow<K: Configuration>(
    client: Client,
    watches: Client,
    name: String,
    mut material: watch::Receiver<Option<Arc<Material>>>,
) {
    let kind = K::kind(&()).into_owned();
    let by_name = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let mut events = watcher(Api::<K>::all(watches), by_name).default_backoff().boxed();
    let api: Api<K> = Api::all(client);
    let mut seen: Option<K> = None;
    let mut failed = false;
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(Ok(watcher::Event::Apply(object) | watcher::Event::InitApply(object))) => seen = Some(object),
                Some(Ok(watcher::Event::Delete(_) | watcher::Event::Init)) => seen = None,
                Some(Ok(watcher::Event::InitDone)) if seen.is_none() => {
                    tracing::warn!(kind, name, "no such webhook configuration: the API server asks nothing until it is applied");
                }
                Some(Ok(watcher::Event::InitDone)) => {}
                Some(Err(error)) => {
                    tracing::warn!(kind, name, %error, "watch interrupted; trying again");
                    continue;
                }
                None => return,
            },
            changed = material.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(PAUSE), if failed => {}
        }
        let bundle = material.borrow().as_ref().map(|material| material.bundle.clone());
        failed = false;
        if let (Some(object), Some(bundle)) = (&seen, bundle)
            && let Some(patch) = trusting(object, &bundle)
        {
            let manager =
                PatchParams { field_manager: Some(crate::FIELD_MANAGER.to_owned()), ..PatchParams::default() };
            match api.patch(&name, &manager, &Patch::Json::<()>(patch)).await {
                Ok(object) => {
                    tracing::info!(kind, name, "the API server trusts the webhook's authority");
                    seen = Some(object);
                }
                Err(error) => {
                    tracing::warn!(kind, name, error = crate::error::brief(&error), "caBundle not set; trying again");
                    failed = true;
                }
            }
        }
    }
}

/// What must change; `None` when every webhook has the bundle. The test of the names keeps a bundle from another's webhook when somebody
/// reorders them meanwhile.
fn trusting<K: Configuration>(object: &K, bundle: &str) -> Option<json_patch::Patch> {
    let mut operations = Vec::new();
    for (at, (name, config)) in object.webhooks().into_iter().enumerate() {
        if config.ca_bundle.as_ref().is_none_or(|held| held.0 != bundle.as_bytes()) {
            let value = k8s_openapi::ByteString(bundle.as_bytes().to_vec());
            operations.push(json!({"op": "test", "path": format!("/webhooks/{at}/name"), "value": name}));
            operations
                .push(json!({"op": "add", "path": format!("/webhooks/{at}/clientConfig/caBundle"), "value": value}));
        }
    }
    if operations.is_empty() {
        return None;
    }
    // Two kinds of operations, each with its fields.
    serde_json::from_value(operations.into()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configuration(bundles: [Option<&str>; 2]) -> MutatingWebhookConfiguration {
        let webhook = |name: &str, bundle: Option<&str>| {
            let bundle = bundle.map(|text| k8s_openapi::ByteString(text.as_bytes().to_vec()));
            json!({"name": name, "admissionReviewVersions": ["v1"], "sideEffects": "None", "clientConfig": {"url": "https://x", "caBundle": bundle}})
        };
        let webhooks = [webhook("a", bundles[0]), webhook("b", bundles[1])];
        serde_json::from_value(json!({"metadata": {"name": "tollway"}, "webhooks": webhooks})).unwrap()
    }

    #[test]
    fn every_webhook_comes_to_trust_the_bundle_and_no_other_is_touched() {
        let object = configuration([Some("new"), Some("old")]);
        let patch = trusting(&object, "new").unwrap();
        let mut value = serde_json::to_value(&object).unwrap();
        json_patch::patch(&mut value, &patch).unwrap();
        let patched: MutatingWebhookConfiguration = serde_json::from_value(value.clone()).unwrap();
        assert!(trusting(&patched, "new").is_none());

        value["webhooks"].as_array_mut().unwrap().reverse();
        assert!(json_patch::patch(&mut value, &patch).is_err(), "reordered meanwhile");
    }

    #[test]
    fn a_webhook_without_a_bundle_gets_one() {
        assert!(trusting(&configuration([None, None]), "new").is_some());
    }
}
