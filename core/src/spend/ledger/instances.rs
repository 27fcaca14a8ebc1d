//! How long an endpoint's instances ran and what they cost an hour in; what they cost in the window, each instant counted once, out.

use super::{LedgerState, Transition};
use crate::spend::Nano;

const HOUR_MS: u128 = 3_600_000;

impl LedgerState {
    /// Counts from where counting ended, never before the window or after it. A clock that went back counts nothing.
    pub(super) fn instances(
        &mut self,
        now_ms: i64,
        endpoint: &str,
        since_ms: Option<i64>,
        per_hour: Nano,
    ) -> Transition {
        let to = now_ms.min(self.window.end_ms.unwrap_or(i64::MAX));
        let until = self.instances_until_ms.get(endpoint).copied();
        let from = until.max(since_ms.map(|since| since.min(to))).unwrap_or(to).max(self.window.start_ms);
        if to < from || (to == from && until.is_some()) {
            return Transition { persist: false, effects: vec![] };
        }
        self.infrastructure = self.infrastructure.plus(cost(per_hour, from, to));
        self.instances_until_ms.insert(endpoint.to_owned(), to);
        Transition { persist: true, effects: vec![] }
    }
}

/// What something at so much an hour costs from one instant (Unix milliseconds) to another, rounded up.
#[must_use]
pub fn cost(per_hour: Nano, from_ms: i64, to_ms: i64) -> Nano {
    let span = u128::try_from(i128::from(to_ms) - i128::from(from_ms)).unwrap_or(0);
    Nano(u64::try_from((u128::from(per_hour.0) * span).div_ceil(HOUR_MS)).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spend::Window;
    use crate::spend::ledger::Event;
    use proptest::prelude::*;

    const START: i64 = 1_000_000;
    const END: i64 = 9_000_000;

    fn ledger() -> LedgerState {
        LedgerState::new(Nano(u64::MAX), Window { id: "w".into(), start_ms: START, end_ms: Some(END) })
    }

    fn ran(endpoint: &str, since_ms: impl Into<Option<i64>>, per_hour: u64) -> Event {
        Event::Instances { endpoint: endpoint.to_owned(), since_ms: since_ms.into(), per_hour: Nano(per_hour) }
    }

    #[test]
    fn an_hour_costs_its_price_and_a_part_of_it_its_part_rounded_up() {
        assert_eq!(cost(Nano(500), 0, 3_600_000), Nano(500));
        assert_eq!(cost(Nano(500), 0, 1), Nano(1));
        assert_eq!((cost(Nano(500), 5, 5), cost(Nano(500), 5, 4)), (Nano(0), Nano(0)));
        assert_eq!(cost(Nano(u64::MAX), i64::MIN, i64::MAX), Nano(u64::MAX));
    }

    #[test]
    fn only_the_window_is_counted_and_a_clock_that_goes_back_counts_nothing() {
        let mut ledger = ledger();
        assert!(ledger.step(START + 10, &ran("e", START - 500, 3_600_000)).persist);
        assert_eq!(ledger.infrastructure, Nano(10));
        assert!(!ledger.step(START + 5, &ran("e", 0, 3_600_000)).persist);
        ledger.step(END + 1_000, &ran("e", 0, 3_600_000));
        assert_eq!(ledger.infrastructure, Nano(8_000_000));
        ledger.step(END + 2_000, &ran("e", 0, 3_600_000));
        assert_eq!(ledger.infrastructure, Nano(8_000_000));
    }

    #[test]
    fn what_ran_uncovered_is_not_counted_and_what_ran_unwatched_is() {
        let mut ledger = ledger();
        ledger.step(START + 10, &ran("e", START, 3_600_000));
        ledger.step(START + 1_000, &ran("e", START + 990, 3_600_000));
        assert_eq!(ledger.infrastructure, Nano(20));
        ledger.step(START + 2_000, &ran("e", None, 3_600_000));
        assert_eq!(ledger.infrastructure, Nano(1_020));
    }

    #[test]
    fn a_deleted_endpoint_keeps_what_it_cost() {
        let mut ledger = ledger();
        ledger.step(START + 10, &ran("gone", START, 3_600_000));
        ledger.step(START + 20, &ran("new", START + 15, 3_600_000));
        assert_eq!(ledger.infrastructure, Nano(15));
    }

    proptest! {
        /// Operators tell of one endpoint at a price of a nano-dollar a millisecond, late, twice, and after restarts that know no `since`.
        #[test]
        fn however_it_is_told_every_instant_is_counted_once(
            tellings in prop::collection::vec((0..8_000_000_i64, any::<bool>(), 1..4_u8), 1..40),
        ) {
            let mut ledger = ledger();
            let mut latest = START;
            ledger.step(START, &ran("e", START, 3_600_000));
            for (at, is_fresh, times) in tellings {
                let now = START + at;
                for _ in 0..times {
                    let since = (!is_fresh).then_some(latest);
                    ledger.step(now, &ran("e", since, 3_600_000));
                    // What is on record is what a restarted operator reads.
                    ledger = serde_json::from_value(serde_json::to_value(&ledger).unwrap()).unwrap();
                }
                latest = latest.max(now);
                prop_assert_eq!(ledger.infrastructure, Nano(u64::try_from(latest - START).unwrap()));
            }
        }
    }
}
