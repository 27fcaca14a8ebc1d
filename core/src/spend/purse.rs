//! What one proxy holds of one budget: reservations, settlements and the operator's answers in; admissions and messages out.
//!
//! # How to drive it
//! One purse for each budget of the table, behind a lock that is never held across an await. [`Purse::reserve`] before each attempt;
//! [`Purse::settle`] or [`Purse::release`] after it; [`Purse::take`] for each message of the operator, [`Purse::hello`] at each
//! connect, and [`Purse::poll`] after each of these and at least four times a second: what it returns is sent when there is a
//! connection and dropped when there is none, since everything is repeated until it is answered.
//! A request that is told [`Reserve::NeedsGrant`] waits until `take` says that waiting requests should try again, 2 s at most.
//!
//! # Why an ask id rises only when its grant is accepted
//! The ledger makes one grant for one ask. An ask that was denied or never answered may still be granted by a copy of it that is
//! under way; since the next attempt carries the same id, that grant is the one the purse takes, and none is left behind.

mod ask;
mod held;
mod message;
mod rate;
#[cfg(test)]
mod tests;

use super::ledger::{DeniedReason, MAX_OPEN, ShownGrant};
use super::nano::Nano;
use super::subject::{Share, Subject};
use ask::{Asking, MANY_HELD};
use held::Held;
use std::collections::{BTreeMap, BTreeSet};

pub use message::{Granted, In, Out, Spending, State};

/// A request or a message unanswered for so long is sent again.
const REPEAT_MS: i64 = 1_000;
/// A grant that nothing was reserved from for so long is closed.
const IDLE_MS: i64 = 60_000;
/// A grant is retired so long before its life ends: the longest request, and clocks that differ.
const LIFE_MARGIN_MS: i64 = 15 * 60_000;
/// How long a request waits for a grant; a recalled grant that is not used yet is kept so long for the request that asked for it.
pub const WAIT_MS: i64 = 2_000;

/// One proxy's holdings of one budget.
#[derive(Clone, Debug, Hash)]
pub struct Purse {
    incarnation: String,
    /// Whose shares it is for.
    subject: Subject,
    observe: bool,
    /// Oldest first; the last one that is not retiring is the active one.
    held: Vec<Held>,
    next_handle: u64,
    asking: Asking,
    /// The grant that answered each of the last asks, so that one made twice is told from one received twice.
    accepted: BTreeMap<u64, (String, u64)>,
    state: Option<State>,
    /// Bound exceeded here; the ledger's answer is not awaited.
    denied_models: BTreeSet<String>,
    /// The part of them that no grant reports.
    unreported: BTreeSet<String>,
    /// Spent while observing without a grant.
    debt: (Nano, Nano),
    burn: rate::Rate,
}

/// A reservation: what one attempt may cost at most, set aside. To be given back to the purse it came from.
#[must_use = "an attempt that is never settled stays reserved"]
#[derive(Debug, PartialEq, Eq)]
#[cfg_attr(test, derive(Clone, PartialOrd, Ord, Hash))]
pub struct Ticket {
    handle: u64,
    amount: Nano,
}

impl Ticket {
    /// What was set aside.
    #[must_use]
    pub const fn amount(&self) -> Nano {
        self.amount
    }
}

/// Figures of every grant that one purse holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holdings {
    /// Granted and not spent.
    pub unspent: Nano,
    /// Spent in full for want of the provider's usage.
    pub estimated: Nano,
}

/// The answer to a request that wants to spend.
#[derive(Debug, PartialEq, Eq)]
pub enum Reserve {
    /// Set aside.
    Reserved(Ticket),
    /// No held grant carries it; one is being asked for.
    NeedsGrant,
    /// Refused now, without asking.
    Denied(Denied),
}

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denied {
    /// The ledger said that it would not fit even if everything open came back.
    Exhausted {
        /// What would.
        fits: Nano,
    },
    /// The share of its user or client would not fit it.
    ShareExhausted {
        /// Whose.
        share: Share,
        /// What would fit.
        fits: Nano,
    },
    /// Until an administrator resumes.
    Frozen,
    /// The model's usage was above its bound; until an administrator resumes.
    ModelDenied,
}

/// What an attempt came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Charge {
    /// Its cost.
    pub actual: Nano,
    /// Whether that is the worst case, for want of the provider's usage.
    pub estimated: bool,
    /// The model, when its usage was above the bound that was reserved: denied from now on.
    pub bound_exceeded: Option<String>,
}

/// Whether waiting requests should try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// Nothing changed for them.
    Nobody,
    /// Each calls `reserve` once more.
    Waiting,
}

impl Purse {
    /// An empty purse of a new incarnation.
    #[must_use]
    pub fn new(incarnation: &str) -> Self {
        Self {
            incarnation: incarnation.to_owned(),
            subject: Subject::default(),
            observe: false,
            held: vec![],
            next_handle: 1,
            asking: Asking::default(),
            accepted: BTreeMap::new(),
            state: None,
            denied_models: BTreeSet::new(),
            unreported: BTreeSet::new(),
            debt: (Nano::ZERO, Nano::ZERO),
            burn: rate::Rate::default(),
        }
    }

    /// An empty purse for the shares of `subject` in the same budget. Its asks and tickets are numbered from `after` on: the highest that
    /// [`Purse::reached`] said of those that were dropped, so that nothing meant for one of them is taken for its own.
    #[must_use]
    pub fn for_shares(&self, subject: Subject, after: u64) -> Self {
        Self {
            subject,
            observe: self.observe,
            next_handle: after + 1,
            asking: Asking::after(after),
            state: self.state.clone(),
            denied_models: self.denied_models.clone(),
            ..Self::new(&self.incarnation)
        }
    }

    /// Sets whether the budget only observes; then nothing is denied and nothing waits.
    pub fn observe(&mut self, observe: bool) {
        self.observe = observe;
    }

    /// Sets `worst` aside for one attempt on `model`.
    pub fn reserve(&mut self, now_ms: i64, worst: Nano, model: &str) -> Reserve {
        if !self.observe
            && let Some(denied) = self.refusal(now_ms, model)
        {
            return Reserve::Denied(denied);
        }
        if worst == Nano::ZERO {
            return Reserve::Reserved(Ticket { handle: 0, amount: worst });
        }
        let crowded = self.held.len() >= MAX_OPEN;
        let carries = |h: &&mut Held| h.carries(now_ms, worst, crowded);
        if let Some(held) = self.held.iter_mut().rev().find(carries) {
            return Reserve::Reserved(held.reserve(now_ms, worst));
        }
        if !self.observe
            && let Some((fits, share)) = self.asking.denied(now_ms, worst)
        {
            let exhausted = Denied::Exhausted { fits };
            return Reserve::Denied(share.map_or(exhausted, |share| Denied::ShareExhausted { share, fits }));
        }
        self.asking.demand(now_ms, worst);
        if self.observe {
            return Reserve::Reserved(Ticket { handle: 0, amount: worst });
        }
        Reserve::NeedsGrant
    }

    /// The attempt is over, and this is what it cost.
    pub fn settle(&mut self, now_ms: i64, ticket: Ticket, charge: &Charge) {
        self.burn.add(now_ms, charge.actual);
        self.asking.turn();
        self.denied_models.extend(charge.bound_exceeded.clone());
        if let Some(held) = self.held.iter_mut().find(|h| h.handle == ticket.handle) {
            held.settle(ticket.amount, charge);
            return;
        }
        self.unreported.extend(charge.bound_exceeded.clone());
        if ticket.handle == 0 {
            // Nothing was set aside: free, or observed without a grant. The next grant carries it.
            self.debt.0 = self.debt.0.plus(charge.actual);
            if charge.estimated {
                self.debt.1 = self.debt.1.plus(charge.actual);
            }
        }
    }

    /// The attempt never reached the provider, or the provider refused it whole: it cost nothing.
    pub fn release(&mut self, now_ms: i64, ticket: Ticket) {
        self.settle(now_ms, ticket, &Charge::default());
    }

    /// Whether the budget is known to have nothing left for requests of the usual size: what `onExhausted` acts on.
    #[must_use]
    pub fn exhausted(&self, now_ms: i64) -> bool {
        self.told(now_ms).is_some_and(|s| s.exhausted)
    }

    /// The ledger and the grant that a reservation is charged to.
    #[cfg(test)]
    pub(super) fn source_of(&self, ticket: &Ticket) -> Option<(&str, u64)> {
        self.held.iter().find(|h| h.handle == ticket.handle).map(Held::source)
    }

    /// What the operator last said of the window that is running.
    #[must_use]
    pub fn told(&self, now_ms: i64) -> Option<&State> {
        self.state.as_ref().filter(|s| now_ms < s.window_end_ms)
    }

    /// What a request says that waited in vain: why the last ask was not granted, or not made; or, where grants came while it waited, that
    /// others had the use of them. `None`: no ledger answered.
    #[must_use]
    pub fn last_denial(&self, now_ms: i64) -> Option<(DeniedReason, Nano)> {
        let others = || {
            let amount = self.asking.granted_since(now_ms - WAIT_MS)?;
            Some((DeniedReason::Contended, self.state.as_ref().map_or(amount, |state| state.remaining)))
        };
        self.asking.last_denial.or_else(others)
    }

    /// What is held just now, draining grants included.
    #[must_use]
    pub fn holdings(&self) -> Holdings {
        let sum = |of: fn(&Held) -> Nano| self.held.iter().map(of).sum();
        Holdings { unspent: sum(Held::unspent), estimated: sum(Held::estimated) }
    }

    /// Grants held, draining ones included; 0: the purse may be dropped.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// The highest number that an ask or a ticket of it may have.
    #[must_use]
    pub fn reached(&self) -> u64 {
        self.asking.reached().max(self.next_handle)
    }

    /// Whether it holds nothing, owes nothing and waits for nothing: it may be dropped, and another made when it is needed.
    #[must_use]
    pub fn is_idle(&self, now_ms: i64) -> bool {
        self.held.is_empty()
            && self.debt == Default::default()
            && self.unreported.is_empty()
            && self.asking.is_idle(now_ms)
    }

    /// The model was seen to exceed its bound elsewhere in this process.
    pub fn deny(&mut self, model: &str) {
        self.denied_models.insert(model.to_owned());
    }

    /// Retires every grant, for a budget that is gone or a proxy that stops.
    pub fn retire(&mut self) {
        for held in &mut self.held {
            held.retiring = true;
            held.returning = true;
        }
        self.asking.forget();
    }

    fn refusal(&self, now_ms: i64, model: &str) -> Option<Denied> {
        let told = self.told(now_ms);
        if told.is_some_and(|s| s.frozen) || self.asking.frozen(now_ms) {
            return Some(Denied::Frozen);
        }
        let exceeded = [Some(&self.denied_models), self.state.as_ref().map(|s| &s.denied_models)];
        let exceeded = exceeded.into_iter().flatten().any(|models| models.contains(model));
        exceeded.then_some(Denied::ModelDenied)
    }

    /// A new connection: what is shown in its hello. Everything unanswered is sent again by the next `poll`.
    pub fn hello(&mut self) -> Vec<(String, ShownGrant)> {
        self.asking.resend();
        let subject = self.subject;
        self.held.iter_mut().map(|held| held.show(subject)).collect()
    }

    /// A message of the operator.
    pub fn take(&mut self, now_ms: i64, message: In) -> Wake {
        self.asking.turn();
        match message {
            In::Grant(granted) => self.accept(now_ms, granted),
            In::Denied { incarnation, ask, reason, fits } => {
                if incarnation != self.incarnation {
                    return Wake::Nobody;
                }
                let wake = self.asking.refused(now_ms, ask, reason, fits);
                // Where others wait too, what carries nothing that waits here goes back without being asked.
                if let Some(smallest) = self.asking.contended() {
                    let useless = |h: &&mut Held| h.left() < smallest;
                    self.held.iter_mut().filter(useless).for_each(|h| h.retiring = true);
                }
                wake
            }
            In::Recall { ledger, grant } => {
                for held in self.held.iter_mut().filter(|h| h.is(&ledger, grant)) {
                    held.returning = true;
                }
                Wake::Nobody
            }
            In::Closed { ledger, grant } => {
                self.held.retain(|h| !h.is(&ledger, grant));
                Wake::Waiting
            }
            In::State(state) => self.learn(state),
        }
    }

    fn learn(&mut self, state: State) -> Wake {
        // An administrator who resumes clears the models; the ledger has heard of ours before it can say so.
        let resumed =
            self.state.as_ref().is_some_and(|s| !s.denied_models.is_empty() && state.denied_models.is_empty());
        if resumed {
            self.denied_models.clear();
            self.held.iter_mut().for_each(Held::resume);
        }
        self.asking.learn(&state);
        self.state = Some(state);
        Wake::Waiting
    }

    /// Rule 2: only a grant for this incarnation and the outstanding ask. One that another ledger made for an ask that is answered
    /// is given back untouched: it cannot have been spent from, since it was never accepted.
    fn accept(&mut self, now_ms: i64, granted: Granted) -> Wake {
        if granted.incarnation != self.incarnation || self.held.iter().any(|h| h.is(&granted.ledger, granted.grant)) {
            return Wake::Nobody;
        }
        let answers = self.asking.accept(now_ms, granted.ask, granted.amount);
        let made_twice =
            self.accepted.get(&granted.ask).is_some_and(|(l, g)| (l, *g) != (&granted.ledger, granted.grant));
        if !answers && !made_twice {
            return Wake::Nobody;
        }
        let mut held = Held::new(self.next_handle, now_ms, &granted);
        self.next_handle += 1;
        if answers {
            self.accepted.insert(granted.ask, (granted.ledger, granted.grant));
            while self.accepted.len() > 64 {
                self.accepted.pop_first();
            }
            for older in &mut self.held {
                older.retiring = true;
            }
            if !held.alive(now_ms) {
                self.asking.in_vain(now_ms);
            }
            held.carry_over(std::mem::take(&mut self.debt), std::mem::take(&mut self.unreported));
        } else {
            (held.retiring, held.returning) = (true, true);
        }
        self.held.push(held);
        if answers { Wake::Waiting } else { Wake::Nobody }
    }

    /// What is due to be sent.
    pub fn poll(&mut self, now_ms: i64) -> Vec<Out> {
        let mut out = vec![];
        for held in &mut self.held {
            held.rotate(now_ms);
            out.extend(held.message(now_ms));
        }
        if self.held.len() < MAX_OPEN {
            let many = self.held.len() >= MANY_HELD;
            let under_way = if many { self.held.iter().map(Held::reserved).sum() } else { Nano::ZERO };
            out.extend(self.asking.poll(now_ms, self.subject, &self.burn, under_way));
        } else {
            let unspent = self.holdings().unspent;
            self.asking.crowded(now_ms, self.state.as_ref().map_or(unspent, |state| state.remaining));
        }
        out
    }
}
