//! Verdicts and what is known beside them in; status documents out. Judgement is in `core::status`; here each part is put in its place.

use super::compile::Compiled;
use super::update_status::Document;
use crate::aws::{Message, Notice, notify};
use crate::events::Note;
use crate::index::{About, Id, Space};
use crate::ledger::{Key, View};
use crate::term::Term;
use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeMap;
use tollway_core::compile::{InForce, Verdict};
use tollway_core::manifest::{Kind, Spec};
use tollway_core::status::{self, BudgetSeen, EmbeddingSeen, Ran, RouteSeen, instant};
use tollway_core::table::Embedding;
use tollway_crds::{CostBudgetStatus, EmbeddingEndpointStatus, ModelRouteStatus};

/// What statuses come to.
#[derive(Default)]
pub struct Built {
    /// The status of every resource.
    pub documents: Vec<Document>,
    /// What people should hear of the changes.
    pub notes: Vec<Note>,
    /// Of every budget, the messages that topics should hear.
    pub notices: Vec<Due>,
}

/// The messages of one budget in its window.
pub struct Due {
    /// The budget.
    pub key: Key,
    /// When its window began.
    pub window: Option<String>,
    /// What is due.
    pub notices: Vec<(Notice, Message)>,
}

pub fn build(term: &Term, space: &Space, compiled: &Compiled, ran: &BTreeMap<String, Ran>, now: Timestamp) -> Built {
    let namespace = &space.snapshot.namespace;
    let Built { mut documents, mut notes, mut notices } = Built::default();
    for (id, verdict) in &compiled.verdicts {
        let Some(About { uid, status: at_server, .. }) = space.about.get(id) else { continue };
        let before = term.writer.last(namespace, id, uid).unwrap_or_else(|| at_server.clone());
        let status = match id.kind {
            Kind::ModelRoute => value(&model_route(term, namespace, id, verdict, compiled, &read(&before), now)),
            Kind::CostBudget => {
                let status = cost_budget(term, namespace, id, verdict, &read(&before), now);
                notices.extend(due(namespace, id, verdict, &status));
                value(&status)
            }
            Kind::EmbeddingEndpoint => {
                let before: EmbeddingEndpointStatus = read(&before);
                let place = Embedding::place(&id.name);
                let seen = EmbeddingSeen {
                    convergence: term.hub.space(namespace).fleet().convergence(&place),
                    sources: term.observed.route(namespace, &place),
                    hosting: term.aws.scaling.seen(namespace, &id.name),
                    health: term.aws.scaling.health(namespace, &id.name),
                    ran: ran.get(&id.name).cloned(),
                    texts_per_second: term.observed.pace(namespace, &id.name),
                };
                value(&status::embedding_endpoint(verdict, &seen, &before, now))
            }
        };
        let Some(status) = status else { continue };
        notes.extend(Note::judged(id.kind.as_str(), namespace, &id.name, uid, &before, &status));
        documents.push(Document { namespace: namespace.clone(), id: id.clone(), uid: uid.clone(), status });
    }
    Built { documents, notes, notices }
}

fn due(namespace: &str, id: &Id, verdict: &Verdict, status: &CostBudgetStatus) -> Option<Due> {
    let accepted = verdict.last_accepted.as_ref().filter(|_| verdict.in_force != InForce::Nothing)?;
    let Spec::CostBudget(spec) = &accepted.spec else { return None };
    let key = Key { namespace: namespace.to_owned(), name: id.name.clone() };
    let notices = notify::due(&key, spec, status);
    let window = status.window.as_ref().and_then(|window| window.start.clone());
    Some(Due { key, window, notices })
}

fn model_route(
    term: &Term,
    namespace: &str,
    id: &Id,
    verdict: &Verdict,
    compiled: &Compiled,
    before: &ModelRouteStatus,
    now: Timestamp,
) -> ModelRouteStatus {
    let route = compiled.table.routes.get(&id.name);
    let budgets = route.into_iter().flat_map(|route| status::enforcing(route, &compiled.table.budgets));
    let seen = RouteSeen {
        route,
        convergence: term.hub.space(namespace).fleet().convergence(&id.name),
        targets: term.observed.route(namespace, &id.name),
        budgets: budgets
            .map(|name| (name.to_owned(), term.books.view(namespace, name).map(|view| view.figures)))
            .collect(),
    };
    status::model_route(verdict, &seen, before, now)
}

fn cost_budget(
    term: &Term,
    namespace: &str,
    id: &Id,
    verdict: &Verdict,
    before: &CostBudgetStatus,
    now: Timestamp,
) -> CostBudgetStatus {
    let seen = term.books.view(namespace, &id.name).map(|view| {
        let View { figures, window, ledger, uid, adjustments, forecast, threshold: _ } = view;
        let catalog = term.prices.now().0.revision.clone();
        let aws = term.aws.seen(namespace, &id.name, instant(window.start_ms).as_deref());
        BudgetSeen { figures, window, ledger, uid, adjustments, forecast, catalog, aws }
    });
    status::cost_budget(verdict, seen.as_ref(), before, now)
}

/// A status as it was; one of another form counts as none.
fn read<S: DeserializeOwned + Default>(before: &Value) -> S {
    S::deserialize(before).unwrap_or_default()
}

fn value<S: Serialize>(status: &S) -> Option<Value> {
    serde_json::to_value(status).inspect_err(|error| tracing::error!(%error, "status not written")).ok()
}
