//! The webhook's Secret in; its content, always fresh, out. Every replica keeps it: the first to write wins, the others take what it wrote.

use super::certificate::{self, Due, Material, SECRET};
use crate::error::{self, Error};
use futures_util::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::api::PostParams;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How often the age of what is held is looked at.
const LOOK: Duration = Duration::from_secs(3600);
/// Pause after a failure.
const PAUSE: Duration = Duration::from_secs(1);

/// Publishes the content at once and after every change, for as long as the process lives.
pub async fn keep(
    client: Client,
    watches: Client,
    namespace: String,
    names: BTreeSet<String>,
    out: watch::Sender<Option<Arc<Material>>>,
) {
    let secrets: Api<Secret> = Api::namespaced(watches, &namespace);
    let by_name = watcher::Config::default().fields(&format!("metadata.name={SECRET}"));
    let mut changes = watcher(secrets, by_name).default_backoff().boxed();
    loop {
        let wait = match settle(&client, &namespace, &names, Timestamp::now()).await {
            Ok(material) => {
                out.send_if_modified(|held| {
                    let news = held.as_deref() != Some(&material);
                    if news {
                        *held = Some(Arc::new(material));
                    }
                    news
                });
                LOOK
            }
            Err(error) => {
                tracing::warn!(%error, "no certificate for the webhook yet; trying again");
                PAUSE
            }
        };
        // Whatever became of the Secret, what must be done about it is found out above.
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = changed(&mut changes), if wait == LOOK => {}
        }
    }
}

/// Returns at the next event about the Secret itself.
async fn changed(
    changes: &mut (impl futures_util::Stream<Item = Result<watcher::Event<Secret>, watcher::Error>> + Unpin),
) {
    loop {
        match changes.next().await {
            Some(Ok(watcher::Event::Apply(_) | watcher::Event::Delete(_) | watcher::Event::InitDone)) => return,
            Some(Ok(_)) => {}
            Some(Err(error)) => tracing::warn!(%error, secret = SECRET, "watch interrupted; trying again"),
            None => std::future::pending().await,
        }
    }
}

/// The content of the Secret after everything that is due was made.
async fn settle(client: &Client, namespace: &str, names: &BTreeSet<String>, now: Timestamp) -> Result<Material, Error> {
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let at = || format!("Secret {namespace}/{SECRET}");
    loop {
        let found = api.get_opt(SECRET).await.map_err(error::api(at()))?;
        let held = found.as_ref().and_then(Material::read);
        let due = certificate::due(held.as_ref(), names, now);
        let material = certificate::renewed(held, due, names, now)?;
        if due == Due::Nothing {
            return Ok(material);
        }
        let secret = material.into_secret(namespace, found.as_ref());
        let written = match found {
            None => api.create(&PostParams::default(), &secret).await,
            Some(_) => api.replace(SECRET, &PostParams::default(), &secret).await,
        };
        match written {
            Ok(_) => tracing::info!(secret = SECRET, namespace, made = ?due, "webhook certificate"),
            // Another replica was faster: use what it wrote.
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            Err(source) => return Err(error::api(at())(source)),
        }
    }
}
