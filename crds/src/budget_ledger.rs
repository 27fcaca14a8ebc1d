//! BudgetLedger: the durable record of one budget in one window. Only the operator writes it, by compare-and-swap.

use crate::definition::preserved;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The record behind a CostBudget's promise, in the operator's namespace, named by a hash of namespace, name and window.
/// Nobody edits or deletes it by hand: a budget whose ledger is gone is Frozen until an adjustment resumes it.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "tollway.dev",
    version = "v1alpha1",
    kind = "BudgetLedger",
    plural = "budgetledgers",
    shortname = "bl",
    category = "tollway",
    namespaced,
    status = "BudgetLedgerStatus",
    derive = "PartialEq",
    doc = "The durable record of one CostBudget in one window; written by the operator alone.",
    printcolumn(name = "Namespace", type_ = "string", json_path = ".spec.budget.namespace"),
    printcolumn(name = "Budget", type_ = "string", json_path = ".spec.budget.name"),
    printcolumn(name = "Window", type_ = "string", json_path = ".spec.window"),
    printcolumn(name = "Cap", type_ = "string", json_path = ".spec.summary.capUsd"),
    printcolumn(name = "Settled", type_ = "string", json_path = ".spec.summary.settledUsd"),
    printcolumn(name = "Open", type_ = "string", json_path = ".spec.summary.openUsd"),
    printcolumn(name = "Grants", type_ = "integer", json_path = ".spec.summary.openGrants"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.budget == oldSelf.budget && self.window == oldSelf.window").message("a ledger belongs to one budget and one window for ever")
)]
pub struct BudgetLedgerSpec {
    /// The CostBudget this is the record of.
    pub budget: BudgetRef,
    /// Start of the window (RFC 3339), or `once`.
    #[schemars(length(min = 1, max = 64))]
    pub window: String,
    /// The state machine's own state (`core::spend`): amounts are integer nano-dollars. Opaque here, so that an older API schema never
    /// prunes a newer field of it.
    #[schemars(schema_with = "preserved")]
    pub state: Value,
    /// The state in words, for `kubectl get`; nothing reads it.
    pub summary: LedgerSummary,
}

/// A CostBudget, wherever it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BudgetRef {
    /// Its namespace.
    #[schemars(length(min = 1, max = 63))]
    pub namespace: String,
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// A ledger in words. Dollars are decimal text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct LedgerSummary {
    /// The cap.
    #[schemars(length(max = 32))]
    pub cap_usd: String,
    /// Settled for good.
    #[schemars(length(max = 32))]
    pub settled_usd: String,
    /// Sum of the open grants.
    #[schemars(length(max = 32))]
    pub open_usd: String,
    /// Number of open grants.
    pub open_grants: i32,
}

/// Nothing is known of a ledger but what it holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct BudgetLedgerStatus {
    /// The generation this status speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}
