//! Who has which model name, routes and embedding endpoints alike: the older resource; without creation times, the lesser name. Only the contested name is lost.

use super::{Conflict, Verdicts};
use crate::{
    manifest::{Id, Kind},
    snapshot::Snapshot,
    table,
    validate::Checked,
};
use std::collections::{BTreeMap, btree_map};

/// Model names and what has them; losses go to the verdicts.
pub fn settle(
    snapshot: &Snapshot,
    in_force: &BTreeMap<Id, Checked>,
    verdicts: &mut Verdicts,
) -> BTreeMap<String, String> {
    let mut claimants: Vec<(&Id, Vec<&str>)> = in_force.iter().map(|(id, checked)| (id, names(checked))).collect();
    let age = |id: &Id| snapshot.resources.get(id).and_then(|entry| entry.created);
    claimants.sort_by_key(|(id, _)| (age(id), id.name.clone(), id.kind));
    let mut owners: BTreeMap<&str, &Id> = BTreeMap::new();
    for (id, names) in claimants {
        let Some(verdict) = verdicts.get_mut(id) else { continue };
        for name in names {
            match owners.entry(name) {
                btree_map::Entry::Vacant(free) => {
                    free.insert(id);
                    verdict.models.push(name.to_owned());
                }
                btree_map::Entry::Occupied(taken) if *taken.get() != id => {
                    verdict.conflicts.push(Conflict { model: name.to_owned(), winner: (*taken.get()).clone() });
                }
                btree_map::Entry::Occupied(_) => {}
            }
        }
    }
    let place = |id: &Id| match id.kind {
        Kind::EmbeddingEndpoint => table::Embedding::place(&id.name),
        Kind::ModelRoute | Kind::CostBudget => id.name.clone(),
    };
    owners.into_iter().map(|(model, id)| (model.to_owned(), place(id))).collect()
}

fn names(checked: &Checked) -> Vec<&str> {
    match checked {
        Checked::Route(route) => route.models.iter().map(String::as_str).collect(),
        Checked::Embedding(endpoint) => vec![&endpoint.table.model],
        Checked::Budget(_) => Vec::new(),
    }
}
