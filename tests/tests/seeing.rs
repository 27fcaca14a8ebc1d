//! Dashboards and alerts of the chart: every query and every rule against a real Prometheus that scrapes real processes, and promtool.
#![expect(clippy::panic, reason = "a test that cannot go on says what it saw and stops")]

mod seeing {
    mod alerts;
    mod dashboards;
    mod live;
    mod stage;
}
