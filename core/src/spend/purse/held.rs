//! One grant in a purse: reservations and settlements in, when to retire it and what to say of it out.

use super::super::{ledger::ShownGrant, nano::Nano, subject::Subject};
use super::{Charge, Granted, IDLE_MS, LIFE_MARGIN_MS, Out, REPEAT_MS, Spending, Ticket, WAIT_MS};
use std::collections::BTreeSet;

/// A grant that was accepted and is not known to be closed.
#[derive(Clone, Debug, Hash)]
pub(super) struct Held {
    pub(super) handle: u64,
    ledger: String,
    grant: u64,
    amount: Nano,
    spent: Nano,
    estimated: Nano,
    /// Set aside for attempts in flight.
    reserved: Nano,
    in_flight: u32,
    window_end_ms: i64,
    life_end_ms: i64,
    accepted_at_ms: i64,
    /// When something was last set aside.
    used_at_ms: Option<i64>,
    /// A newer grant is the active one: this one drains.
    pub(super) retiring: bool,
    /// Recalled, refused, idle or at its end: nothing more is taken from it, whatever happens.
    pub(super) returning: bool,
    bound_exceeded: BTreeSet<String>,
    /// What the last message said.
    told: (Nano, Nano, usize),
    next_report_ms: i64,
    next_close_ms: i64,
}

impl Held {
    pub(super) fn new(handle: u64, now_ms: i64, granted: &Granted) -> Self {
        Self {
            handle,
            ledger: granted.ledger.clone(),
            grant: granted.grant,
            amount: granted.amount,
            spent: Nano::ZERO,
            estimated: Nano::ZERO,
            reserved: Nano::ZERO,
            in_flight: 0,
            window_end_ms: granted.window_end_ms,
            life_end_ms: granted.life_end_ms,
            accepted_at_ms: now_ms,
            used_at_ms: None,
            retiring: false,
            returning: false,
            bound_exceeded: BTreeSet::new(),
            told: (Nano::ZERO, Nano::ZERO, 0),
            next_report_ms: i64::MIN,
            next_close_ms: i64::MIN,
        }
    }

    pub(super) fn is(&self, ledger: &str, grant: u64) -> bool {
        self.grant == grant && self.ledger == ledger
    }

    /// Granted and not spent.
    pub(super) fn unspent(&self) -> Nano {
        self.amount.minus(self.spent)
    }

    /// Set aside for requests under way.
    pub(super) fn reserved(&self) -> Nano {
        self.reserved
    }

    /// Spent in full for want of the provider's usage.
    pub(super) fn estimated(&self) -> Nano {
        self.estimated
    }

    #[cfg(test)]
    pub(super) fn source(&self) -> (&str, u64) {
        (&self.ledger, self.grant)
    }

    /// What was spent before there was a grant to spend it from, and the models that no other grant reports.
    pub(super) fn carry_over(&mut self, debt: (Nano, Nano), bound_exceeded: BTreeSet<String>) {
        self.spent = self.spent.plus(debt.0);
        self.estimated = self.estimated.plus(debt.1);
        self.bound_exceeded = bound_exceeded;
    }

    /// An administrator resumed: a model that exceeds its bound again has to be told on another grant.
    pub(super) fn resume(&mut self) {
        self.retiring |= !self.bound_exceeded.is_empty();
    }

    /// Whether `worst` may be set aside from it. A retiring grant drains, unless the purse is crowded and no further one can be had.
    pub(super) fn carries(&self, now_ms: i64, worst: Nano, crowded: bool) -> bool {
        worst <= self.left() && (!self.retiring || crowded) && self.alive(now_ms) && !self.going_back(now_ms)
    }

    /// Neither spent nor set aside.
    pub(super) fn left(&self) -> Nano {
        self.amount.minus(self.spent).minus(self.reserved)
    }

    /// Whether requests may be admitted on it still.
    pub(super) fn alive(&self, now_ms: i64) -> bool {
        now_ms < self.window_end_ms && now_ms < self.life_end_ms.saturating_sub(LIFE_MARGIN_MS)
    }

    /// A grant that is recalled before the request that asked for it could use it is kept for that one a moment.
    fn going_back(&self, now_ms: i64) -> bool {
        let promised = self.used_at_ms.is_none() && !self.retiring && now_ms - self.accepted_at_ms < WAIT_MS;
        self.returning && !promised
    }

    pub(super) fn reserve(&mut self, now_ms: i64, worst: Nano) -> Ticket {
        self.reserved = self.reserved.plus(worst);
        self.in_flight += 1;
        self.used_at_ms = Some(now_ms);
        Ticket { handle: self.handle, amount: worst }
    }

    pub(super) fn settle(&mut self, set_aside: Nano, charge: &Charge) {
        self.reserved = self.reserved.minus(set_aside);
        self.in_flight = self.in_flight.saturating_sub(1);
        self.spent = self.spent.plus(charge.actual);
        if self.in_flight == 0 && self.spent == Nano::ZERO {
            // Another budget had nothing for the request: this grant is still kept for it.
            self.used_at_ms = None;
        }
        if charge.estimated {
            self.estimated = self.estimated.plus(charge.actual);
        }
        self.bound_exceeded.extend(charge.bound_exceeded.clone());
    }

    /// Rule 6: at its end, idle, or asked back, it goes back.
    pub(super) fn rotate(&mut self, now_ms: i64) {
        let last_use = self.used_at_ms.unwrap_or(self.accepted_at_ms);
        let idle = self.in_flight == 0 && now_ms - last_use >= IDLE_MS;
        if idle || !self.alive(now_ms) {
            self.returning = true;
        }
        self.retiring |= self.going_back(now_ms);
    }

    /// A close once nothing is in flight on a retiring grant, a report when something is new; each at most once a second.
    pub(super) fn message(&mut self, now_ms: i64) -> Option<Out> {
        let closing = self.retiring && self.in_flight == 0;
        let news = (self.spent, self.estimated, self.bound_exceeded.len());
        let due = if closing { &mut self.next_close_ms } else { &mut self.next_report_ms };
        if now_ms < *due || !(closing || news != self.told) {
            return None;
        }
        *due = now_ms.saturating_add(REPEAT_MS);
        self.told = news;
        if closing {
            // From the first close on nothing may be taken from it again.
            self.returning = true;
        }
        let figures = Spending {
            ledger: self.ledger.clone(),
            grant: self.grant,
            spent: self.spent,
            estimated: self.estimated,
            bound_exceeded: self.bound_exceeded.iter().cloned().collect(),
        };
        Some(if closing { Out::Close(figures) } else { Out::Report(figures) })
    }

    /// For the hello of a new connection, which starts the messages anew.
    pub(super) fn show(&mut self, subject: Subject) -> (String, ShownGrant) {
        (self.next_report_ms, self.next_close_ms) = (i64::MIN, i64::MIN);
        let &mut Self { grant, amount, spent, estimated, .. } = self;
        (self.ledger.clone(), ShownGrant { grant, amount, spent, estimated, subject })
    }
}
