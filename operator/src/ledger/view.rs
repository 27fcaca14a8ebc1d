//! A ledger's state in; what status, events and metrics say of its budget out.

use std::collections::VecDeque;
use tollway_core::spend::{Figures, LedgerState, Nano, Window};

/// Where a budget stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// The amounts.
    pub figures: Figures,
    /// The window they are of.
    pub window: Window,
    /// Name of the BudgetLedger.
    pub ledger: String,
    /// Its uid.
    pub uid: String,
    /// The highest threshold that is reached, percent.
    pub threshold: Option<u32>,
    /// Ids of the adjustments that are applied.
    pub adjustments: Vec<String>,
    /// What the window will have spent at its end if it goes on as in the last hour; absent without an end.
    pub forecast: Option<Nano>,
}

impl View {
    pub(super) fn of(state: &LedgerState, ledger: &str, uid: &str, thresholds: &[u32], forecast: Option<Nano>) -> View {
        let figures = state.figures();
        let threshold = thresholds.iter().copied().filter(|percent| *percent <= figures.percent).max();
        View {
            figures,
            window: state.window.clone(),
            ledger: ledger.to_owned(),
            uid: uid.to_owned(),
            threshold,
            adjustments: state.adjustments.iter().cloned().collect(),
            forecast,
        }
    }

    /// Whether a person would see the same numbers.
    pub(super) fn same_figures(&self, other: &View) -> bool {
        View { forecast: None, ..self.clone() } == View { forecast: None, ..other.clone() }
    }

    /// Whether something differs that people or proxies act on.
    pub(super) fn acted_on_differs(&self, other: &View) -> bool {
        let acted = |view: &View| {
            let Figures { limit, exhausted, frozen, denied_models, .. } = view.figures.clone();
            (
                limit,
                exhausted,
                frozen,
                denied_models,
                view.threshold,
                view.window.clone(),
                view.uid.clone(),
                view.adjustments.clone(),
            )
        };
        acted(self) != acted(other)
    }
}

/// What was spent when, over the last hour.
#[derive(Debug, Default)]
pub(super) struct Trend {
    points: VecDeque<(i64, Nano)>,
    window: String,
}

const HOUR_MS: i64 = 3_600_000;
const STEP_MS: i64 = 60_000;
const SETTLED_MS: i64 = 900_000;

impl Trend {
    /// Notes what is spent now, and says what the window ends with at the pace of the last hour.
    pub(super) fn forecast(&mut self, state: &LedgerState, now: i64) -> Option<Nano> {
        let spent = state.figures().spent;
        if self.window != state.window.id {
            *self = Trend { points: VecDeque::new(), window: state.window.id.clone() };
        }
        if self.points.back().is_none_or(|(at, _)| now - at >= STEP_MS) {
            self.points.push_back((now, spent));
        }
        while self.points.front().is_some_and(|(at, _)| now - at > HOUR_MS) {
            self.points.pop_front();
        }
        let left = u128::try_from(state.window.end_ms?.saturating_sub(now)).ok()?;
        let (since, then) = *self.points.front()?;
        // A minute's burst is not yet a pace.
        let passed = u128::try_from((now - since).max(SETTLED_MS)).ok()?;
        let more = u128::from(spent.minus(then).0) * left / passed;
        Some(spent.plus(Nano(u64::try_from(more).unwrap_or(u64::MAX))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forecast_goes_on_at_the_pace_of_the_last_hour() {
        let window = Window { id: "d".into(), start_ms: 0, end_ms: Some(10 * HOUR_MS) };
        let mut state = LedgerState::new(Nano(1_000_000), window);
        let mut trend = Trend::default();
        assert_eq!(trend.forecast(&state, 0), Some(Nano::ZERO));
        state.settled = Nano(100);
        assert_eq!(trend.forecast(&state, HOUR_MS), Some(Nano(100 + 900)));
        assert_eq!(trend.forecast(&state, 2 * HOUR_MS), Some(Nano(100)), "nothing more in the last hour");
    }

    #[test]
    fn only_what_is_acted_on_is_urgent() {
        let window = Window { id: "once".into(), start_ms: 0, end_ms: None };
        let mut state = LedgerState::new(Nano(100), window);
        let before = View::of(&state, "l", "u", &[80], None);
        state.settled = Nano(50);
        let half = View::of(&state, "l", "u", &[80], None);
        assert!(!before.same_figures(&half) && !before.acted_on_differs(&half));
        state.settled = Nano(80);
        let reached = View::of(&state, "l", "u", &[80], None);
        assert_eq!(reached.threshold, Some(80));
        assert!(half.acted_on_differs(&reached));
    }
}
