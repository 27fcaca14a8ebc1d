//! Deletions of BudgetLedgers in; the keepers that lost theirs told. Without it a loss would show only at the next write.

use super::keeper::Input;
use super::{Books, store};
use futures_util::StreamExt;
use kube::core::PartialObjectMeta;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, ResourceExt};
use std::sync::Arc;
use tollway_crds::budget_ledger::BudgetLedger;

/// Follows the ledgers until the term ends.
pub(super) async fn follow(books: Arc<Books>) {
    let api: Api<PartialObjectMeta<BudgetLedger>> = Api::namespaced(books.watches.clone(), &books.namespace);
    let mut events = watcher(api, watcher::Config::default()).default_backoff().boxed();
    while let Some(event) = events.next().await {
        match event {
            Ok(watcher::Event::Delete(object)) => {
                let label = |label: &str| object.labels().get(label).cloned();
                let place = (label(store::BUDGET_NAMESPACE), label(store::BUDGET), object.uid());
                if let (Some(namespace), Some(name), Some(uid)) = place {
                    books.tell(&namespace, &name, Input::LedgerGone(uid));
                }
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "ledgers not watched; a loss shows at the next write"),
        }
    }
}
