//! The one place that says which fields are not acted on yet. A feature that lands deletes its lines here.
//!
//! What concerns authentication, limits or money is refused: to serve without it would break a promise. The rest is served without, and
//! `Supported=False` names it.

use crate::manifest::{FieldError, Spec};
use tollway_crds::CostBudgetSpec;

/// Fields that are not acted on yet.
#[derive(Debug, Default)]
pub struct NotYet {
    /// The resource must not be served.
    pub refused: Vec<FieldError>,
    /// Served without.
    pub ignored: Vec<FieldError>,
}

/// What of a spec is not acted on yet.
pub fn fields(spec: &Spec) -> NotYet {
    let mut found = NotYet::default();
    match spec {
        Spec::ModelRoute(_) => {}
        Spec::CostBudget(spec) => budget(spec, &mut found),
        Spec::EmbeddingEndpoint(_) => found.refuse("spec", true, "embeddings are not served yet"),
    }
    found
}

fn budget(spec: &CostBudgetSpec, found: &mut NotYet) {
    found.refuse("spec.perUser", spec.per_user.is_some(), "limits for each user are not enforced yet");
    found.refuse("spec.perClient", spec.per_client.is_some(), "limits for each client are not enforced yet");
    found.refuse("spec.awsBudget", spec.aws_budget.is_some(), "AWS Budgets is not kept up to date yet");
    for (at, threshold) in spec.thresholds.iter().enumerate() {
        found.refuse(
            &format!("spec.thresholds[{at}].actions"),
            !threshold.actions.is_empty(),
            "actions are not taken yet",
        );
    }
}

impl NotYet {
    fn refuse(&mut self, field: &str, set: bool, why: &str) {
        if set {
            self.refused.push(FieldError::new(field, format!("{why}: remove the field")));
        }
    }
}
