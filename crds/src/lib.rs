//! The resources a person writes: one kind a file, each field's contract beside it. `all()` gives their CRDs.
#![warn(missing_docs)]
// Two printer columns of one type look like a repeated attribute to this lint.
#![allow(clippy::duplicated_attributes)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

pub mod budget_ledger;
pub mod cost_budget;
mod definition;
pub mod embedding_endpoint;
pub mod model_route;
pub mod price;
pub mod reference;
pub mod scalar;

pub use budget_ledger::{BudgetLedger, BudgetLedgerSpec};
pub use cost_budget::{CostBudget, CostBudgetSpec, CostBudgetStatus};
pub use definition::all;
pub use embedding_endpoint::{EmbeddingEndpoint, EmbeddingEndpointSpec, EmbeddingEndpointStatus};
pub use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
pub use model_route::{ModelRoute, ModelRouteSpec, ModelRouteStatus};
pub use price::PriceSpec;
pub use scalar::{Amount, Duration};

/// API group of every kind.
pub const GROUP: &str = "tollway.dev";
/// API version of every kind.
pub const VERSION: &str = "v1alpha1";
/// `apiVersion` of every kind, as manifests write it.
pub const API_VERSION: &str = "tollway.dev/v1alpha1";
