//! Where each budget stands in; its gauges out, under the names that proxies use, with the namespace besides.
//!
//! # Why apart from the operator's own series
//! `tollway_budget_spent_usd` means the same wherever it comes from: what a proxy was told last, or what the ledger has here.

use crate::ledger::{Key, View};
use prometheus::{GaugeVec, Opts, Registry};
use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard};
use tollway_core::spend::Nano;

/// Budgets that are shown at most; further ones are in their status alone.
const MOST: usize = 200;

/// The gauges of every budget.
pub struct Budgets {
    gauges: Vec<(GaugeVec, Figure)>,
    known: Mutex<BTreeSet<Key>>,
}

/// One figure of a budget.
type Figure = fn(&View) -> f64;

const FIGURES: [(&str, &str, Figure); 10] = [
    ("budget_limit_usd", "What may be spent in the window, credits included.", |v| usd(v.figures.limit)),
    ("budget_spent_usd", "Spent in the window, by the ledger.", |v| usd(v.figures.spent)),
    ("budget_reserved_usd", "Granted to proxies and not spent.", |v| usd(v.figures.reserved)),
    ("budget_remaining_usd", "Left in the window.", |v| usd(v.figures.remaining)),
    ("budget_estimated_usd", "The part of what is spent that no provider confirmed.", |v| usd(v.figures.estimated)),
    ("budget_burned_usd", "The part of what is spent that no proxy reported.", |v| usd(v.figures.burned)),
    ("budget_infrastructure_usd", "What instances cost in the window.", |v| usd(v.figures.infrastructure)),
    (
        "budget_forecast_usd",
        "Spent at the window's end if it goes on as in the last hour; without an end, what is spent.",
        |v| usd(v.forecast.at_end.unwrap_or(v.figures.spent)),
    ),
    ("budget_exhausted", "1 while requests of the usual size are refused.", |v| flag(v.figures.exhausted)),
    ("budget_frozen", "1 until an administrator resumes.", |v| flag(v.figures.frozen.is_some())),
];

impl Budgets {
    /// Registers the gauges.
    pub fn new(registry: &Registry) -> Result<Budgets, prometheus::Error> {
        let gauge = |(name, help, figure): (&str, &str, Figure)| {
            let gauge = GaugeVec::new(Opts::new(name, help), &["namespace", "budget"])?;
            registry.register(Box::new(gauge.clone())).map(|()| (gauge, figure))
        };
        let gauges = FIGURES.into_iter().map(gauge).collect::<Result<_, _>>()?;
        Ok(Budgets { gauges, known: Mutex::default() })
    }

    /// Where a budget stands now.
    pub fn show(&self, key: &Key, view: &View) {
        let mut known = self.known();
        if known.len() >= MOST && !known.contains(key) {
            return;
        }
        known.insert(key.clone());
        for (gauge, figure) in &self.gauges {
            gauge.with_label_values(&[&key.namespace, &key.name]).set(figure(view));
        }
    }

    /// The budget is gone.
    pub fn forget(&self, key: &Key) {
        if self.known().remove(key) {
            for (gauge, _) in &self.gauges {
                // An error means that there was no such series.
                let _ = gauge.remove_label_values(&[&key.namespace, &key.name]);
            }
        }
    }

    /// Another replica leads and shows them.
    pub fn clear(&self) {
        self.known().clear();
        self.gauges.iter().for_each(|(gauge, _)| gauge.reset());
    }

    fn known(&self) -> MutexGuard<'_, BTreeSet<Key>> {
        self.known.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

fn flag(is: bool) -> f64 {
    f64::from(u8::from(is))
}

#[expect(clippy::cast_precision_loss, reason = "a gauge is a float; money is not computed from it")]
fn usd(amount: Nano) -> f64 {
    amount.0 as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;
    use tollway_core::spend::{Figures, Forecast, Window};

    fn view(spent: u64) -> View {
        let figures = Figures { limit: Nano(2_000_000_000), spent: Nano(spent), exhausted: true, ..Figures::default() };
        let window = Window { id: "w".into(), start_ms: 0, end_ms: None };
        let (ledger, uid) = ("l".into(), "u".into());
        View { figures, window, ledger, uid, threshold: None, adjustments: vec![], forecast: Forecast::default() }
    }

    #[test]
    fn a_budget_has_its_series_until_it_is_gone_and_there_are_not_too_many() {
        let registry = Registry::new();
        let budgets = Budgets::new(&registry).unwrap();
        let key = |name: usize| Key { namespace: "ns".into(), name: name.to_string() };
        let series = || registry.gather().iter().map(|family| family.get_metric().len()).sum::<usize>();
        budgets.show(&key(0), &view(1));
        budgets.show(&key(0), &view(500_000_000));
        let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        assert!(text.contains("budget_spent_usd{budget=\"0\",namespace=\"ns\"} 0.5"), "{text}");
        assert!(text.contains("budget_exhausted{budget=\"0\",namespace=\"ns\"} 1"), "{text}");
        budgets.forget(&key(0));
        assert_eq!(series(), 0);
        (0..MOST + 5).for_each(|name| budgets.show(&key(name), &view(1)));
        assert_eq!(series(), MOST * FIGURES.len());
        budgets.clear();
        assert_eq!(series(), 0);
    }
}
