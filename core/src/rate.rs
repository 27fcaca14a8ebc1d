//! One rate, its state and `now` in; whether so much may go out now, what remains, and when to come back. GCRA in whole nanoseconds, pure.
//!
//! # Why one number
//! The state of a rate is the moment at which it will be whole again. What is taken moves it into the future, time passes it by. A state in
//! the past and no state at all mean the same, so only what is in use needs memory; and what was reserved goes back by subtraction.

/// So much in a window: all of it at once at most, refilled evenly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Units in a window; at least 1.
    pub limit: u64,
    /// In the unit of moments and states; at least 1. Nanoseconds here, microseconds where Redis keeps the states.
    pub window: u64,
}

/// What a rate looks like at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// Units in a window.
    pub limit: u64,
    /// Units that may be taken now.
    pub remaining: u64,
    /// Nanoseconds until it is whole again.
    pub reset: u64,
}

/// Why nothing was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// It would fit after so many nanoseconds.
    After(u64),
    /// More than the whole window has.
    Never,
}

impl Rate {
    /// A rate of `limit` units in `window_ms` milliseconds.
    #[must_use]
    pub fn new(limit: u32, window_ms: u64) -> Self {
        Self { limit: u64::from(limit).max(1), window: window_ms.max(1).saturating_mul(1_000_000) }
    }

    /// Takes `units` from `state` at `now`: the new state.
    ///
    /// # Errors
    /// They are not there.
    pub fn take(self, state: u64, now: u64, units: u64) -> Result<u64, Denied> {
        if units > self.limit {
            return Err(Denied::Never);
        }
        let whole_at = state.max(now).saturating_add(self.cost(units));
        let latest = now.saturating_add(self.window);
        if whole_at > latest { Err(Denied::After(whole_at - latest)) } else { Ok(whole_at) }
    }

    /// The state when `used` units were used where `reserved` had been taken; what was used beyond them is owed.
    #[must_use]
    pub fn correct(self, state: u64, now: u64, reserved: u64, used: u64) -> u64 {
        if used > reserved {
            state.max(now).saturating_add(self.cost(used - reserved))
        } else {
            // As much as `take` added for these, so that giving back never gives more.
            state.saturating_sub(self.cost(reserved) - self.cost(used))
        }
    }

    /// What `state` means at `now`.
    #[must_use]
    pub fn view(self, state: u64, now: u64) -> View {
        let reset = state.saturating_sub(now);
        let free = u128::from(self.window.saturating_sub(reset));
        let remaining = free * u128::from(self.limit) / u128::from(self.window);
        View { limit: self.limit, remaining: u64::try_from(remaining).unwrap_or(self.limit), reset }
    }

    /// Time that `units` take to refill, rounded up: never more than the limit in a window.
    #[must_use]
    pub fn cost(self, units: u64) -> u64 {
        let cost = (u128::from(units) * u128::from(self.window)).div_ceil(u128::from(self.limit));
        u64::try_from(cost).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MINUTE: u64 = 60_000_000_000;

    #[test]
    fn a_whole_window_goes_at_once_and_then_one_by_one() {
        let rate = Rate::new(60, 60_000);
        let mut state = 0;
        for _ in 0..60 {
            state = rate.take(state, MINUTE, 1).unwrap();
        }
        assert_eq!(rate.take(state, MINUTE, 1), Err(Denied::After(MINUTE / 60)));
        assert_eq!(rate.view(state, MINUTE), View { limit: 60, remaining: 0, reset: MINUTE });
        assert!(rate.take(state, MINUTE + MINUTE / 60, 1).is_ok());
        assert_eq!(rate.view(state, 2 * MINUTE).remaining, 60);
        assert_eq!(rate.take(0, 0, 61), Err(Denied::Never));
    }

    #[test]
    fn a_reservation_is_corrected_both_ways() {
        let rate = Rate::new(1_000, 60_000);
        let state = rate.take(0, MINUTE, 800).unwrap();
        assert_eq!(rate.view(rate.correct(state, MINUTE, 800, 100), MINUTE).remaining, 900);
        assert_eq!(rate.view(rate.correct(state, MINUTE, 800, 900), MINUTE).remaining, 100);
        let owing = rate.correct(state, MINUTE, 800, 1_500);
        assert_eq!(rate.view(owing, MINUTE).remaining, 0);
        assert!(matches!(rate.take(owing, MINUTE, 1), Err(Denied::After(after)) if after > MINUTE / 2));
    }

    proptest! {
        #[test]
        fn no_order_of_events_gives_more_than_burst_and_refill(
            limit in 1_u32..2_000, window_ms in 1_000_u64..100_000,
            events in prop::collection::vec((0_u64..20_000, 1_u64..500, 0_u64..500), 1..200),
        ) {
            let rate = Rate::new(limit, window_ms);
            let (start, mut now, mut state, mut used) = (rate.window, rate.window, 0, 0_u128);
            for (wait_ms, reserve, actual) in events {
                now += wait_ms * 1_000_000;
                if let Ok(next) = rate.take(state, now, reserve) {
                    let actual = actual.min(reserve);
                    state = rate.correct(next, now, reserve, actual);
                    used += u128::from(actual);
                }
                let refilled = u128::from(now - start) * u128::from(limit) / u128::from(rate.window) + 1;
                prop_assert!(used <= u128::from(limit) + refilled);
            }
        }
    }
}
