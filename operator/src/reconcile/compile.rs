//! A namespace's snapshot and facts in; its table as bytes and a verdict for each resource out. Pure.

use crate::index::{Id, Space};
use std::collections::BTreeMap;
use tollway_core::compile::{InForce, Verdicts, compile as core_compile};
use tollway_core::manifest::Kind;
use tollway_core::snapshot::{Accepted, Facts};
use tollway_core::table::{Embedding, Table};
use tollway_core::wire::{self, Encoded};

/// What a compilation came to.
pub struct Compiled {
    /// The table.
    pub table: Table,
    /// The table on the wire.
    pub encoded: Encoded,
    /// What was found in each resource.
    pub verdicts: Verdicts,
    /// Generation of each route, and of each embedding endpoint by its place, that was judged: what `Programmed` speaks of.
    pub generations: BTreeMap<String, i64>,
}

pub fn compile(space: &Space, facts: &Facts) -> Compiled {
    let (table, verdicts) = core_compile(&space.snapshot, facts);
    let encoded = wire::encode(&table);
    let generations = verdicts
        .iter()
        .filter(|(_, verdict)| verdict.in_force != InForce::Nothing)
        .filter_map(|(id, verdict)| match id.kind {
            Kind::ModelRoute => Some((id.name.clone(), verdict.generation)),
            Kind::EmbeddingEndpoint => Some((Embedding::place(&id.name), verdict.generation)),
            Kind::CostBudget => None,
        })
        .collect();
    Compiled { table, encoded, verdicts, generations }
}

impl Compiled {
    /// Specs that are accepted as they stand.
    pub fn accepted(&self) -> Vec<(Id, Accepted)> {
        let current = self.verdicts.iter().filter(|(_, verdict)| verdict.in_force == InForce::Current);
        current.filter_map(|(id, verdict)| Some((id.clone(), verdict.last_accepted.clone()?))).collect()
    }
}
