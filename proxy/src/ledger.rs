//! The proxy's side of the cap: the worst case of an attempt in, a reservation or a refusal out.
//!
//! # Why a request rarely waits
//! What is granted is held in purses in memory, so a request that a held grant carries takes one short lock and no
//! message. Only one that no grant carries waits, for the larger grant that the driver (`remote` or `standalone`) asks for.

mod accounts;
pub mod remote;
pub mod standalone;
#[cfg(test)]
mod tests;

pub use accounts::{BudgetView, Wish};

use crate::error::Code;
use accounts::{Accounts, Placed, Verdict};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tollway_core::spend::purse::{State, WAIT_MS};
use tollway_core::spend::{Charge, Nano, Share};
use tollway_core::table::{Reached, Table};

/// Why an attempt may not be sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No grant can carry the worst case.
    #[error(
        "budget {budget:?} cannot carry this request: at most {fits} USD still fits; ask for fewer max tokens, or raise the budget's limit"
    )]
    Exceeded { budget: String, fits: Nano },
    /// Other requests hold what is left.
    #[error(
        "budget {budget:?} has {remaining} USD left, all of it held for requests under way; try again in a moment, or raise the budget's limit"
    )]
    Held { budget: String, remaining: Nano },
    /// The budget could, and the share of this request's user or client cannot.
    #[error(
        "the {} of budget {budget:?} cannot carry this request: at most {fits} USD of it still fit; ask for fewer max tokens, or raise the budget's {}", own(*.share).0, own(*.share).1
    )]
    ShareExceeded { budget: String, share: Option<Share>, fits: Nano },
    /// More users at once than can be counted.
    #[error(
        "budget {budget:?} counts each user's share, and too many users spend through this proxy at once; try again"
    )]
    Crowded { budget: String },
    /// Nobody who may grant is reachable, and no grant is held.
    #[error("budget {budget:?} cannot be checked just now: no ledger answered; try again")]
    Unavailable { budget: String },
    /// The ledger cannot be trusted until a person has looked.
    #[error("budget {budget:?} is frozen: an administrator must look at its status and add a `resume` adjustment")]
    Frozen { budget: String },
    /// The model used more than its bound before; it stays denied until an administrator resumes.
    #[error(
        "budget {budget:?} denies model {model:?}: it used more than its computed bound; an administrator must add a `resume` adjustment"
    )]
    ModelDenied { budget: String, model: String },
}

/// Whose share it is, and the field that sets it.
const fn own(share: Option<Share>) -> (&'static str, &'static str) {
    match share {
        Some(Share::User) => ("user's share", "perUser"),
        Some(Share::Client) => ("client's share", "perClient"),
        None => ("user's share or the client's share", "perUser or perClient"),
    }
}

impl Refusal {
    /// The code that clients read.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::Exceeded { .. }
            | Self::Held { .. }
            | Self::ShareExceeded { .. }
            | Self::Frozen { .. }
            | Self::ModelDenied { .. } => Code::BudgetExceeded,
            Self::Unavailable { .. } | Self::Crowded { .. } => Code::BudgetUnavailable,
        }
    }
}

/// Every budget's purse of this process.
#[derive(Clone, Debug)]
pub struct Ledger {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    accounts: Mutex<Accounts>,
    /// Wakes the driver: something is due to be sent.
    due: Notify,
    /// Wakes requests that wait: a grant, a denial or a settlement may have changed their answer.
    changed: Notify,
    waiting: AtomicUsize,
    /// Whether anyone who may grant is within reach, or may be in a moment.
    reachable: AtomicBool,
}

/// The worst case of one attempt, held in every budget that applies. Dropped unsettled, it is charged in full.
#[derive(Debug)]
#[must_use = "a reservation is settled, released, or charged in full when dropped"]
pub struct Reservation {
    shared: Arc<Shared>,
    tickets: Vec<Placed>,
    worst: Nano,
    model: String,
}

impl Ledger {
    /// Empty purses of a new incarnation; a driver fills them.
    #[must_use]
    pub fn new(incarnation: &str) -> Self {
        let shared = Shared {
            accounts: Mutex::new(Accounts::new(incarnation)),
            due: Notify::new(),
            changed: Notify::new(),
            waiting: AtomicUsize::new(0),
            reachable: AtomicBool::new(true),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Holds the worst case in all of the budgets or in none. Returns at once when held grants carry it, else waits up to 2 s for a larger grant.
    ///
    /// # Errors
    /// The budget that refused, and why.
    pub async fn reserve(&self, wish: &Wish<'_>) -> Result<Reservation, Refusal> {
        let Wish { worst, model, .. } = *wish;
        let held = |tickets| Reservation { shared: Arc::clone(&self.shared), tickets, worst, model: model.to_owned() };
        let verdict = || self.accounts().reserve(now_ms(), wish);
        // Made before the first look, so that no change after it is missed.
        let changed = self.shared.changed.notified();
        let (short, whose) = match verdict() {
            Verdict::Reserved(tickets) => return Ok(held(tickets)),
            Verdict::Refused(refusal) => return Err(refusal),
            Verdict::Wait { budget, subject } => (budget, subject),
        };
        if !self.shared.reachable.load(Ordering::Relaxed) {
            return Err(Refusal::Unavailable { budget: short });
        }
        let _waiting = Waiting::new(&self.shared.waiting);
        let wait = async {
            tokio::pin!(changed);
            loop {
                self.shared.due.notify_one();
                changed.as_mut().await;
                changed.set(self.shared.changed.notified());
                match verdict() {
                    Verdict::Reserved(tickets) => return Ok(held(tickets)),
                    Verdict::Refused(refusal) => return Err(refusal),
                    Verdict::Wait { .. } => {}
                }
            }
        };
        let most = Duration::from_millis(WAIT_MS.unsigned_abs());
        tokio::time::timeout(most, wait).await.unwrap_or_else(|_| Err(self.accounts().in_vain(now_ms(), &short, whose)))
    }

    /// What the thresholds of each budget come to at what was last said of it: kept while nobody is there to say more, until the
    /// window ends. Only budgets that have any are listed.
    #[must_use]
    pub fn reached<'t>(&self, budgets: &[String], table: &'t Table) -> Vec<(&'t str, Reached<'t>)> {
        let acting = budgets.iter().filter_map(|name| table.budgets.get_key_value(name));
        let acting = acting.filter(|(_, budget)| !budget.thresholds.is_empty());
        let percent = |name: &str| self.accounts().told(now_ms(), name).map(State::percent);
        acting.filter_map(|(name, budget)| Some((name.as_str(), budget.reached(percent(name)?)))).collect()
    }

    /// The least that is left in any of these budgets, as far as this proxy was told; `None`: it was told of none.
    #[must_use]
    pub fn remaining(&self, budgets: &[String]) -> Option<Nano> {
        if budgets.is_empty() { None } else { self.accounts().remaining(now_ms(), budgets) }
    }

    /// Where every budget stands, as far as this proxy knows.
    #[must_use]
    pub fn budgets(&self) -> Vec<BudgetView> {
        self.accounts().views(now_ms())
    }

    fn accounts(&self) -> MutexGuard<'_, Accounts> {
        self.shared.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reservation {
    /// The provider said what was used: charge it, return the rest.
    pub fn settle(mut self, actual: Nano) {
        self.end(&Charge { actual, ..Charge::default() });
    }

    /// The provider never said what was used: charge the worst case, marked estimated.
    pub fn settle_in_full(mut self) {
        self.in_full();
    }

    /// A part of it is what the provider said, a part its bound: charge both, marked estimated.
    pub fn settle_estimated(mut self, actual: Nano) {
        self.end(&Charge { actual, estimated: true, bound_exceeded: None });
    }

    /// Nothing was sent, or a complete HTTP error came back before any stream: charge nothing.
    pub fn release(mut self) {
        self.end(&Charge::default());
    }

    /// The usage was above the bound: charge all of it and have the budgets deny the model.
    pub fn bound_exceeded(mut self, actual: Nano) {
        tracing::error!(model = %self.model, bound = %self.worst, %actual, "usage above its bound: the budgets deny the model until resumed");
        let bound_exceeded = Some(self.model.clone());
        self.end(&Charge { actual, bound_exceeded, ..Charge::default() });
    }

    fn in_full(&mut self) {
        let charge = Charge { actual: self.worst, estimated: true, bound_exceeded: None };
        self.end(&charge);
    }

    fn end(&mut self, charge: &Charge) {
        if self.tickets.is_empty() {
            return;
        }
        let tickets = std::mem::take(&mut self.tickets);
        self.shared.accounts.lock().unwrap_or_else(PoisonError::into_inner).settle(now_ms(), tickets, charge);
        if self.shared.waiting.load(Ordering::Relaxed) > 0 {
            self.shared.changed.notify_waiters();
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.in_full();
    }
}

/// Counts a request that waits, however it ends.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}
