//! A snapshot and its facts in, the table and one verdict a resource out: total, deterministic, pure.
//!
//! # Why nothing here can fail
//! A resource that does not validate costs only itself: its verdict says why, and its last accepted spec, which the snapshot carries,
//! stays in force. `compile` remembers nothing, so a restart while a spec is broken changes nothing.

mod advice;
mod budgets;
mod claims;
mod embeddings;
mod routes;
mod verdict;

pub use advice::advice;
pub use verdict::{Conflict, InForce, Unpriced, Verdict, Verdicts};

use crate::{
    manifest::{Id, Kind, Spec},
    snapshot::{Accepted, Entry, Facts, Snapshot},
    table::Table,
    validate::{self, Checked, Context, Findings},
};
use std::collections::BTreeMap;

/// The table of a namespace, and what was found in each of its resources.
#[must_use]
pub fn compile(snapshot: &Snapshot, facts: &Facts) -> (Table, Verdicts) {
    let context = Context { namespace: &snapshot.namespace, mode: facts.mode };
    let mut verdicts = Verdicts::new();
    let mut in_force = BTreeMap::new();
    for (id, entry) in &snapshot.resources {
        let (verdict, checked) = judge(entry, context);
        verdicts.insert(id.clone(), verdict);
        if let Some(checked) = checked {
            in_force.insert(id.clone(), checked);
        }
    }
    let models = claims::settle(snapshot, &in_force, &mut verdicts);
    let mut table = Table { namespace: snapshot.namespace.clone(), models, ..Table::default() };
    for (id, checked) in &in_force {
        let Some(verdict) = verdicts.get_mut(id) else { continue };
        match checked {
            Checked::Route(route) => _ = table.routes.insert(id.name.clone(), routes::compile(route, facts, verdict)),
            // Without its one name nobody can ask for it.
            Checked::Embedding(endpoint) if !verdict.models.is_empty() => {
                table.embeddings.insert(id.name.clone(), embeddings::compile(endpoint, facts, verdict));
            }
            Checked::Embedding(_) | Checked::Budget(_) => {}
        }
    }
    for (id, checked) in &in_force {
        if let Checked::Budget(budget) = checked {
            budgets::bind(id, budget, snapshot, &mut table, &mut verdicts);
        }
    }
    (table, verdicts)
}

/// The spec in force and why: the one written when nothing is wrong with it, else the last accepted one.
fn judge(entry: &Entry, context: Context<'_>) -> (Verdict, Option<Checked>) {
    let Findings { checked, errors, refused, ignored } = validate::parsed(&entry.parsed, context);
    let mut verdict = Verdict { generation: entry.generation, errors, refused, ignored, ..Verdict::default() };
    if verdict.refused.is_empty()
        && let (Some(checked), Some(spec)) = (&checked, &entry.parsed.spec)
    {
        verdict.in_force = InForce::Current;
        verdict.last_accepted = Some(Accepted { generation: entry.generation, spec: spec.clone() });
        verdict.targets = target_names(spec);
        return (verdict, Some(checked.clone()));
    }
    verdict.last_accepted.clone_from(&entry.last_accepted);
    let last = entry.last_accepted.as_ref().and_then(|accepted| {
        let findings = validate::spec(&accepted.spec, context);
        let served = findings.refused.is_empty().then_some(findings.checked)??;
        Some((accepted, served))
    });
    if let Some((accepted, served)) = last {
        verdict.in_force = InForce::LastGood(accepted.generation);
        verdict.targets = target_names(&accepted.spec);
        return (verdict, Some(served));
    }
    (verdict, None)
}

fn target_names(spec: &Spec) -> Vec<String> {
    match spec {
        Spec::ModelRoute(spec) => spec.targets.iter().map(|t| t.name.0.clone()).collect(),
        Spec::EmbeddingEndpoint(spec) => validate::source_names(spec.fallback.len()).collect(),
        Spec::CostBudget(_) => Vec::new(),
    }
}

/// The route of that name.
fn route_id(name: &str) -> Id {
    Id::new(Kind::ModelRoute, name)
}

#[cfg(test)]
mod tests;
