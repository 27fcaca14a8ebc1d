//! A checked budget in; the routes and embedding endpoints it binds learn of it, and targets without a price are named.

use super::{Unpriced, Verdicts, route_id, routes::priced_as};
use crate::{
    manifest::{FieldError, Id, Kind},
    snapshot::Snapshot,
    table::{Embedding, Mode, Route, Table},
    validate::{Binds, Budget},
    wire,
};
use std::collections::BTreeMap;

/// Adds the budget to the table and to the routes it binds.
pub fn bind(id: &Id, budget: &Budget, snapshot: &Snapshot, table: &mut Table, verdicts: &mut Verdicts) {
    table.budgets.insert(id.name.clone(), budget.table.clone());
    let (mut bound, mut unpriced) = (Vec::new(), Vec::new());
    for (name, route) in &mut table.routes {
        if !binds(&budget.binds, &route_id(name), snapshot) {
            continue;
        }
        bound.push(name.clone());
        // Budgets come in the order of their names, so the list stays sorted.
        route.budgets.push(id.name.clone());
        let needs =
            [(budget.table.has_shares(), wire::SHARES), (!budget.table.thresholds.is_empty(), wire::THRESHOLDS)];
        for (_, feature) in needs.into_iter().filter(|(needed, _)| *needed) {
            if !route.requires.iter().any(|required| required == feature) {
                route.requires.push(feature.to_owned());
            }
        }
        if budget.table.mode == Mode::Enforce {
            unpriced.extend(without_price(name, route));
        }
    }
    for (name, endpoint) in &mut table.embeddings {
        // These always have a price, be it 0.
        if binds(&budget.binds, &Id::new(Kind::EmbeddingEndpoint, name), snapshot) {
            bound.push(Embedding::place(name));
            endpoint.budgets.push(id.name.clone());
            if budget.table.has_shares() && !endpoint.requires.iter().any(|required| required == wire::SHARES) {
                endpoint.requires.push(wire::SHARES.to_owned());
            }
        }
    }
    for found in &unpriced {
        if let Some(verdict) = verdicts.get_mut(&route_id(&found.route))
            && !verdict.unpriced.contains(found)
        {
            verdict.unpriced.push(found.clone());
        }
    }
    if let Some(verdict) = verdicts.get_mut(id) {
        verdict.not_found = not_found(&budget.binds, snapshot);
        verdict.binds = bound;
        verdict.unpriced = unpriced;
    }
}

fn binds(binds: &Binds, id: &Id, snapshot: &Snapshot) -> bool {
    match binds {
        Binds::Everything => true,
        Binds::Named(ids) => ids.contains(id),
        Binds::Labelled(wanted) => {
            let has =
                |labels: &BTreeMap<String, String>| wanted.iter().all(|(name, value)| labels.get(name) == Some(value));
            snapshot.resources.get(id).is_some_and(|entry| has(&entry.labels))
        }
    }
}

fn not_found(binds: &Binds, snapshot: &Snapshot) -> Vec<FieldError> {
    let Binds::Named(ids) = binds else { return Vec::new() };
    let missing = ids.iter().filter(|id| !snapshot.resources.contains_key(id));
    missing
        .map(|id| FieldError::new("spec.targetRefs", format!("{id} does not exist: create it, or remove it here")))
        .collect()
}

fn without_price(name: &str, route: &Route) -> Vec<Unpriced> {
    let priced = |target: &str| route.targets.get(target).is_some_and(|t| t.price.is_some());
    let in_vain = |target: &str| {
        route.rules.iter().any(|rule| rule.targets().any(|t| t == target) && !rule.targets().any(priced))
    };
    let missing = route.targets.iter().filter(|(_, target)| target.price.is_none());
    missing
        .map(|(target, of)| Unpriced {
            route: name.to_owned(),
            target: target.clone(),
            model: priced_as(target, &of.provider).to_owned(),
            none_left: in_vain(target),
        })
        .collect()
}
