//! Gauges of what is only true at the moment of a scrape: the table's revision, the budgets, this build.

use super::meter::usd;
use crate::ledger::BudgetView;
use prometheus::{GaugeVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

#[derive(Debug)]
pub struct Moment {
    ready: IntGauge,
    revision: IntGauge,
    limit: GaugeVec,
    spent: GaugeVec,
    reserved: GaugeVec,
    remaining: GaugeVec,
    asks: IntCounterVec,
    denials: IntCounterVec,
}

impl Moment {
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let dollars = |name, help| GaugeVec::new(Opts::new(name, help), &["budget"]);
        let counts = |name, help| IntCounterVec::new(Opts::new(name, help), &["budget"]);
        let moment = Self {
            ready: IntGauge::new("tollway_ready", "1 while a table is served.")?,
            revision: IntGauge::new("tollway_table_revision", "Revision of the table in force.")?,
            limit: dollars("tollway_budget_limit_usd", "The cap of the window.")?,
            spent: dollars("tollway_budget_spent_usd", "Spent in the window, as far as this proxy was told.")?,
            reserved: dollars("tollway_budget_reserved_usd", "Granted to this proxy and not spent.")?,
            remaining: dollars("tollway_budget_remaining_usd", "Left in the window.")?,
            asks: counts("tollway_ledger_asks_total", "Grants asked for since process start.")?,
            denials: counts("tollway_ledger_denials_total", "Asks denied since process start.")?,
        };
        let build = IntGaugeVec::new(Opts::new("tollway_build_info", "1, with the version."), &["version"])?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        registry.register(Box::new(build))?;
        for gauge in [&moment.ready, &moment.revision] {
            registry.register(Box::new(gauge.clone()))?;
        }
        for gauges in [&moment.limit, &moment.spent, &moment.reserved, &moment.remaining] {
            registry.register(Box::new(gauges.clone()))?;
        }
        for gauges in [&moment.asks, &moment.denials] {
            registry.register(Box::new(gauges.clone()))?;
        }
        Ok(moment)
    }

    /// Budgets that are gone lose their series.
    pub fn set(&self, revision: Option<u64>, budgets: &[BudgetView]) {
        self.ready.set(i64::from(revision.is_some()));
        self.revision.set(i64::try_from(revision.unwrap_or(0)).unwrap_or(i64::MAX));
        for gauges in [&self.limit, &self.spent, &self.reserved, &self.remaining] {
            gauges.reset();
        }
        for counters in [&self.asks, &self.denials] {
            counters.reset();
        }
        for budget in budgets {
            let label = [budget.name.as_str()];
            self.limit.with_label_values(&label).set(usd(budget.limit));
            self.spent.with_label_values(&label).set(usd(budget.spent));
            self.reserved.with_label_values(&label).set(usd(budget.reserved));
            self.remaining.with_label_values(&label).set(usd(budget.remaining));
            self.asks.with_label_values(&label).inc_by(budget.asks);
            self.denials.with_label_values(&label).inc_by(budget.denials);
        }
    }
}
