//! What one request may cost at most and what its batches came to in; one settlement of its reservation out, when the last of them is over.
//!
//! # The rule of a shared batch
//! A request reserves, once, the most that its own texts can cost. A batch that holds texts of several requests is charged to each by its
//! own texts: where the endpoint counts tokens, the count is shared out in proportion to the bounds of their texts, rounded up; where it counts none, or never answers, the
//! request pays the bound of its own texts, marked estimated. An error that is complete costs nothing. A batch that is sent again after
//! nobody knows whether it was answered is paid twice: the lost attempt from a reservation of its own, without which there is no second.

use crate::targets::TargetState;
use crate::ledger::Reservation;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tollway_core::spend::{Nano, Price, Usage};

/// The account of one request. Settled when dropped.
#[derive(Debug)]
pub struct Tab {
    price: Price,
    worst: Nano,
    user: Option<String>,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    reservation: Option<Reservation>,
    tally: Tally,
    /// Whoever was asked last.
    source: Option<Arc<TargetState>>,
}

/// Tokens by how sure they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    /// The endpoint counted them.
    counted: u64,
    /// Bounds of texts whose tokens nobody counted.
    bounds: u64,
    /// Bounds of texts that are on their way.
    under_way: u64,
}

/// How a batch ended for the texts of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// Never sent, or a complete error.
    Nothing,
    /// Tokens that the endpoint counted.
    Counted(u64),
    /// Answered without a count, or nobody knows.
    Bound,
    /// Nobody knows, and a reservation of its own has paid.
    PaidApart,
}

impl Tally {
    fn close(&mut self, bound: u64, share: Share) {
        self.under_way = self.under_way.saturating_sub(bound);
        match share {
            Share::Nothing | Share::PaidApart => {}
            Share::Counted(tokens) => self.counted = self.counted.saturating_add(tokens),
            Share::Bound => self.bounds = self.bounds.saturating_add(bound),
        }
    }

    /// What it comes to, and whether any of it is an estimate; nothing when nothing was asked.
    fn cost(&self, price: &Price) -> Option<(Nano, bool)> {
        let Self { counted, bounds, under_way } = *self;
        let estimated = bounds.saturating_add(under_way);
        match (counted, estimated) {
            (0, 0) => None,
            (counted, 0) => Some((price.cost(&Usage { input: counted, ..Usage::default() }), false)),
            (counted, estimated) => Some((price.worst_case(counted.saturating_add(estimated), 0), true)),
        }
    }
}

impl Tab {
    /// Whose share of a budget pays.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    #[must_use]
    pub fn new(reservation: Reservation, worst: Nano, price: Price, user: Option<String>) -> Arc<Self> {
        let inner = Inner { reservation: Some(reservation), ..Inner::default() };
        Arc::new(Self { price, worst, user, inner: Mutex::new(inner) })
    }

    /// Texts of this bound go out to a source.
    pub fn sending(&self, bound: u64, source: &Arc<TargetState>) {
        let mut inner = self.lock();
        inner.tally.under_way = inner.tally.under_way.saturating_add(bound);
        inner.source = Some(Arc::clone(source));
    }

    /// And this is how it ended.
    pub fn sent(&self, bound: u64, share: Share) {
        self.lock().tally.close(bound, share);
    }

    /// What everything came to so far.
    #[must_use]
    pub fn cost(&self) -> Nano {
        self.lock().tally.cost(&self.price).map_or(Nano::ZERO, |(cost, _)| cost)
    }

    /// What the texts measure that nobody counted, in bytes and what a model adds.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let Tally { counted: _, bounds, under_way } = self.lock().tally;
        bounds.saturating_add(under_way)
    }

    /// Tokens that were counted for this request; none while any of them are a bound.
    #[must_use]
    pub fn usage(&self) -> Option<Usage> {
        let tally = self.lock().tally;
        (tally.bounds == 0 && tally.under_way == 0).then(|| Usage { input: tally.counted, ..Usage::default() })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Tab {
    fn drop(&mut self) {
        let (price, worst) = (self.price, self.worst);
        let Inner { reservation, tally, source } = self.inner.get_mut().unwrap_or_else(PoisonError::into_inner);
        let Some(reservation) = reservation.take() else { return };
        let cost = tally.cost(&price);
        if let (Some((cost, estimated)), Some(source)) = (cost, source.as_ref()) {
            source.meter.usage(&Usage { input: tally.counted, ..Usage::default() });
            source.meter.cost(cost, estimated);
        }
        match cost {
            None => reservation.release(),
            Some((cost, _)) if cost > worst => reservation.bound_exceeded(cost),
            Some((cost, true)) => reservation.settle_estimated(cost),
            Some((cost, false)) => reservation.settle(cost),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PRICE: Price = Price {
        input: Nano(20_000_000),
        output: Nano(0),
        cache_read: Nano(20_000_000),
        cache_write: Nano(20_000_000),
        cache_write_1h: Nano(20_000_000),
        per_request: Nano(3),
        per_image: Nano(0),
        long: None,
    };

    fn share() -> impl Strategy<Value = (u64, Share)> {
        (1..10_000_u64, 0..4_u8, 0..=1000_u64).prop_map(|(bound, kind, part)| match kind {
            0 => (bound, Share::Nothing),
            1 => (bound, Share::Counted(bound * part / 1000)),
            2 => (bound, Share::Bound),
            _ => (bound, Share::PaidApart),
        })
    }

    proptest! {
        #[test]
        fn no_end_of_any_batch_costs_more_than_was_reserved_or_less_than_was_used(
            // For each text: attempts that cost nothing here, then its end; the last ones may never end.
            texts in prop::collection::vec((share(), prop::collection::vec(any::<bool>(), 0..3)), 1..20),
            dangling in 0..3_usize,
        ) {
            let reserved = PRICE.worst_case(texts.iter().map(|((bound, _), _)| bound).sum(), 0);
            let (mut tally, mut used) = (Tally::default(), 0);
            let ending = texts.len().saturating_sub(dangling);
            for (at, ((bound, share), before)) in texts.iter().enumerate() {
                for apart in before {
                    tally.under_way += bound;
                    tally.close(*bound, if *apart { Share::PaidApart } else { Share::Nothing });
                }
                tally.under_way += bound;
                if at < ending {
                    tally.close(*bound, *share);
                }
                used += match (at < ending, share) {
                    (false, _) | (true, Share::Bound) => *bound,
                    (true, Share::Counted(tokens)) => *tokens,
                    (true, Share::Nothing | Share::PaidApart) => 0,
                };
            }
            let (cost, estimated) = tally.cost(&PRICE).unwrap_or_default();
            prop_assert!(cost <= reserved);
            let least = if used == 0 { Nano::ZERO } else { PRICE.cost(&Usage { input: used, ..Usage::default() }) };
            prop_assert!(cost >= least);
            prop_assert_eq!(estimated, tally.bounds + tally.under_way > 0);
        }
    }
}
