//! What `compile` found in one resource; `status` turns it into conditions.

use crate::{
    manifest::{FieldError, Id},
    snapshot::Accepted,
};
use std::collections::BTreeMap;

/// Verdicts by resource.
pub type Verdicts = BTreeMap<Id, Verdict>;

/// What was found in one resource.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verdict {
    /// Generation of the spec that was judged.
    pub generation: i64,
    /// Which spec is in the table.
    pub in_force: InForce,
    /// What to keep as `status.lastAccepted`.
    pub last_accepted: Option<Accepted>,
    /// Mistakes in the spec: not accepted.
    pub errors: Vec<FieldError>,
    /// Fields about authentication, limits or money that are not acted on yet: not accepted.
    pub refused: Vec<FieldError>,
    /// Other fields that are not acted on yet.
    pub ignored: Vec<FieldError>,
    /// Model names that stay with another resource.
    pub conflicts: Vec<Conflict>,
    /// Model names that lead here.
    pub models: Vec<String>,
    /// References to Secrets and ConfigMaps that do not exist.
    pub unresolved: Vec<FieldError>,
    /// Targets that a budget names and that do not exist.
    pub not_found: Vec<FieldError>,
    /// Routes, and places of embedding endpoints, that a budget binds.
    pub binds: Vec<String>,
    /// Targets without a price under an enforcing budget, on the route and on the budget.
    pub unpriced: Vec<Unpriced>,
    /// Names of a route's targets, in the order of the spec in force.
    pub targets: Vec<String>,
    /// The latency that an embedding endpoint's spec in force wants to keep, milliseconds.
    pub latency_target_ms: Option<u64>,
}

/// Which spec of a resource is in the table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InForce {
    /// The one that was judged.
    Current,
    /// The last accepted one, of this generation.
    LastGood(i64),
    /// None.
    #[default]
    Nothing,
}

/// A model name that stays with another resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The name.
    pub model: String,
    /// The resource that has it.
    pub winner: Id,
}

/// A target that is skipped for want of a price.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unpriced {
    /// Its route.
    pub route: String,
    /// Its name.
    pub target: String,
    /// The model behind it.
    pub model: String,
    /// Whether a rule has only such targets, so that its requests are refused.
    pub none_left: bool,
}

impl Verdict {
    /// Everything a person should correct, as fields with what to do.
    pub fn mistakes(&self) -> impl Iterator<Item = &FieldError> {
        [&self.errors, &self.refused, &self.unresolved, &self.not_found].into_iter().flatten()
    }
}
