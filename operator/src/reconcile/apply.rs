//! A compilation in; the table published, the ledgers told their terms and AWS what budgets and endpoints ask of it.

use super::compile::Compiled;
use super::dereference::Found;
use crate::aws::{Order, mirror::Wanted, scaling};
use crate::index::{About, Space};
use crate::ledger::Terms;
use crate::term::Term;
use std::collections::BTreeMap;
use tollway_core::compile::InForce;
use tollway_core::manifest::{Id, Kind, Spec};
use tollway_core::spend::ledger::Adjustment;
use tollway_core::status::in_force;
use tollway_core::table::Mode;
use tollway_crds::cost_budget::CostBudgetSpec;

pub fn apply(term: &Term, space: &Space, compiled: &Compiled, found: Found) {
    let namespace = &space.snapshot.namespace;
    // Ledgers first: a proxy that gets the table asks at once.
    term.books.agree(namespace, terms(space, compiled));
    term.aws.agree(namespace, orders(space, compiled));
    term.aws.scaling.agree(namespace, hosted(space, compiled));
    let revision = term.floor.max(space.revision).max(found.revision);
    let Compiled { encoded, generations, .. } = compiled;
    let sent =
        term.hub.publish(namespace, revision, &encoded.digest, encoded.bytes.clone(), found.secrets, generations);
    if sent {
        let metrics = &term.setting.metrics;
        metrics.tables.inc();
        metrics.revision.set(metrics.revision.get().max(i64::try_from(revision).unwrap_or(i64::MAX)));
        tracing::info!(
            namespace,
            revision,
            digest = encoded.digest,
            routes = compiled.table.routes.len(),
            "table published"
        );
    }
}

/// The terms of every budget in force.
fn terms(space: &Space, compiled: &Compiled) -> BTreeMap<String, Terms> {
    let budgets = compiled.table.budgets.iter();
    budgets
        .filter_map(|(name, budget)| {
            let id = Id::new(Kind::CostBudget, name.clone());
            let uid = space.about.get(&id)?.uid.clone();
            let accepted = compiled.verdicts.get(&id)?.last_accepted.as_ref()?;
            let Spec::CostBudget(spec) = &accepted.spec else { return None };
            let mut thresholds: Vec<u32> = spec.thresholds.iter().map(|threshold| threshold.percent).collect();
            thresholds.sort_unstable();
            let terms = Terms {
                uid,
                limit: budget.limit,
                period: budget.period,
                time_zone: budget.time_zone.clone(),
                observe: budget.mode == Mode::Observe,
                per_user: budget.per_user,
                per_client: budget.per_client,
                adjustments: adjustments(spec),
                thresholds,
            };
            Some((name.clone(), terms))
        })
        .collect()
}

/// What every CostBudget there is asks of AWS Budgets; one that is being deleted asks for nothing.
fn orders(space: &Space, compiled: &Compiled) -> BTreeMap<String, Option<Order>> {
    let budgets = space.about.iter().filter(|(id, _)| id.kind == Kind::CostBudget);
    let order = |(id, about): (&Id, &About)| {
        let About { uid, claim, is_deleting, .. } = about.clone();
        let claim = claim.and_then(|place| place.parse().ok());
        let verdict = compiled.verdicts.get(id).filter(|verdict| verdict.in_force != InForce::Nothing);
        let spec = verdict.and_then(|verdict| match &verdict.last_accepted.as_ref()?.spec {
            Spec::CostBudget(spec) => Some(spec),
            _ => None,
        });
        let order = match spec {
            _ if is_deleting => Some(Order { uid, mirror: None, claim }),
            None => None,
            Some(spec) => Some(Order { uid, mirror: Wanted::of(spec), claim }),
        };
        (id.name.clone(), order)
    };
    budgets.map(order).collect()
}

/// What every EmbeddingEndpoint there is asks of AWS; one that is being deleted asks for nothing.
fn hosted(space: &Space, compiled: &Compiled) -> BTreeMap<String, Option<scaling::Order>> {
    let endpoints = space.about.iter().filter(|(id, _)| id.kind == Kind::EmbeddingEndpoint);
    let order = |(id, about): (&Id, &About)| {
        let About { uid, claim, made, is_deleting, .. } = about.clone();
        let claim = claim.and_then(|place| place.parse().ok());
        let made = made.and_then(|text| serde_json::from_str(&text).ok());
        let spec = compiled.verdicts.get(id).and_then(in_force);
        let order = match spec {
            None if !is_deleting => None,
            spec => {
                let endpoint = spec.filter(|_| !is_deleting).map(scaling::Asker::of);
                Some(scaling::Order { uid, endpoint, claim, made, held_by: None, unanswered: 0 })
            }
        };
        (id.name.clone(), order)
    };
    endpoints.map(order).collect()
}

fn adjustments(spec: &CostBudgetSpec) -> Vec<(String, Adjustment)> {
    let all = spec.adjustments.iter();
    all.filter_map(|adjustment| {
        let what = match &adjustment.credit {
            Some(credit) => Adjustment::Credit(credit.0.parse().ok()?),
            None if adjustment.resume == Some(true) => Adjustment::Resume,
            None => return None,
        };
        Some((adjustment.id.0.clone(), what))
    })
    .collect()
}
