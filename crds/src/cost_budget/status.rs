//! What is known of a CostBudget: conditions and figures. Dollars are decimal text.

use crate::{Condition, model_route::LastAccepted};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Status of a CostBudget; figures are those of the current window, written at most once in 30 s.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct CostBudgetStatus {
    /// The generation this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The spec that stays in force while a newer one is not accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_accepted: Option<LastAccepted>,
    /// Accepted, Enforced, WithinBudget, ThresholdReached, Frozen, Ready; where they apply Notified, AwsBudgetInSync and Supported.
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    #[serde(default)]
    pub conditions: Vec<Condition>,
    /// The current window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<WindowStatus>,
    /// Settled by the ledger, and reported by proxies on grants still open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spent_usd: Option<String>,
    /// The part of `spentUsd` that was charged in full because the provider's usage never came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimated_usd: Option<String>,
    /// The part of `spentUsd` that was charged because a grant's holder died.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burned_usd: Option<String>,
    /// Granted to proxies and not yet spent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reserved_usd: Option<String>,
    /// What is left of the limit for new grants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remaining_usd: Option<String>,
    /// Instance-hours; they reduce what may be granted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub infrastructure_usd: Option<String>,
    /// What the window will have spent at its end if it goes on as in the last hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forecast_usd: Option<String>,
    /// When the limit is reached if it goes on as in the last hour, where that is before the window's end (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exhaustion_forecast_at: Option<String>,
    /// Whole percent of the limit spent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent_used: Option<i64>,
    /// When the limit was reached (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exhausted_at: Option<String>,
    /// Thresholds reached in this window, ascending; one that was told stays although a credit takes the spend below it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub thresholds: Vec<ThresholdStatus>,
    /// Adjustments that are applied, by id: each once, in the window in which it was found.
    #[x_kube(merge_strategy = ListMerge::Map(vec!["id".into()]))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub adjustments_applied: Vec<AdjustmentStatus>,
    /// Version of the price catalog in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price_catalog: Option<String>,
    /// The mirror in AWS Budgets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aws_budget: Option<AwsBudgetStatus>,
    /// The durable record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ledger: Option<LedgerRef>,
}

/// A window of the calendar (RFC 3339).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct WindowStatus {
    /// First moment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<String>,
    /// First moment of the next one; absent for period Once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<String>,
}

/// A threshold that was reached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ThresholdStatus {
    /// Percent of the limit.
    pub percent: i64,
    /// When (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reached_at: Option<String>,
    /// Topics that were told of it in this window: they are not told again.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notified: Vec<String>,
}

/// What AWS Budgets says of the mirror.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct AwsBudgetStatus {
    /// The AWS account.
    pub account_id: String,
    /// Name of the budget there.
    pub name: String,
    /// What AWS says was spent in its own window; it is hours behind, and counts what its filters let in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actual_usd: Option<String>,
    /// `actualUsd` less `spentUsd`, with a sign.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub difference_usd: Option<String>,
    /// When AWS was asked last (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_at: Option<String>,
}

/// An adjustment that was applied.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AdjustmentStatus {
    /// Its id.
    pub id: String,
    /// Dollars credited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credit: Option<String>,
    /// Whether it resumed the budget.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume: Option<bool>,
    /// Why, as the spec says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When the ledger took it (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied_at: Option<String>,
}

/// The BudgetLedger of a window, in the operator's namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct LedgerRef {
    /// Its name.
    pub name: String,
    /// Its uid: a ledger of the same name with another uid is not the same record.
    pub uid: String,
}
