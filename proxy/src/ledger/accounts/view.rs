//! One budget's purses in; where the budget stands, as far as this proxy knows, out.

use super::account::Account;
use jiff::Timestamp;
use tollway_core::spend::{Forecast, Nano};

/// Where one budget stands, as far as this proxy knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BudgetView {
    pub name: String,
    pub limit: Nano,
    pub spent: Nano,
    /// The part of `spent` charged in full without the provider's usage; of this proxy alone unless it keeps the ledger.
    pub estimated: Nano,
    /// The part of `spent` that no report accounts for; known to whoever keeps the ledger.
    pub burned: Option<Nano>,
    /// Granted to this proxy and not spent.
    pub reserved: Nano,
    pub remaining: Nano,
    pub forecast: Forecast,
    /// `None` for a window that never ends.
    pub window_end: Option<Timestamp>,
    pub exhausted: bool,
    pub frozen: bool,
    pub denied_models: Vec<String>,
    /// Since process start.
    pub asks: u64,
    /// Since process start.
    pub denials: u64,
}

pub fn view(account: &Account, name: &str, now_ms: i64) -> BudgetView {
    let told = account.told(now_ms).cloned().unwrap_or_default();
    let own = account.holdings();
    let view = BudgetView {
        name: name.to_owned(),
        limit: told.limit,
        spent: told.spent,
        estimated: own.estimated,
        burned: None,
        reserved: own.unspent,
        remaining: told.remaining,
        forecast: account.forecast,
        window_end: Timestamp::from_millisecond(told.window_end_ms).ok().filter(|_| told.window_end_ms > 0),
        exhausted: told.exhausted,
        frozen: told.frozen,
        denied_models: told.denied_models.into_iter().collect(),
        asks: account.asks,
        denials: account.denials,
    };
    match account.figures.clone() {
        None => view,
        Some(figures) => BudgetView {
            limit: figures.limit,
            spent: figures.spent,
            estimated: figures.estimated,
            burned: Some(figures.burned),
            reserved: figures.reserved,
            remaining: figures.remaining,
            exhausted: figures.exhausted,
            frozen: figures.frozen.is_some(),
            denied_models: figures.denied_models,
            ..view
        },
    }
}
