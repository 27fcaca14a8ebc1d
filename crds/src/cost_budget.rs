//! CostBudget: a cap on what requests may cost in a calendar window.

mod status;

pub use status::{AdjustmentStatus, AwsBudgetStatus, CostBudgetStatus, LedgerRef, ThresholdStatus, WindowStatus};

use crate::scalar::{Amount, Arn, LabelValue, Name, ObjectName};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Caps what requests may cost. With mode Enforce the cap is a promise: it binds request spend by the price table, whatever crashes.
///
/// Conditions: `Accepted` (the spec is valid and all of it is acted on), `Enforced` (False: mode Observe, or BoundExceeded names a model
/// whose usage was above the bound computed before the call), `WithinBudget` (False: Exhausted, or PriceUnknown names targets
/// that are skipped for want of a price; Unknown: Frozen), `ThresholdReached`, `Frozen` (the ledger was lost; denies until an adjustment with `resume`), `Ready`.
/// Beside these, where the spec asks for it: `Notified` (False: a message to an SNS topic cannot be sent, and why), `AwsBudgetInSync` (False: the
/// budget in AWS cannot be read or changed, and which right is missing, or NotOurs). Neither bears on the cap or on `Ready`. `Supported=False`
/// names what is left out in standalone, where there is no operator to speak with AWS.
#[derive(CustomResource, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "tollway.dev",
    version = "v1alpha1",
    kind = "CostBudget",
    plural = "costbudgets",
    shortname = "cb",
    category = "tollway",
    namespaced,
    status = "CostBudgetStatus",
    derive = "PartialEq",
    doc = "Caps what requests may cost in a calendar window.",
    validation = Rule::new("self.metadata.name.size() <= 63").message("the name must have at most 63 characters: proxies use it as a label"),
    printcolumn(name = "Limit", type_ = "string", json_path = ".spec.limit.amount"),
    printcolumn(name = "Period", type_ = "string", json_path = ".spec.period"),
    printcolumn(name = "Spent", type_ = "string", json_path = ".status.spentUsd"),
    printcolumn(name = "Used%", type_ = "integer", json_path = ".status.percentUsed"),
    printcolumn(name = "Forecast", type_ = "string", json_path = ".status.forecastUsd"),
    printcolumn(name = "State", type_ = "string", json_path = ".status.conditions[?(@.type==\"WithinBudget\")].reason"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Mode", type_ = "string", priority = 1, json_path = ".spec.mode"),
    printcolumn(name = "Reserved", type_ = "string", priority = 1, json_path = ".status.reservedUsd"),
    printcolumn(name = "Remaining", type_ = "string", priority = 1, json_path = ".status.remainingUsd"),
    printcolumn(name = "Runs-Out", type_ = "string", priority = 1, json_path = ".status.exhaustionForecastAt"),
    printcolumn(
        name = "Message",
        type_ = "string",
        priority = 1,
        json_path = ".status.conditions[?(@.type==\"Ready\")].message"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.targetRefs) || !has(self.selector)").message("give targetRefs or selector, not both"),
    validation = Rule::new("!has(self.awsBudget) || self.period in ['Daily', 'Monthly']").message("AWS Budgets mirrors the periods Daily and Monthly only").field_path(".awsBudget"),
    validation = Rule::new("!has(oldSelf.adjustments) || (has(self.adjustments) && oldSelf.adjustments.all(o, self.adjustments.exists(n, n == o)))").message("adjustments are append-only: one that was written stays as it is").field_path(".adjustments")
)]
pub struct CostBudgetSpec {
    /// The cap of one window. Lowering it stops new grants; what was committed before stays committed.
    pub limit: Limit,
    /// The calendar window the cap renews with; a request is charged to the window that admitted it.
    pub period: Period,
    /// IANA time zone of the calendar, such as `Europe/Berlin`. Default `UTC`.
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[A-Za-z][A-Za-z0-9_+/-]*$"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// Whether the cap denies. Default Enforce.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// What it binds. Absent, and no selector: every ModelRoute and EmbeddingEndpoint of the namespace. One that does not exist:
    /// `Accepted` has reason TargetNotFound, and is False when none exists.
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(
        validation = Rule::new("self.all(r, self.filter(s, s.kind == r.kind && s.name == r.name).size() == 1)").message("a target is named twice"),
        merge_strategy = ListMerge::Atomic
    )]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_refs: Option<Vec<TargetRef>>,
    /// Binds the ModelRoutes and EmbeddingEndpoints with these labels, instead of `targetRefs`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<Selector>,
    /// Limit for each user inside this budget in a window, across all proxies: the same promise as `limit`. Requests without a user have one
    /// share together. A credit raises the budget, not a share; what was spent before this field was set counts for nobody. Denied:
    /// 429 `budget_exceeded` that says whose share it is. A window gives a place of its own to its first 10,000 users, kept by hash; those who
    /// come later share 256 places, and so are denied early, never late. One proxy serves 10,000 users in a minute, and 1,000 grants for users
    /// are open at once; beyond that requests wait for each other, 2 s at most. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_user: Option<SubLimit>,
    /// Limit for each client inside this budget, as `perUser`: a client is the name of an API key or the subject of a token; where a route
    /// asks for neither, all its requests have one share together. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_client: Option<SubLimit>,
    /// Shares of the limit that are worth a word; reaching one sets `ThresholdReached` and writes an event, once a window.
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["percent".into()]))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub thresholds: Vec<Threshold>,
    /// What happens to requests when nothing is left. Default Block.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_exhausted: Option<OnExhausted>,
    /// Mirror of this budget in AWS Budgets, for Daily and Monthly: made, kept at `limit` and the `thresholds` with `notify`, and deleted
    /// with this resource or this field; a finalizer holds the resource until then. A budget of that name that is there already is left
    /// alone: `AwsBudgetInSync=False/NotOurs`. AWS counts in UTC, hours late, and the whole account until somebody narrows it there (filters
    /// and cost types are left as they are found); it never bears on the cap. Default: none. Standalone: left out, `Supported=False`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aws_budget: Option<AwsBudget>,
    /// Corrections by an administrator. Append-only; each is applied once, known by its id.
    #[schemars(length(max = 100))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["id".into()]))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub adjustments: Vec<Adjustment>,
}

/// A cap in one currency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Limit {
    /// The amount of one window.
    pub amount: Amount,
    /// Default USD.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<Currency>,
}

/// Currencies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Currency {
    /// US dollars.
    #[serde(rename = "USD")]
    Usd,
}

/// Calendar window of a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Period {
    /// Midnight to midnight.
    Daily,
    /// Monday to Monday.
    Weekly,
    /// First to first.
    Monthly,
    /// One window that never ends.
    Once,
}

/// Whether a budget denies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Mode {
    /// The cap binds.
    Enforce,
    /// Counts, warns and never denies: how one starts.
    Observe,
}

/// What an exhausted budget does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OnExhausted {
    /// Every request is refused.
    Block,
    /// Targets whose price is zero keep serving.
    FreeOnly,
}

/// A resource the budget binds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TargetRef {
    /// Kind of the resource.
    pub kind: TargetKind,
    /// Name of the resource.
    pub name: ObjectName,
}

/// Kinds a budget can bind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TargetKind {
    /// A ModelRoute.
    ModelRoute,
    /// An EmbeddingEndpoint.
    EmbeddingEndpoint,
}

/// Labels a resource must have, all of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Selector {
    /// Label names and their values.
    #[schemars(extend("maxProperties" = 16, "minProperties" = 1))]
    pub match_labels: BTreeMap<String, LabelValue>,
}

/// A limit inside the budget.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SubLimit {
    /// The amount of one window.
    pub amount: Amount,
}

/// A share of the limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Threshold {
    /// Percent of the limit, unique in the budget.
    #[schemars(range(min = 1, max = 100))]
    pub percent: u32,
    /// What else is done from then on in this window: `notify` at once, the others by every proxy within seconds, also while the operator is
    /// away; of each, the highest threshold that is reached and has it decides. With mode Observe, `downgrade` and `rateLimit` do nothing.
    /// Default: nothing.
    #[schemars(length(max = 8))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub actions: Vec<Action>,
}

/// What is done at a threshold; exactly one field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.notify), has(self.downgrade), has(self.rateLimit)].exists_one(p, p)").message("an action is exactly one of notify, downgrade and rateLimit"))]
pub struct Action {
    /// A message to an SNS topic, once a window and threshold; tried again until it is sent, `Notified=False` meanwhile. With `awsBudget`, AWS
    /// tells the threshold's first topic as well. Standalone: left out, `Supported=False`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notify: Option<Notify>,
    /// Another target instead of the chosen one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub downgrade: Option<Downgrade>,
    /// A limit on the rate of requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<RequestRate>,
}

/// A message to an SNS topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Notify {
    /// The topic; messages are published in its region.
    pub sns_topic_arn: Arn,
}

/// Another target instead of those that the rule chooses, fallbacks included: it alone serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Downgrade {
    /// Name of the target; routes without such a target are not downgraded. Of several budgets, the highest threshold decides.
    pub to: Name,
}

/// A limit on the rate of requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RequestRate {
    /// Requests a minute of each route and embedding endpoint in each proxy, those answered from the cache aside; the request over it gets 429 `rate_limited` with `Retry-After`. Of several budgets,
    /// each sets its own.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub requests_per_minute: u32,
}

/// A budget in AWS Budgets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AwsBudget {
    /// AWS account.
    #[schemars(length(min = 12, max = 12), regex(pattern = "^[0-9]{12}$"))]
    pub account_id: String,
    /// Name of the budget there.
    #[schemars(length(min = 1, max = 100), regex(pattern = r"^[^:\\]+$"))]
    pub name: String,
}

/// A correction: exactly one of `credit` and `resume`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.credit) != (has(self.resume) && self.resume)").message("an adjustment is exactly one of credit and resume: true"))]
pub struct Adjustment {
    /// Known by this, unique in the budget.
    pub id: Name,
    /// Dollars taken off what the current window has spent, once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credit: Option<Amount>,
    /// True: a frozen budget, or a model denied for BoundExceeded, serves again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume: Option<bool>,
    /// Why.
    #[schemars(length(max = 1024))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}
