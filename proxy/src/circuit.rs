//! The circuit of one (route, target): outcomes in, whether the next attempt may go out. Pure; `now` is an argument.
//!
//! # Why permits
//! An outcome counts only for the state that admitted it. A slow attempt that was let through while the circuit was closed says
//! nothing about a target that has since been found broken, and must neither close an open circuit nor spoil a probe.

use std::time::Duration;
use tokio::time::Instant;
use tollway_core::table::CircuitBreaker;

/// What the circuit does with the next attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Attempts go through.
    Closed,
    /// Nothing goes through until the recovery time is over.
    Open,
    /// One probe at a time goes through.
    HalfOpen,
}

/// Leave to make one attempt; its outcome is reported with it.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "an attempt's outcome is reported with its permit"]
pub struct Permit {
    generation: u64,
    probe: bool,
}

impl Permit {
    /// Whether this attempt decides if the circuit closes.
    #[must_use]
    pub const fn is_probe(&self) -> bool {
        self.probe
    }
}

#[derive(Debug)]
enum Inner {
    Closed { failures: u32 },
    Open { until: Instant },
    HalfOpen { probe_until: Option<Instant> },
}

/// The circuit of one target of one route.
#[derive(Debug)]
pub struct Circuit {
    inner: Inner,
    /// Rises with every change of state and every probe given up on; permits of another generation no longer count.
    generation: u64,
}

impl Default for Circuit {
    fn default() -> Self {
        Self { inner: Inner::Closed { failures: 0 }, generation: 0 }
    }
}

impl Circuit {
    /// Leave for one attempt, or none. A probe that says nothing for `probe_timeout` is given up on and the next one goes.
    pub fn admit(&mut self, now: Instant, probe_timeout: Duration) -> Option<Permit> {
        let probe = match self.inner {
            Inner::Closed { .. } => false,
            Inner::Open { until } if now < until => return None,
            Inner::HalfOpen { probe_until: Some(until) } if now < until => return None,
            Inner::Open { .. } | Inner::HalfOpen { .. } => {
                self.enter(Inner::HalfOpen { probe_until: Some(now + probe_timeout) });
                true
            }
        };
        Some(Permit { generation: self.generation, probe })
    }

    /// The target answered.
    pub fn success(&mut self, permit: &Permit) {
        if permit.generation != self.generation {
            return;
        }
        match self.inner {
            Inner::Closed { ref mut failures } => *failures = 0,
            Inner::Open { .. } | Inner::HalfOpen { .. } => self.enter(Inner::Closed { failures: 0 }),
        }
    }

    /// The target failed: refused, broke off, timed out or answered 5xx.
    pub fn failure(&mut self, permit: &Permit, now: Instant, policy: &CircuitBreaker) {
        if permit.generation != self.generation {
            return;
        }
        let opens = match self.inner {
            Inner::Closed { ref mut failures } => {
                *failures = failures.saturating_add(1);
                *failures >= policy.failures
            }
            Inner::Open { .. } | Inner::HalfOpen { .. } => true,
        };
        if opens {
            self.enter(Inner::Open { until: now + Duration::from_millis(policy.recovery_ms) });
        }
    }

    /// The attempt said nothing about the target's health: throttled, or the client left. A probe makes room for the next one.
    pub fn neutral(&mut self, permit: &Permit) {
        if permit.generation == self.generation && permit.probe {
            self.enter(Inner::HalfOpen { probe_until: None });
        }
    }

    /// The state as status and metrics show it.
    #[must_use]
    pub fn state(&self, now: Instant) -> State {
        match self.inner {
            Inner::Closed { .. } => State::Closed,
            Inner::Open { until } if now < until => State::Open,
            Inner::Open { .. } | Inner::HalfOpen { .. } => State::HalfOpen,
        }
    }

    fn enter(&mut self, inner: Inner) {
        self.inner = inner;
        self.generation += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: CircuitBreaker = CircuitBreaker { failures: 3, recovery_ms: 10_000 };
    const PROBE: Duration = Duration::from_secs(5);

    fn at(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    /// A circuit opened by three failures at `now`.
    fn opened(now: Instant) -> Circuit {
        let mut circuit = Circuit::default();
        for _ in 0..3 {
            let permit = circuit.admit(now, PROBE).unwrap();
            circuit.failure(&permit, now, &POLICY);
        }
        circuit
    }

    #[test]
    fn consecutive_failures_open_it_and_a_success_between_starts_the_count_again() {
        let now = Instant::now();
        let mut circuit = Circuit::default();
        for outcome in [false, false, true, false, false] {
            let permit = circuit.admit(now, PROBE).unwrap();
            if outcome { circuit.success(&permit) } else { circuit.failure(&permit, now, &POLICY) }
        }
        assert_eq!(circuit.state(now), State::Closed);
        let permit = circuit.admit(now, PROBE).unwrap();
        circuit.failure(&permit, now, &POLICY);
        assert_eq!((circuit.state(now), circuit.admit(now, PROBE)), (State::Open, None));
    }

    #[test]
    fn after_recovery_one_probe_goes_at_a_time() {
        let start = Instant::now();
        let mut circuit = opened(start);
        assert_eq!(circuit.admit(at(start, 9), PROBE), None);
        let probe = circuit.admit(at(start, 10), PROBE).unwrap();
        assert!(probe.is_probe());
        assert_eq!(circuit.admit(at(start, 11), PROBE), None);
        circuit.success(&probe);
        assert_eq!(circuit.state(at(start, 11)), State::Closed);
    }

    #[test]
    fn a_failed_probe_opens_it_for_another_recovery_time() {
        let start = Instant::now();
        let mut circuit = opened(start);
        let probe = circuit.admit(at(start, 10), PROBE).unwrap();
        circuit.failure(&probe, at(start, 12), &POLICY);
        assert_eq!(circuit.state(at(start, 21)), State::Open);
        assert_eq!(circuit.state(at(start, 22)), State::HalfOpen);
    }

    #[test]
    fn a_silent_probe_times_out_and_its_late_answer_no_longer_counts() {
        let start = Instant::now();
        let mut circuit = opened(start);
        let silent = circuit.admit(at(start, 10), PROBE).unwrap();
        let second = circuit.admit(at(start, 15), PROBE).unwrap();
        circuit.success(&silent);
        assert_eq!(circuit.state(at(start, 15)), State::HalfOpen);
        circuit.success(&second);
        assert_eq!(circuit.state(at(start, 15)), State::Closed);
    }

    #[test]
    fn a_throttled_probe_makes_room_for_the_next() {
        let start = Instant::now();
        let mut circuit = opened(start);
        let probe = circuit.admit(at(start, 10), PROBE).unwrap();
        circuit.neutral(&probe);
        assert_eq!(circuit.state(at(start, 10)), State::HalfOpen);
        assert!(circuit.admit(at(start, 10), PROBE).is_some());
    }

    #[test]
    fn outcomes_of_attempts_admitted_before_it_opened_are_ignored() {
        let start = Instant::now();
        let mut circuit = Circuit::default();
        let early = circuit.admit(start, PROBE).unwrap();
        for _ in 0..3 {
            let permit = circuit.admit(start, PROBE).unwrap();
            circuit.failure(&permit, start, &POLICY);
        }
        circuit.success(&early);
        assert_eq!(circuit.state(start), State::Open);
    }
}
