//! A ledger in, the figures a person or a proxy wants out.

use super::super::nano::Nano;
use super::state::LedgerState;
use serde::{Deserialize, Serialize};

/// Where a budget stands, as status, metrics and proxies show it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Figures {
    /// What may be spent in the window, credits included.
    pub limit: Nano,
    /// Settled and reported: at least what providers charge, and above it by no more than `burned + estimated`.
    pub spent: Nano,
    /// The part of `spent` charged in full without the provider's usage.
    pub estimated: Nano,
    /// The part of `spent` that no report accounts for.
    pub burned: Nano,
    /// Open and not reported spent.
    pub reserved: Nano,
    /// What could still be granted or is granted and unspent.
    pub remaining: Nano,
    /// What could be granted now.
    pub free: Nano,
    /// What instances cost.
    pub infrastructure: Nano,
    /// `spent` in whole percent of `limit`, rounded down.
    pub percent: u32,
    /// Since when requests of the usual size are refused because of what had been spent; absent: they are not.
    pub exhausted_at_ms: Option<i64>,
    /// Nothing is left, or what is left is too little for what is asked.
    pub exhausted: bool,
    /// Why nothing is granted until an administrator resumes.
    pub frozen: Option<String>,
    /// Models denied until an administrator resumes.
    pub denied_models: Vec<String>,
    /// Grants open now.
    pub open_grants: usize,
}

impl LedgerState {
    /// The figures of this state.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let limit = self.effective_cap();
        let spent = self.grants.values().map(|g| g.reported).fold(self.settled, Nano::plus);
        let remaining = self.fits();
        let percent = match limit.0 {
            0 => 100,
            cap => u32::try_from(u128::from(spent.0) * 100 / u128::from(cap)).unwrap_or(u32::MAX),
        };
        Figures {
            limit,
            spent,
            estimated: self.grants.values().map(|g| g.estimated).fold(self.estimated, Nano::plus),
            burned: self.burned,
            reserved: self.grants.values().map(|g| g.unspent()).sum(),
            remaining,
            free: self.free(),
            infrastructure: self.infrastructure,
            percent,
            exhausted_at_ms: self.short_since_ms,
            exhausted: remaining == Nano::ZERO || self.short_since_ms.is_some(),
            frozen: self.frozen.clone(),
            denied_models: self.denied_models.iter().cloned().collect(),
            open_grants: self.grants.len(),
        }
    }
}
