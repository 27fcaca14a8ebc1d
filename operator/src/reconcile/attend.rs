//! A compilation, ledgers and what AWS said in; endpoints held by exhausted budgets, and their instance-hours on the ledgers, out.

use super::compile::Compiled;
use crate::index::{About, Space};
use crate::ledger::Ran;
use crate::term::Term;
use jiff::Timestamp;
use std::collections::BTreeMap;
use tollway_core::manifest::Kind;
use tollway_core::spend::Nano;
use tollway_core::status::{self, HostingSeen};
use tollway_core::table::{Mode, Table};

/// The hours that were counted just now, by endpoint.
pub fn attend(term: &Term, space: &Space, compiled: &Compiled, now: Timestamp) -> BTreeMap<String, status::Ran> {
    let namespace = &space.snapshot.namespace;
    let mut counted = BTreeMap::new();
    for (id, About { uid, .. }) in space.about.iter().filter(|(id, _)| id.kind == Kind::EmbeddingEndpoint) {
        let embedding = compiled.table.embeddings.get(&id.name);
        let budgets = embedding.map(|embedding| embedding.budgets.as_slice()).unwrap_or_default();
        term.aws.scaling.unanswered(namespace, &id.name, term.observed.unanswered(namespace, &id.name));
        term.aws.scaling.hold(namespace, &id.name, exhausted(term, namespace, &compiled.table, budgets));
        let Some(per_hour) = per_hour(term, namespace, &id.name) else { continue };
        let Some(ran) = term.aws.scaling.cost(namespace, &id.name, now.as_millisecond(), per_hour) else { continue };
        for budget in budgets {
            let status::Ran { since_ms, per_hour } = ran;
            let told = term.books.ran(namespace, budget, Ran { endpoint: uid.clone(), since_ms, per_hour });
            if !told {
                tracing::debug!(namespace, budget, "instance-hours are counted with the next");
            }
        }
        counted.insert(id.name.clone(), ran);
    }
    counted
}

/// Those that enforce and have nothing left; `None` while one of them is not known.
fn exhausted(term: &Term, namespace: &str, table: &Table, budgets: &[String]) -> Option<Vec<String>> {
    let enforcing = budgets.iter().filter(|name| table.budgets.get(*name).is_some_and(|b| b.mode == Mode::Enforce));
    let views: Option<Vec<_>> =
        enforcing.map(|name| Some((name.clone(), term.books.view(namespace, name)?.figures.exhausted))).collect();
    Some(views?.into_iter().filter(|(_, exhausted)| *exhausted).map(|(name, _)| name).collect())
}

/// What the running instances cost an hour, where AWS and the catalog say enough.
fn per_hour(term: &Term, namespace: &str, name: &str) -> Option<Nano> {
    let HostingSeen { endpoint, trouble, .. } = term.aws.scaling.seen(namespace, name)?;
    if trouble.is_some_and(|trouble| trouble.reason == "NotFound") {
        return Some(Nano::ZERO);
    }
    let endpoint = endpoint?;
    let running = u64::try_from(endpoint.instances?.0).ok()?;
    let catalog = term.prices.now().0;
    let one = catalog.instance(&endpoint.instance_type?)?.per_hour_in(&endpoint.region);
    Some(Nano(one.0.saturating_mul(running)))
}
