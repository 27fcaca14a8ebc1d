//! Pods of namespaces with grants in; which holders are gone for good out.
//!
//! # Why a list counts only for holders known before it
//! A Pod that is missing from a list was deleted before the list was made, or made after it. Only holders that were known when
//! the list began can be judged by it; later deletions come as events with the Pod's uid.

use super::Books;
use super::keeper::Input;
use super::streams::Holder;
use futures_util::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::core::PartialObjectMeta;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, ResourceExt};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Follows the Pods of one namespace until the term ends.
pub(super) async fn follow(books: Arc<Books>, namespace: String) {
    let api: Api<PartialObjectMeta<Pod>> = Api::namespaced(books.watches.clone(), &namespace);
    let mut events = watcher(api, watcher::Config::default()).default_backoff().boxed();
    let mut known = BTreeSet::new();
    while let Some(event) = events.next().await {
        match event {
            Ok(watcher::Event::Init) => {
                known = books.holders(&namespace).into_iter().filter(|pod| Holder::is_pod(pod)).collect();
            }
            Ok(watcher::Event::InitApply(pod)) => {
                known.remove(&pod.uid().unwrap_or_default());
            }
            Ok(watcher::Event::InitDone) => {
                for pod in std::mem::take(&mut known) {
                    gone(&books, &namespace, pod);
                }
            }
            Ok(watcher::Event::Delete(pod)) => {
                if let Some(uid) = pod.uid() {
                    gone(&books, &namespace, uid);
                }
            }
            Ok(watcher::Event::Apply(_)) => {}
            Err(error) => {
                tracing::warn!(namespace, %error, "Pods not watched; grants of dead ones burn when their life ends")
            }
        }
    }
}

fn gone(books: &Books, namespace: &str, pod: String) {
    books.streams(namespace).cut(&pod);
    books.tell_all(namespace, || Input::PodGone(pod.clone()));
}
