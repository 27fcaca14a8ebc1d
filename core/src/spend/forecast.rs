//! What was spent when in; what the window ends with at the pace of the last hour, and when its limit is reached, out.

use super::ledger::Figures;
use super::nano::Nano;
use super::window::Window;
use std::collections::VecDeque;

const HOUR_MS: i64 = 3_600_000;
const STEP_MS: i64 = 60_000;
/// A minute's burst is not yet a pace.
const SETTLED_MS: i64 = 900_000;
/// A window without an end is looked ahead so far.
const FAR_MS: i64 = 365 * 24 * HOUR_MS;

/// What was spent when, over the last hour.
#[derive(Clone, Debug, Default)]
pub struct Trend {
    points: VecDeque<(i64, Nano)>,
    window: String,
}

/// What becomes of a window if it goes on as in the last hour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forecast {
    /// What it will have spent at its end; absent for one that never ends.
    pub at_end: Option<Nano>,
    /// When nothing will be left; absent when that is not before its end, or is the case already. Whole minutes.
    pub exhausted_at_ms: Option<i64>,
}

impl Trend {
    /// Notes what is spent now, and looks ahead.
    pub fn forecast(&mut self, window: &Window, figures: &Figures, now_ms: i64) -> Forecast {
        let spent = figures.spent;
        if self.window != window.id {
            *self = Self { points: VecDeque::new(), window: window.id.clone() };
        }
        if self.points.back().is_none_or(|(at, _)| now_ms - at >= STEP_MS) {
            self.points.push_back((now_ms, spent));
        }
        while self.points.front().is_some_and(|(at, _)| now_ms - at > HOUR_MS) {
            self.points.pop_front();
        }
        let (since, then) = self.points.front().copied().unwrap_or((now_ms, spent));
        let pace = Pace { amount: spent.minus(then), ms: (now_ms - since).max(SETTLED_MS) };
        let at_end = window.end_ms.map(|end| spent.plus(pace.over(end.saturating_sub(now_ms))));
        let until = window.end_ms.unwrap_or(now_ms.saturating_add(FAR_MS));
        let left = figures.limit.minus(spent).minus(figures.infrastructure);
        let exhausted_at_ms = pace.takes(left).map(|ms| now_ms.saturating_add(ms)).filter(|at| *at < until);
        Forecast { at_end, exhausted_at_ms: exhausted_at_ms.map(|at| at / STEP_MS * STEP_MS) }
    }
}

/// So much in so long.
#[derive(Clone, Copy)]
struct Pace {
    amount: Nano,
    ms: i64,
}

impl Pace {
    fn over(self, ms: i64) -> Nano {
        let more =
            u128::from(self.amount.0) * u128::from(ms.max(0).unsigned_abs()) / u128::from(self.ms.unsigned_abs());
        Nano(u64::try_from(more).unwrap_or(u64::MAX))
    }

    /// How long an amount lasts; `None`: for ever, or there is none.
    fn takes(self, amount: Nano) -> Option<i64> {
        let whole = u128::from(amount.0) * u128::from(self.ms.unsigned_abs());
        let ms = whole.checked_div(u128::from(self.amount.0)).filter(|ms| *ms > 0)?;
        i64::try_from(ms).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(end_ms: Option<i64>) -> Window {
        Window { id: "w".into(), start_ms: 0, end_ms }
    }

    fn figures(spent: u64) -> Figures {
        Figures { limit: Nano(1_000), spent: Nano(spent), infrastructure: Nano(100), ..Figures::default() }
    }

    #[test]
    fn the_forecast_goes_on_at_the_pace_of_the_last_hour() {
        let (window, mut trend) = (window(Some(10 * HOUR_MS)), Trend::default());
        let mut at = |hours: i64, spent| trend.forecast(&window, &figures(spent), hours * HOUR_MS);
        assert_eq!(at(0, 0), Forecast { at_end: Some(Nano::ZERO), exhausted_at_ms: None });
        // 300 an hour: the 900 that instances leave are spent two hours later.
        assert_eq!(at(1, 300), Forecast { at_end: Some(Nano(3_000)), exhausted_at_ms: Some(3 * HOUR_MS) });
        assert_eq!(at(2, 300), Forecast { at_end: Some(Nano(300)), exhausted_at_ms: None }, "no more in the last hour");
    }

    #[test]
    fn the_end_is_told_only_where_it_comes_before_the_window_s_own() {
        let (window, mut trend) = (window(Some(3 * HOUR_MS)), Trend::default());
        trend.forecast(&window, &figures(0), 0);
        assert_eq!(trend.forecast(&window, &figures(300), HOUR_MS).exhausted_at_ms, None, "at the same moment");
        assert_eq!(trend.forecast(&window, &figures(900), HOUR_MS + 1).exhausted_at_ms, None, "it is there already");
    }

    #[test]
    fn a_window_without_an_end_has_no_sum_and_may_have_an_end_of_money() {
        let (window, mut trend) = (window(None), Trend::default());
        trend.forecast(&window, &figures(0), 0);
        let forecast = trend.forecast(&window, &figures(450), HOUR_MS);
        assert_eq!(forecast, Forecast { at_end: None, exhausted_at_ms: Some(2 * HOUR_MS) });
    }

    #[test]
    fn a_new_window_begins_anew_and_a_burst_is_no_pace() {
        let (mut trend, next) = (Trend::default(), Window { id: "next".into(), ..window(Some(10 * HOUR_MS)) });
        trend.forecast(&window(Some(HOUR_MS)), &figures(900), 0);
        assert_eq!(trend.forecast(&next, &figures(0), 1).at_end, Some(Nano::ZERO));
        let burst = trend.forecast(&next, &figures(10), 1 + STEP_MS).at_end;
        assert_eq!(burst, Some(Nano(409)), "as if it had taken a quarter of an hour");
    }
}
