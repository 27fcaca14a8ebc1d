//! The one place that says which fields are not acted on yet. A feature that lands deletes its lines here.
//!
//! What concerns authentication, limits or money is refused: to serve without it would break a promise. The rest is served without, and
//! `Supported=False` names it.

use crate::manifest::{FieldError, Spec};
use tollway_crds::{
    CostBudgetSpec, ModelRouteSpec,
    model_route::{CacheScope, LimitScope, Target},
};

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
        Spec::ModelRoute(spec) => route(spec, &mut found),
        Spec::CostBudget(spec) => budget(spec, &mut found),
        Spec::EmbeddingEndpoint(_) => found.refuse("spec", true, "embeddings are not served yet"),
    }
    found
}

/// Whether a target of this provider is served.
pub fn serves_target(target: &Target) -> bool {
    target.agent_core.is_none() && target.sagemaker.is_none()
}

fn route(spec: &ModelRouteSpec, found: &mut NotYet) {
    for (at, limit) in spec.rate_limits.iter().enumerate() {
        let global = limit.scope == Some(LimitScope::Global);
        found.refuse(&format!("spec.rateLimits[{at}].scope"), global, "limits over all proxies are not enforced yet");
    }
    let shared = spec.cache.as_ref().is_some_and(|cache| cache.scope == Some(CacheScope::Shared));
    found.ignore("spec.cache.scope".to_owned(), shared, "nothing is shared yet: each proxy keeps its own answers");
    for (at, target) in spec.targets.iter().enumerate() {
        found.ignore(
            format!("spec.targets[{at}]"),
            !serves_target(target),
            "this provider is not served yet: the target is left out",
        );
    }
}

fn budget(spec: &CostBudgetSpec, found: &mut NotYet) {
    found.refuse("spec.awsBudget", spec.aws_budget.is_some(), "AWS Budgets is not kept up to date yet");
    for (at, threshold) in spec.thresholds.iter().enumerate() {
        for (a, action) in threshold.actions.iter().enumerate() {
            let field = format!("spec.thresholds[{at}].actions[{a}].notify");
            found.refuse(&field, action.notify.is_some(), "messages to SNS are not sent yet");
        }
    }
}

impl NotYet {
    fn refuse(&mut self, field: &str, set: bool, why: &str) {
        if set {
            self.refused.push(FieldError::new(field, format!("{why}: remove the field")));
        }
    }

    fn ignore(&mut self, field: String, set: bool, why: &str) {
        if set {
            self.ignored.push(FieldError::new(field, why));
        }
    }
}
