//! A ledger's state in; what status, events and metrics say of its budget out.

use tollway_core::spend::{Figures, Forecast, LedgerState, Window};

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
    /// Ids of the adjustments that are applied, and when each was.
    pub adjustments: Vec<(String, Option<i64>)>,
    /// Where the pace of the last hour leads.
    pub forecast: Forecast,
}

impl View {
    pub(super) fn of(state: &LedgerState, ledger: &str, uid: &str, thresholds: &[u32], forecast: Forecast) -> View {
        let figures = state.figures();
        let threshold = thresholds.iter().copied().filter(|percent| *percent <= figures.percent).max();
        View {
            figures,
            window: state.window.clone(),
            ledger: ledger.to_owned(),
            uid: uid.to_owned(),
            threshold,
            adjustments: state
                .adjustments
                .iter()
                .map(|id| (id.clone(), state.adjusted_at_ms.get(id).copied()))
                .collect(),
            forecast,
        }
    }

    /// Whether a person would see the same numbers.
    pub(super) fn same_figures(&self, other: &View) -> bool {
        let forecast = Forecast::default();
        View { forecast, ..self.clone() } == View { forecast, ..other.clone() }
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

#[cfg(test)]
mod tests {
    use super::*;
    use tollway_core::spend::Nano;

    #[test]
    fn only_what_is_acted_on_is_urgent() {
        let window = Window { id: "once".into(), start_ms: 0, end_ms: None };
        let mut state = LedgerState::new(Nano(100), window);
        let before = View::of(&state, "l", "u", &[80], Forecast::default());
        state.settled = Nano(50);
        let half = View::of(&state, "l", "u", &[80], Forecast::default());
        assert!(!before.same_figures(&half) && !before.acted_on_differs(&half));
        state.settled = Nano(80);
        let reached = View::of(&state, "l", "u", &[80], Forecast::default());
        assert_eq!(reached.threshold, Some(80));
        assert!(half.acted_on_differs(&reached));
    }
}
