//! One compiled CostBudget: the cap, its calendar, its sub-limits and what is done at its thresholds.

use crate::spend::{Nano, Subject};
use serde::{Deserialize, Serialize};

/// One compiled CostBudget. What was spent lives in the ledger, not here: threshold and spend state travel on the ledger stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Budget {
    /// The cap, nano-dollars.
    pub limit: Nano,
    /// The calendar window the cap renews with.
    pub period: Period,
    /// IANA time zone of the calendar.
    pub time_zone: String,
    /// Observe counts and warns, and never denies.
    pub mode: Mode,
    /// What happens to requests when nothing is left.
    pub on_exhausted: OnExhausted,
    /// The most that one user may spend of it in a window; absent: all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_user: Option<Nano>,
    /// The most that one client may spend of it in a window; absent: all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_client: Option<Nano>,
    /// Thresholds at which a proxy does something, by percent, ascending.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub thresholds: Vec<Threshold>,
}

/// A share of the limit, and what proxies do once so much is spent. At least one of the actions is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Threshold {
    /// Percent of the limit.
    pub percent: u32,
    /// Target that serves instead of those chosen, on routes that have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub downgrade: Option<String>,
    /// Requests a minute of each route in each proxy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<u32>,
}

/// What the thresholds that are reached come to: of each action, that of the highest threshold that has it, with its percent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reached<'b> {
    /// Percent, and the target that serves.
    pub downgrade: Option<(u32, &'b str)>,
    /// Percent, and requests a minute.
    pub requests_per_minute: Option<(u32, u32)>,
}

impl Budget {
    /// What is done when `percent` of the limit is spent. A budget that only observes does nothing.
    #[must_use]
    pub fn reached(&self, percent: u32) -> Reached<'_> {
        let mut reached = Reached::default();
        if self.mode == Mode::Observe {
            return reached;
        }
        for threshold in self.thresholds.iter().filter(|threshold| threshold.percent <= percent) {
            let Threshold { percent, downgrade, requests_per_minute } = threshold;
            reached.downgrade = downgrade.as_deref().map(|to| (*percent, to)).or(reached.downgrade);
            reached.requests_per_minute =
                requests_per_minute.map(|rate| (*percent, rate)).or(reached.requests_per_minute);
        }
        reached
    }

    /// Whose share a request of this user and this client is charged to.
    #[must_use]
    pub fn subject(&self, user: Option<&str>, client: Option<&str>) -> Subject {
        Subject::new(self.per_user.map(|_| user), self.per_client.map(|_| client))
    }

    /// Whether anyone has a share of their own.
    #[must_use]
    pub const fn has_shares(&self) -> bool {
        self.per_user.is_some() || self.per_client.is_some()
    }
}

/// A cap of nothing that never renews: what tests start from.
impl Default for Budget {
    fn default() -> Self {
        Self {
            limit: Nano::ZERO,
            period: Period::Once,
            time_zone: "UTC".to_owned(),
            mode: Mode::Enforce,
            on_exhausted: OnExhausted::Block,
            per_user: None,
            per_client: None,
            thresholds: Vec::new(),
        }
    }
}

/// Calendar window of a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Period {
    /// Midnight to midnight.
    Daily,
    /// Monday to Monday.
    Weekly,
    /// First to first.
    Monthly,
    /// One window that never ends.
    Once,
}

/// Whether a budget denies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    /// The cap binds.
    Enforce,
    /// Counted only.
    Observe,
}

/// What an exhausted budget does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnExhausted {
    /// Every request is refused.
    Block,
    /// Targets whose price is zero keep serving.
    FreeOnly,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(percent: u32, downgrade: Option<&str>, requests_per_minute: Option<u32>) -> Threshold {
        Threshold { percent, downgrade: downgrade.map(str::to_owned), requests_per_minute }
    }

    #[test]
    fn of_each_action_the_highest_threshold_that_is_reached_decides() {
        let thresholds = vec![at(50, Some("lite"), Some(60)), at(80, None, Some(10)), at(95, Some("local"), None)];
        let budget = Budget { thresholds, ..Budget::default() };
        for (percent, downgrade, rate) in [
            (49, None, None),
            (50, Some((50, "lite")), Some((50, 60))),
            (94, Some((50, "lite")), Some((80, 10))),
            (250, Some((95, "local")), Some((80, 10))),
        ] {
            assert_eq!(budget.reached(percent), Reached { downgrade, requests_per_minute: rate }, "{percent} %");
        }
        let observing = Budget { mode: Mode::Observe, ..budget };
        assert_eq!(observing.reached(100), Reached::default());
    }
}
