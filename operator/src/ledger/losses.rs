//! Changes of BudgetLedgers in; the keepers whose ledger was deleted, or written by somebody else, told. Without it that would show only at
//! the next write.

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
            Ok(watcher::Event::Delete(object)) => tell(&books, &object, Input::LedgerGone),
            Ok(watcher::Event::Apply(object) | watcher::Event::InitApply(object)) => {
                let version = object.resource_version().unwrap_or_default();
                tell(&books, &object, |uid| Input::LedgerWritten { uid, version });
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "ledgers not watched; a loss shows at the next write"),
        }
    }
}

fn tell(books: &Books, object: &PartialObjectMeta<BudgetLedger>, input: impl FnOnce(String) -> Input) {
    let label = |label: &str| object.labels().get(label).cloned();
    let place = (label(store::BUDGET_NAMESPACE), label(store::BUDGET), object.uid());
    if let (Some(namespace), Some(name), Some(uid)) = place {
        books.tell(&namespace, &name, input(uid));
    }
}
