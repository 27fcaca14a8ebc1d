//! The one place that says which fields are not acted on yet. A feature that lands deletes its lines here.
//!
//! What concerns authentication, limits or money is refused: to serve without it would break a promise. The rest is served without, and
//! `Supported=False` names it.

use crate::{
    manifest::{FieldError, Spec},
    snapshot::Mode,
};
use tollway_crds::{CostBudgetSpec, EmbeddingEndpointSpec};

/// Fields that are not acted on yet.
#[derive(Debug, Default)]
pub struct NotYet {
    /// The resource must not be served.
    pub refused: Vec<FieldError>,
    /// Served without.
    pub ignored: Vec<FieldError>,
}

/// What of a spec is not acted on, yet or where it will be served.
pub fn fields(spec: &Spec, mode: Mode) -> NotYet {
    let mut found = NotYet::default();
    match spec {
        Spec::ModelRoute(_) => {}
        Spec::CostBudget(spec) => budget(spec, mode, &mut found),
        Spec::EmbeddingEndpoint(spec) => embedding(spec, mode, &mut found),
    }
    found
}

fn embedding(spec: &EmbeddingEndpointSpec, mode: Mode, found: &mut NotYet) {
    let EmbeddingEndpointSpec { provision, autoscaling, health_check, .. } = spec;
    // Only an operator speaks with AWS about instances.
    let alone = mode == Mode::Standalone;
    found.ignore(
        "spec.provision".to_owned(),
        alone && provision.is_some(),
        "an operator makes the endpoint; standalone has none: create it yourself",
    );
    found.ignore(
        "spec.autoscaling".to_owned(),
        alone && autoscaling.is_some(),
        "an operator keeps it; standalone has none, and scaling is left as it is",
    );
    found.ignore(
        "spec.healthCheck".to_owned(),
        alone && health_check.is_some(),
        "an operator makes the calls; standalone has none",
    );
}

fn budget(spec: &CostBudgetSpec, mode: Mode, found: &mut NotYet) {
    // Only an operator speaks with AWS about money. The cap holds without, so a budget in a folder is served without.
    let alone = mode == Mode::Standalone;
    found.ignore(
        "spec.awsBudget".to_owned(),
        alone && spec.aws_budget.is_some(),
        "an operator keeps it; standalone has none",
    );
    for (at, threshold) in spec.thresholds.iter().enumerate() {
        for (a, action) in threshold.actions.iter().enumerate() {
            let path = format!("spec.thresholds[{at}].actions[{a}]");
            let notify = action.notify.is_some();
            found.ignore(format!("{path}.notify"), alone && notify, "an operator sends it; standalone has none");
        }
    }
}

impl NotYet {
    fn ignore(&mut self, field: String, set: bool, why: &str) {
        if set {
            self.ignored.push(FieldError::new(field, why));
        }
    }
}
