//! A budget and a window in; the window's ledger out, found or made, with its uid in the budget's status before anything is granted.
//!
//! # Why the uid is recorded first
//! A ledger that is deleted takes what was spent with it. The uid in the budget's status is the proof that there was one: then a
//! missing ledger means a loss, and the budget is frozen, instead of a cap that starts anew.

use super::keeper::Terms;
use super::record::{Outcome, Record};
use super::store::{self, Failure, Object, Store, Stored};
use super::{Books, Key};
use crate::error::{self, Error};
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::json;
use tollway_core::spend::Window;
use tollway_core::spend::ledger::{Event, LedgerState};
use tollway_crds::cost_budget::{CostBudget, LedgerRef};

/// Field manager of `status.ledger`; apart from the rest of the status, which is written later and less often.
const LEDGER_MANAGER: &str = "tollway-operator-ledger";

/// What is opened.
pub(super) struct Opening<'a> {
    pub(super) books: &'a Books,
    pub(super) key: &'a Key,
    pub(super) terms: &'a Terms,
    pub(super) window: Window,
}

pub(super) async fn open(opening: Opening<'_>) -> Result<Record<Object>, Error> {
    let Opening { books, key, terms, window } = opening;
    let at = format!("CostBudget {key}");
    let budgets: Api<CostBudget> = Api::namespaced(books.client.clone(), &key.namespace);
    let budget = budgets.get(&key.name).await.map_err(error::api(at.clone()))?;
    if budget.metadata.uid.as_deref() != Some(&terms.uid) {
        return Err(Error::Malformed { at, what: "was made anew; its new terms are on their way".into() });
    }
    let name = window.ledger_name(&key.namespace, &key.name);
    let status = budget.status.unwrap_or_default();
    let told = status.ledger.filter(|ledger| ledger.name == name);
    let object = books.object(key, name.clone());
    let place = format!("BudgetLedger {}/{name}", books.namespace);
    let fault = |what: String| Error::Malformed { at: place.clone(), what };
    let found = object.read().await.map_err(fault)?;
    let lost = |uid: &str| {
        format!(
            "the ledger {name} of window {} (uid {uid}) is gone or was replaced: check what was spent, then add a `resume` adjustment",
            window.id
        )
    };
    let record = |stored| Record::new(object.clone(), stored, books.metrics.clone());
    let record = match (found, &told) {
        (Some(stored), Some(told)) if stored.uid != told.uid => {
            let mut record = record(stored);
            let freeze = Event::Freeze { reason: lost(&told.uid) };
            match record.commit(super::keeper::now(), &[freeze]).await {
                Outcome::Done(effects) => effects.iter().for_each(|effect| books.note(key, effect)),
                other => return Err(fault(format!("not frozen: {other:?}"))),
            }
            record
        }
        (Some(stored), _) => record(stored),
        (None, told) => {
            let state = match told {
                // Resumes that were applied before were meant for something else.
                Some(told) => LedgerState {
                    observe: terms.observe,
                    adjustments: status.adjustments_applied.iter().map(|applied| applied.id.clone()).collect(),
                    ..LedgerState::frozen(terms.limit, window.clone(), &lost(&told.uid))
                },
                None => match predecessor(books, key, &window).await? {
                    Some(before) => before.state.successor(window.clone()),
                    None => LedgerState::new(terms.limit, window.clone()),
                },
            };
            let made = object.create(&state).await.map_err(|failure| match failure {
                Failure::Conflict => fault("another replica made it just now".into()),
                failure => fault(format!("not made: {failure:?}")),
            })?;
            if let Some(reason) = &state.frozen {
                books.note(key, &tollway_core::spend::Effect::Frozen { reason: reason.clone() });
            }
            record(made)
        }
    };
    if told.is_none_or(|told| told.uid != record.uid()) {
        let ledger = LedgerRef { name, uid: record.uid().to_owned() };
        let patch = json!({
            "apiVersion": tollway_crds::API_VERSION,
            "kind": "CostBudget",
            "metadata": {"uid": terms.uid},
            "status": {"ledger": ledger},
        });
        let apply = PatchParams::apply(LEDGER_MANAGER).force();
        budgets.patch_status(&key.name, &apply, &Patch::Apply(&patch)).await.map_err(error::api(at))?;
    }
    Ok(record)
}

/// The ledger of the latest earlier window: its adjustments stay applied, a freeze stays.
async fn predecessor(books: &Books, key: &Key, window: &Window) -> Result<Option<Stored>, Error> {
    let labels = store::labels(&key.reference());
    let selector = labels.iter().map(|(label, value)| format!("{label}={value}")).collect::<Vec<_>>().join(",");
    let at = format!("BudgetLedgers of {key}");
    let all = books.ledgers().list(&ListParams::default().labels(&selector)).await.map_err(error::api(at.clone()))?;
    let mut states = Vec::new();
    for object in all {
        states.push(store::stored(object).map_err(|what| Error::Malformed { at: at.clone(), what })?);
    }
    let earlier = states.into_iter().filter(|stored| stored.state.window.id != window.id);
    Ok(earlier.max_by_key(|stored| stored.state.window.start_ms))
}
