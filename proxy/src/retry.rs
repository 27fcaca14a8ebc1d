//! The attempts rule: targets in order in, which one to try next and how long to wait out. Pure; `now` and random numbers are arguments.
//!
//! Each target once, in order, at once; then repeats in the same order, each after a back-off with full jitter, until `attempts`
//! are made. A repeat needs leave from the target's `RepeatBudget`, so that a failing upstream is not buried under retries.

use std::time::Duration;
use tokio::time::Instant;
use tollway_core::table::Retry;

/// The longest `Retry-After` waited for here; a longer one is the client's to wait.
pub const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(10);

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Try this target, the n-th of the order, after `wait`. A repeat needs leave from the target's `RepeatBudget`.
    Try { target: usize, wait: Duration, repeat: bool },
    /// Nothing is left to try.
    GiveUp,
}

#[derive(Clone, Copy, Debug, Default)]
struct Target {
    tried: bool,
    not_before: Option<Instant>,
    excluded: bool,
}

/// The attempts of one request.
#[derive(Debug)]
pub struct Schedule {
    targets: Vec<Target>,
    policy: Retry,
    cursor: usize,
    made: u32,
    repeats: u32,
    skips_in_a_row: usize,
}

impl Schedule {
    #[must_use]
    pub fn new(targets: usize, policy: &Retry) -> Self {
        let targets = vec![Target::default(); targets];
        Self { targets, policy: policy.clone(), cursor: 0, made: 0, repeats: 0, skips_in_a_row: 0 }
    }

    /// Attempts made so far.
    #[must_use]
    pub const fn made(&self) -> u32 {
        self.made
    }

    /// The next target. `random` is drawn from 0..=u64::MAX. The caller answers with `skipped` or `attempted`.
    pub fn next(&mut self, now: Instant, random: u64) -> Step {
        if self.made >= self.policy.attempts {
            return Step::GiveUp;
        }
        for _ in 0..self.targets.len() {
            if self.skips_in_a_row >= self.targets.len() {
                return Step::GiveUp;
            }
            let index = self.cursor % self.targets.len();
            let Some(target) = self.targets.get(index).filter(|t| !t.excluded) else {
                self.skip();
                continue;
            };
            if !target.tried {
                return Step::Try { target: index, wait: Duration::ZERO, repeat: false };
            }
            let asked = target.not_before.map_or(Duration::ZERO, |at| at.saturating_duration_since(now));
            return Step::Try { target: index, wait: self.jitter(random).max(asked), repeat: true };
        }
        Step::GiveUp
    }

    /// The target was not tried: its circuit, its price, a budget or its concurrency said no. Not an attempt.
    pub fn skipped(&mut self) {
        self.skip();
    }

    /// The attempt was made and failed; `retry_after` is what the target asked for.
    pub fn attempted(&mut self, now: Instant, retry_after: Option<Duration>) {
        let index = self.cursor % self.targets.len().max(1);
        if let Some(target) = self.targets.get_mut(index) {
            self.repeats += u32::from(target.tried);
            target.tried = true;
            target.excluded = retry_after.is_some_and(|after| after > LONGEST_RETRY_AFTER);
            target.not_before = retry_after.map(|after| now + after.min(LONGEST_RETRY_AFTER));
        }
        self.made += 1;
        self.cursor += 1;
        self.skips_in_a_row = 0;
    }

    fn skip(&mut self) {
        self.cursor += 1;
        self.skips_in_a_row += 1;
    }

    /// Full jitter: anywhere between nothing and the back-off that doubles with every repeat.
    fn jitter(&self, random: u64) -> Duration {
        let ceiling = self.policy.base_ms.saturating_mul(1_u64.checked_shl(self.repeats).unwrap_or(u64::MAX));
        let ceiling = ceiling.min(self.policy.max_ms);
        Duration::from_millis(random.checked_rem(ceiling.saturating_add(1)).unwrap_or(0))
    }
}

/// Leave to repeat attempts on one target: in every second at most 20 % of its requests, and 10 whatever their number.
#[derive(Debug)]
pub struct RepeatBudget {
    second: Instant,
    requests: u32,
    requests_before: u32,
    repeats: u32,
}

const FLOOR: u32 = 10;
const SHARE: u32 = 5;

impl RepeatBudget {
    #[must_use]
    pub const fn new(now: Instant) -> Self {
        Self { second: now, requests: 0, requests_before: 0, repeats: 0 }
    }

    /// A request tries the target for its first time.
    pub fn request(&mut self, now: Instant) {
        self.turn(now);
        self.requests = self.requests.saturating_add(1);
    }

    /// Whether one more repeat may go out now.
    pub fn repeat(&mut self, now: Instant) -> bool {
        self.turn(now);
        let allowed = (self.requests.max(self.requests_before) / SHARE).max(FLOOR);
        let leave = self.repeats < allowed;
        self.repeats += u32::from(leave);
        leave
    }

    fn turn(&mut self, now: Instant) {
        let seconds = now.saturating_duration_since(self.second).as_secs();
        if seconds > 0 {
            self.requests_before = if seconds == 1 { self.requests } else { 0 };
            self.second += Duration::from_secs(seconds);
            (self.requests, self.repeats) = (0, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(attempts: u32) -> Retry {
        Retry { attempts, base_ms: 1000, max_ms: 3000 }
    }

    /// The targets tried when every attempt fails, with the longest jitter.
    fn tried(schedule: &mut Schedule, now: Instant, retry_after: Option<Duration>) -> Vec<(usize, u64)> {
        let mut tried = Vec::new();
        while let Step::Try { target, wait, .. } = schedule.next(now, 0) {
            tried.push((target, wait.as_secs()));
            schedule.attempted(now, retry_after);
        }
        tried
    }

    #[test]
    fn each_target_goes_once_in_order_then_repeats_until_the_attempts_are_made() {
        let mut schedule = Schedule::new(2, &policy(5));
        let order: Vec<_> = tried(&mut schedule, Instant::now(), None).into_iter().map(|t| t.0).collect();
        assert_eq!((order, schedule.made()), (vec![0, 1, 0, 1, 0], 5));
    }

    #[test]
    fn only_repeats_wait_and_full_jitter_stays_under_a_doubling_ceiling() {
        let now = Instant::now();
        let mut schedule = Schedule::new(1, &policy(5));
        let mut longest = Vec::new();
        for _ in 0..5 {
            let waits = (0..10_000).map(|random| match schedule.next(now, random) {
                Step::Try { wait, .. } => wait.as_millis(),
                Step::GiveUp => panic!("gave up"),
            });
            longest.push(waits.max().unwrap());
            schedule.attempted(now, None);
        }
        assert_eq!(longest, [0, 1000, 2000, 3000, 3000]);
    }

    #[test]
    fn a_short_retry_after_is_waited_for_and_a_long_one_ends_that_target() {
        let now = Instant::now();
        let short = tried(&mut Schedule::new(1, &policy(3)), now, Some(Duration::from_secs(7)));
        assert_eq!(short, [(0, 0), (0, 7), (0, 7)]);
        let long = tried(&mut Schedule::new(2, &policy(9)), now, Some(Duration::from_secs(11)));
        assert_eq!(long, [(0, 0), (1, 0)]);
    }

    #[test]
    fn skips_are_not_attempts_and_a_round_of_nothing_but_skips_ends_it() {
        let now = Instant::now();
        let mut schedule = Schedule::new(3, &policy(4));
        schedule.skipped();
        assert_eq!(schedule.next(now, 0), Step::Try { target: 1, wait: Duration::ZERO, repeat: false });
        schedule.attempted(now, None);
        for _ in 0..3 {
            assert_ne!(schedule.next(now, 0), Step::GiveUp);
            schedule.skipped();
        }
        assert_eq!((schedule.next(now, 0), schedule.made()), (Step::GiveUp, 1));
    }

    #[test]
    fn no_targets_is_no_attempt() {
        assert_eq!(Schedule::new(0, &policy(3)).next(Instant::now(), 0), Step::GiveUp);
    }

    #[test]
    fn repeats_stay_within_a_fifth_of_the_requests_or_ten_a_second() {
        let start = Instant::now();
        let mut budget = RepeatBudget::new(start);
        let granted = |budget: &mut RepeatBudget, now| (0..1000).filter(|_| budget.repeat(now)).count();
        assert_eq!(granted(&mut budget, start), 10);
        let second = start + Duration::from_secs(1);
        for _ in 0..500 {
            budget.request(second);
        }
        assert_eq!(granted(&mut budget, second), 100);
        assert_eq!(granted(&mut budget, start + Duration::from_secs(2)), 100);
        assert_eq!(granted(&mut budget, start + Duration::from_secs(4)), 10);
    }
}
