//! What a purse and the operator tell each other, as plain values; `spend::convert` makes the control channel's messages of them.

use super::super::{ledger::DeniedReason, nano::Nano, subject::Subject};
use std::collections::BTreeSet;

/// A message of the operator.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum In {
    /// An ask is granted.
    Grant(Granted),
    /// An ask is denied.
    Denied {
        /// For whom.
        incarnation: String,
        /// The ask.
        ask: u64,
        /// Why.
        reason: DeniedReason,
        /// The largest bound that a grant could carry.
        fits: Nano,
    },
    /// Retire, drain and close a grant.
    Recall {
        /// Uid of the ledger.
        ledger: String,
        /// The grant.
        grant: u64,
    },
    /// Forget a grant.
    Closed {
        /// Uid of the ledger.
        ledger: String,
        /// The grant.
        grant: u64,
    },
    /// Where the budget stands.
    State(State),
}

/// A grant as it arrives.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Granted {
    /// Uid of the ledger that made it.
    pub ledger: String,
    /// The grant.
    pub grant: u64,
    /// For whom.
    pub incarnation: String,
    /// The ask it answers.
    pub ask: u64,
    /// How much may be spent on it.
    pub amount: Nano,
    /// No request is admitted on it from then on.
    pub window_end_ms: i64,
    /// Charged in full from then on.
    pub life_end_ms: i64,
}

/// Where a budget stands, as the operator tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct State {
    /// What may be spent in the window.
    pub limit: Nano,
    /// What was spent.
    pub spent: Nano,
    /// What could still be granted or is granted and unspent.
    pub remaining: Nano,
    /// Nothing is left, or too little for what is asked.
    pub exhausted: bool,
    /// Denies until an administrator resumes.
    pub frozen: bool,
    /// Models denied until an administrator resumes.
    pub denied_models: BTreeSet<String>,
    /// When the window ends; the state says nothing of the next one.
    pub window_end_ms: i64,
}

impl State {
    /// `spent` in whole percent of `limit`, rounded down: what thresholds compare with.
    #[must_use]
    pub fn percent(&self) -> u32 {
        match self.limit.0 {
            0 => 100,
            limit => u32::try_from(u128::from(self.spent.0) * 100 / u128::from(limit)).unwrap_or(u32::MAX),
        }
    }
}

/// A message to the operator.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Out {
    /// Ask for a grant.
    Ask {
        /// Rises by one with each grant accepted.
        id: u64,
        /// The request that needs it.
        min: Nano,
        /// What it would take.
        want: Nano,
        /// Whose shares it is for.
        subject: Subject,
    },
    /// What was spent on a grant so far.
    Report(Spending),
    /// Nothing is in flight on the grant, and nothing will be.
    Close(Spending),
}

/// Cumulative figures of one grant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Spending {
    /// Uid of the ledger that made it.
    pub ledger: String,
    /// The grant.
    pub grant: u64,
    /// Settled so far.
    pub spent: Nano,
    /// The part of it charged in full without the provider's usage.
    pub estimated: Nano,
    /// Models whose usage was above their bound.
    pub bound_exceeded: Vec<String>,
}
