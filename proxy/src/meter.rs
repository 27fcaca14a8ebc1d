//! What one attempt holds while it runs (money, a circuit permit, a place in flight) in; charges, counts and circuit outcomes out.

use crate::circuit::Permit;
use crate::ledger::Reservation;
use crate::metrics::Attempt;
use crate::targets::{Slot, TargetState};
use crate::trace::{self, AttemptSpan};
use http::HeaderValue;
use std::sync::Arc;
use tokio::time::Instant;
use tollway_core::spend::{Nano, Price, Usage};
use tollway_core::table::CircuitBreaker;

/// How much of a reservation is charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Money {
    /// Never sent, or a complete HTTP error before any stream.
    Nothing,
    /// The provider said what was used.
    Used(Usage),
    /// Sent, and the provider never said what was used.
    InFull,
}

/// One attempt, from its reservation to its end. Dropped while it runs, it counts as cancelled: charged in full if anything was sent.
#[derive(Debug)]
pub struct Metered {
    held: Option<Held>,
    state: Arc<TargetState>,
    began: Instant,
    first_byte: Option<Instant>,
    span: Option<AttemptSpan>,
    sent: bool,
}

#[derive(Debug)]
struct Held {
    reservation: Reservation,
    worst: Nano,
    price: Option<Price>,
    permit: Permit,
    breaker: CircuitBreaker,
    _slot: Slot,
}

impl Metered {
    #[must_use]
    pub fn new(
        state: &Arc<TargetState>,
        (permit, breaker): (Permit, CircuitBreaker),
        slot: Slot,
        (reservation, worst, price): (Reservation, Nano, Option<Price>),
        span: Option<AttemptSpan>,
        now: Instant,
    ) -> Self {
        let held = Held { reservation, worst, price, permit, breaker, _slot: slot };
        Self { held: Some(held), state: Arc::clone(state), began: now, first_byte: None, span, sent: false }
    }

    /// What ties the target's own spans to this attempt's.
    #[must_use]
    pub fn trace_header(&self) -> Option<HeaderValue> {
        self.span.as_ref().map(AttemptSpan::header)
    }

    /// From here on the provider may have begun to work.
    pub const fn sent(&mut self) {
        self.sent = true;
    }

    /// The answer began: a probe has shown that the target is back.
    pub fn first_byte(&mut self, now: Instant) {
        self.first_byte = Some(now);
        self.state.meter.first_token(now - self.began);
        if let Some(held) = self.held.as_ref().filter(|held| held.permit.is_probe()) {
            self.state.succeeded(&held.permit, now);
        }
    }

    /// The attempt ended so. Returns what was charged, where the target has a price.
    pub fn end(mut self, outcome: Attempt, money: Money) -> Option<Nano> {
        self.close(outcome, money)
    }

    fn close(&mut self, outcome: Attempt, money: Money) -> Option<Nano> {
        let Held { reservation, worst, price, permit, breaker, _slot } = self.held.take()?;
        let now = Instant::now();
        match outcome {
            Attempt::Ok | Attempt::Refused => self.state.succeeded(&permit, now),
            Attempt::Failed | Attempt::Unreachable | Attempt::TimedOut | Attempt::Cut => {
                self.state.failed(&permit, now, &breaker);
            }
            Attempt::Throttled | Attempt::Cancelled | Attempt::NoCapacity => self.state.neutral(&permit),
        }
        self.state.meter.attempt(outcome, now - self.began);
        let charged = match money {
            Money::Nothing => {
                reservation.release();
                Nano::ZERO
            }
            Money::Used(usage) => {
                self.state.meter.usage(&usage);
                let actual = price.map_or(Nano::ZERO, |price| price.cost(&usage));
                if actual > worst {
                    reservation.bound_exceeded(actual)
                } else {
                    reservation.settle(actual)
                }
                actual
            }
            Money::InFull => {
                reservation.settle_in_full();
                worst
            }
        };
        self.state.meter.cost(charged, money == Money::InFull);
        let charged = price.map(|_| charged);
        let usage = if let Money::Used(usage) = money { Some(usage) } else { None };
        let first = self.first_byte.map(|at| at - self.began);
        if let (Some(usage), Some(at), Attempt::Ok) = (&usage, self.first_byte, outcome) {
            self.state.meter.per_token(now - at, usage.output);
        }
        if let Some(span) = self.span.take() {
            let [route, target, operation, provider, model] = self.state.meter.labels();
            let of = trace::Target { route, target, operation, provider, model };
            let error = (outcome != Attempt::Ok).then(|| outcome.name());
            span.end(of, usage.as_ref(), charged, first, error);
        }
        charged
    }
}

impl Drop for Metered {
    fn drop(&mut self) {
        let money = if self.sent { Money::InFull } else { Money::Nothing };
        self.close(Attempt::Cancelled, money);
    }
}
