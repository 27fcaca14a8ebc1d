//! The ledger of one budget and one window: events in, the next state and what to tell whom out. It alone decides what may be spent.
//!
//! # How to drive it
//! Fold a batch of events over a copy of the state. When the transition says `persist`, write the copy by compare-and-swap and
//! release the effects only once the write is known to have happened: persist, then send. When the write failed, or its outcome is
//! unknown, read the stored state, ask it whether it was [`LedgerState::put_back`], let it [`LedgerState::absorb_reports`] of the state
//! in memory, and fold the same events again: every event may be applied any number of times. When nothing asks for a write, the effects may go out at once.
//!
//! # Why it holds
//! A grant is open until its own holder closes it or it is charged in full. So what proxies can have spent is at most
//! `settled + sum(open)`, and a grant is only made when that sum stays within the cap.

mod figures;
mod hello;
mod instances;
mod settle;
pub mod shares;
mod size;
mod state;
mod step;
#[cfg(test)]
mod tests;

pub use figures::Figures;
pub use instances::cost;
pub use shares::Shares;
pub use state::{Holder, LedgerState, LostGrant, OpenGrant};

use super::nano::Nano;
use super::subject::{Share, Subject};

/// Open grants that one incarnation may have at once.
pub const MAX_OPEN: usize = 4;
/// How long a grant lives; whoever has not closed it by then is charged in full.
pub const LIFE_MS: i64 = 3_600_000;

/// What happens to a ledger. Every event may be applied more than once without a further effect on the amounts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A proxy connected and showed what it still holds.
    Hello {
        /// Uid of the Pod, from its token.
        pod: String,
        /// The proxy process, drawn at its start.
        incarnation: String,
        /// Grants it says this ledger made.
        held: Vec<ShownGrant>,
        /// Grants it says were made, for this budget and window, by a ledger that is gone: `(uid of that ledger, grant)`.
        orphans: Vec<(String, ShownGrant)>,
    },
    /// A proxy asks for a grant.
    Ask {
        /// Uid of the Pod, from its token.
        pod: String,
        /// Who asks.
        incarnation: String,
        /// The ask: one grant at most is ever made for it.
        id: u64,
        /// The request that needs it.
        min: Nano,
        /// What it would take.
        want: Nano,
        /// Whose shares it is charged to as well.
        subject: Subject,
    },
    /// What was spent on a grant so far.
    Report(Spent),
    /// Nothing is in flight on the grant and nothing will be: what is left of it returns.
    Close(Spent),
    /// A Pod's process was replaced: every incarnation of it but these is dead from now on.
    Replaced {
        /// Uid of the Pod.
        pod: String,
        /// Incarnations known to live.
        live: Vec<String>,
    },
    /// The Pod is known to be gone for good. A lost connection is not that.
    PodGone {
        /// Uid of the Pod.
        pod: String,
    },
    /// Time went by.
    Tick,
    /// The budget's limit and mode as its spec has them now.
    SetCap {
        /// The limit.
        cap: Nano,
        /// Counts and never denies.
        observe: bool,
    },
    /// What each user and each client may spend of the window, as the spec has it now.
    SetShares {
        /// Each user; absent: as much as anyone.
        per_user: Option<Nano>,
        /// Each client; absent: as much as anyone.
        per_client: Option<Nano>,
    },
    /// An endpoint's instances ran until now. Counting goes on where the last such event left off, so that one that is late, repeated or
    /// told by another operator neither loses nor doubles an hour.
    Instances {
        /// Uid of the endpoint.
        endpoint: String,
        /// Since when they are known to run; what is between the last count and this is not counted. `None`: whoever tells has just
        /// begun, and takes them to have run since the last count.
        since_ms: Option<i64>,
        /// What all of them cost an hour.
        per_hour: Nano,
    },
    /// One entry of the budget's `adjustments`; an id that was applied before changes nothing.
    Adjust {
        /// Its id.
        id: String,
        /// What it does.
        adjustment: Adjustment,
    },
    /// The ledger cannot be trusted: deny until an administrator resumes.
    Freeze {
        /// Why, for the status.
        reason: String,
    },
}

/// What an administrator may do to a ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Adjustment {
    /// Raise what may be spent in this window.
    Credit(Nano),
    /// Thaw a frozen budget, and serve models again that exceeded their bound.
    Resume,
}

/// Cumulative figures of one grant, as its holder has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// Who says so.
    pub incarnation: String,
    /// The grant.
    pub grant: u64,
    /// Settled so far.
    pub spent: Nano,
    /// The part of `spent` that was charged in full without the provider's usage.
    pub estimated: Nano,
    /// Models whose usage was above the bound computed before the call.
    pub bound_exceeded: Vec<String>,
}

/// A grant as a connecting proxy shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ShownGrant {
    /// The grant.
    pub grant: u64,
    /// Its amount.
    pub amount: Nano,
    /// Settled so far.
    pub spent: Nano,
    /// The part of `spent` that is estimated.
    pub estimated: Nano,
    /// Whose shares it is charged to.
    pub subject: Subject,
}

/// Why an ask is not granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeniedReason {
    /// Would not fit even if everything open came back unspent.
    Exhausted,
    /// The share of its user or its client would not fit it, although the budget would.
    ShareExhausted(Share),
    /// Held by others just now, and recalled: ask again.
    Contended,
    /// Until an administrator resumes.
    Frozen,
    /// Not here or not now: ask again.
    Unavailable,
}

/// What to do once the state is on record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Send the grant.
    Granted {
        /// To whom.
        incarnation: String,
        /// The ask it answers.
        ask: u64,
        /// Whose shares it is charged to.
        subject: Subject,
        /// The grant.
        grant: u64,
        /// How much may be spent on it.
        amount: Nano,
        /// Burned in full from then on.
        life_end_ms: i64,
    },
    /// Send a denial.
    Denied {
        /// To whom.
        incarnation: String,
        /// The ask it answers.
        ask: u64,
        /// Whose shares it is about.
        subject: Subject,
        /// Why.
        reason: DeniedReason,
        /// The largest bound that a grant could carry if everything open came back unspent.
        fits: Nano,
    },
    /// Ask the holder to retire, drain and close the grant.
    Recall {
        /// The holder.
        incarnation: String,
        /// The grant.
        grant: u64,
    },
    /// The grant is closed, or charged in full, or was never known: the holder forgets it.
    Closed {
        /// The holder.
        incarnation: String,
        /// Uid of the ledger that made it, when that is not this one.
        ledger: Option<String>,
        /// The grant.
        grant: u64,
    },
    /// A grant was charged in full (worth an event on the budget).
    Burned {
        /// The holder's Pod.
        pod: String,
        /// The holder.
        incarnation: String,
        /// The grant.
        grant: u64,
        /// What was charged beyond what had been reported.
        amount: Nano,
    },
    /// The budget is frozen from now on (worth an event on the budget).
    Frozen {
        /// Why.
        reason: String,
    },
    /// Something that proxies or thresholds act on changed: send the state to every proxy of the budget.
    StateChanged,
}

/// What one or more events came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transition {
    /// The state must be on record before any effect leaves.
    pub persist: bool,
    /// In the order they arose.
    pub effects: Vec<Effect>,
}

impl Transition {
    /// Takes the effects of a later transition; the state's change is told once.
    pub fn append(&mut self, later: Self) {
        self.persist |= later.persist;
        for effect in later.effects {
            if effect != Effect::StateChanged || !self.effects.contains(&Effect::StateChanged) {
                self.effects.push(effect);
            }
        }
    }
}

/// Folds a batch of events over a copy of `state`: what to write, and what to release once it is written.
#[must_use]
pub fn fold(state: &LedgerState, now_ms: i64, events: &[Event]) -> (LedgerState, Transition) {
    let mut next = state.clone();
    let mut all = Transition::default();
    for event in events {
        all.append(next.step(now_ms, event));
    }
    (next, all)
}
