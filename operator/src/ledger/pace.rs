//! Changes of a budget's figures in; when the next status write is due out.
//!
//! # Why two clocks
//! Under traffic the figures change with every request: one write in 30 s shows them well enough. When traffic ends, a person
//! looks: so a budget that has been quiet for two seconds is written soon, but not more than a few times in a row.

/// At least this long between two writes of a busy budget.
pub const BUSY_MS: i64 = 30_000;
/// Quiet for so long: the last figures may be written.
pub const QUIET_MS: i64 = 1_500;
/// Writes saved up at most for the end of traffic; one comes back every `BUSY_MS`, and every write takes one.
const EARLY: i64 = 4;

/// When one budget's figures are written.
#[derive(Clone, Debug)]
pub struct Pace {
    written: Option<i64>,
    changed: Option<i64>,
    urgent: bool,
    /// When the saved-up writes were all there, moved on by each write.
    full_at: i64,
}

impl Pace {
    /// Nothing written yet.
    pub fn new(now: i64) -> Pace {
        Pace { written: None, changed: None, urgent: false, full_at: now }
    }

    /// The figures changed; `urgent` when people or proxies act on it.
    pub fn change(&mut self, now: i64, urgent: bool) {
        self.changed = Some(now);
        self.urgent |= urgent;
    }

    /// Whether to write now; if so, it counts as written.
    pub fn due(&mut self, now: i64) -> bool {
        let Some(changed) = self.changed else { return false };
        let regular = self.written.is_none_or(|written| now - written >= BUSY_MS);
        let early = now - changed >= QUIET_MS && self.full_at <= now + (EARLY - 1) * BUSY_MS;
        if !(self.urgent || regular || early) {
            return false;
        }
        if !self.urgent {
            self.full_at = self.full_at.max(now) + BUSY_MS;
        }
        *self = Pace { written: Some(now), changed: None, urgent: false, full_at: self.full_at };
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_budget_is_written_once_in_thirty_seconds() {
        let mut pace = Pace::new(0);
        let mut writes = 0;
        for now in (0..300_000).step_by(100) {
            pace.change(now, false);
            writes += i32::from(pace.due(now));
        }
        assert_eq!(writes, 10);
    }

    #[test]
    fn the_last_figures_follow_soon_after_traffic_ends() {
        let mut pace = Pace::new(0);
        pace.change(0, false);
        assert!(pace.due(0));
        pace.change(500, false);
        assert!(!pace.due(1_000));
        assert!(pace.due(2_000));
        assert!(!pace.due(60_000), "nothing changed since");
    }

    #[test]
    fn now_and_then_a_request_does_not_make_a_write_each() {
        let mut pace = Pace::new(0);
        let mut writes = 0;
        for now in (0..600_000).step_by(100) {
            if now % 5_000 == 0 {
                pace.change(now, false);
            }
            writes += i32::from(pace.due(now));
        }
        assert!(i64::from(writes) <= 21 + EARLY, "{writes}");
    }

    #[test]
    fn what_people_act_on_is_written_at_once() {
        let mut pace = Pace::new(0);
        pace.change(0, false);
        assert!(pace.due(0));
        pace.change(1, true);
        assert!(pace.due(1));
    }
}
