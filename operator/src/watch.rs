//! The API server's lists and watches in; events for the index out, through one channel.

pub mod objects;

use crate::index::{Event, Kind, Raw, api_resource};
use futures_util::StreamExt;
use kube::api::DynamicObject;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use tokio::sync::mpsc::Sender;

/// Follows one kind in one namespace or all, until the receiver is gone. Objects come as they are: one that does not have the
/// kind's form must not stop the others.
pub async fn kind(client: Client, kind: Kind, namespace: Option<String>, out: Sender<Event>) {
    let resource = api_resource(kind);
    let api: Api<DynamicObject> = match &namespace {
        Some(namespace) => Api::namespaced_with(client, namespace, &resource),
        None => Api::all_with(client, &resource),
    };
    let mut events = watcher(api, watcher::Config::default()).default_backoff().boxed();
    let mut listing = Vec::new();
    while let Some(event) = events.next().await {
        let event = match event {
            Ok(watcher::Event::Init) => {
                listing.clear();
                continue;
            }
            Ok(watcher::Event::InitApply(object)) => {
                listing.push(raw(object));
                continue;
            }
            Ok(watcher::Event::InitDone) => Event::Listed { kind, objects: std::mem::take(&mut listing) },
            Ok(watcher::Event::Apply(object)) => Event::Applied { kind, object: raw(object) },
            Ok(watcher::Event::Delete(object)) => Event::Deleted { kind, object: raw(object) },
            Err(error) => {
                tracing::warn!(?kind, %error, "watch interrupted; trying again: are the CustomResourceDefinitions installed and readable?");
                continue;
            }
        };
        if out.send(event).await.is_err() {
            return;
        }
    }
}

fn raw(object: DynamicObject) -> Raw {
    let DynamicObject { types, mut metadata, data } = object;
    // Who wrote which field is half of an object, and nothing here reads it.
    metadata.managed_fields = None;
    // The two parts were JSON a moment ago.
    let mut value = data;
    if let Some(fields) = value.as_object_mut() {
        if let Some(types) = types {
            fields.insert("apiVersion".into(), types.api_version.into());
            fields.insert("kind".into(), types.kind.into());
        }
        if let Ok(metadata) = serde_json::to_value(&metadata) {
            fields.insert("metadata".into(), metadata);
        }
    }
    Raw { metadata, value }
}
