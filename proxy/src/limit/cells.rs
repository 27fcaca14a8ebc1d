//! Who takes how much of a rate in, whether it was there out: the state of every user in bounded memory.
//!
//! # Why forgetting grants nothing
//! What was not used for longest falls out in generations. Its state is not lost: the latest one of those that fell out with the same last
//! bits is where an unknown user starts. With few users nothing falls out; with a flood of invented ones some wait for each other.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};
use tokio::time::Instant;
use tollway_core::rate::{Denied, Rate, View};

/// Users of one generation; there are two.
const GENERATION: usize = 5_000;
const FLOORS: usize = 1_024;

/// Whose state; a keyed hash, so that a long name costs no memory and nobody can choose to collide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key(u64);

/// The states of one rate.
#[derive(Debug)]
pub struct Cells {
    hasher: RandomState,
    /// Moments are counted from here.
    epoch: Instant,
    states: Mutex<States>,
}

#[derive(Debug, Default)]
struct States {
    young: HashMap<u64, u64>,
    old: HashMap<u64, u64>,
    /// Where the unknown start; empty until something fell out.
    floors: Vec<u64>,
}

impl Default for Cells {
    fn default() -> Self {
        Self { hasher: RandomState::new(), epoch: Instant::now(), states: Mutex::default() }
    }
}

impl Cells {
    pub fn key(&self, who: Option<&str>) -> Key {
        Key(self.hasher.hash_one(who))
    }

    /// Takes what `units` makes of the units that are free; how many those were, and what is left.
    pub fn take(
        &self,
        rate: Rate,
        key: Key,
        now: Instant,
        units: impl FnOnce(u64) -> u64,
    ) -> (Result<u64, Denied>, View) {
        let now = self.moment(now);
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        let state = states.get(key.0, now);
        let units = units(rate.view(state, now).remaining);
        match rate.take(state, now, units) {
            Ok(next) => {
                states.set(key.0, next, now);
                (Ok(units), rate.view(next, now))
            }
            Err(denied) => (Err(denied), rate.view(state, now)),
        }
    }

    /// `used` were used where `reserved` had been taken.
    pub fn correct(&self, rate: Rate, key: Key, now: Instant, reserved: u64, used: u64) {
        let now = self.moment(now);
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        let state = states.get(key.0, now);
        // Of a user who fell out nothing can be given back: the floor is others' too.
        if used > reserved || states.knows(key.0) {
            states.set(key.0, rate.correct(state, now, reserved, used), now);
        }
    }

    fn moment(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.epoch).as_nanos()).unwrap_or(u64::MAX)
    }
}

impl States {
    fn knows(&self, key: u64) -> bool {
        self.young.contains_key(&key) || self.old.contains_key(&key)
    }

    fn get(&self, key: u64, now: u64) -> u64 {
        let known = self.young.get(&key).or_else(|| self.old.get(&key)).copied();
        known.or_else(|| self.floors.get(floor(key)).copied()).unwrap_or(now)
    }

    fn set(&mut self, key: u64, state: u64, now: u64) {
        if self.young.len() >= GENERATION && !self.young.contains_key(&key) {
            let fallen = std::mem::replace(&mut self.old, std::mem::take(&mut self.young));
            self.forget(fallen, now);
        }
        self.old.remove(&key);
        self.young.insert(key, state);
    }

    fn forget(&mut self, fallen: HashMap<u64, u64>, now: u64) {
        for (key, state) in fallen.into_iter().filter(|(_, state)| *state > now) {
            if self.floors.is_empty() {
                self.floors = vec![0; FLOORS];
            }
            if let Some(at) = self.floors.get_mut(floor(key)) {
                *at = state.max(*at);
            }
        }
    }
}

const fn floor(key: u64) -> usize {
    (key % FLOORS as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_flood_of_users_is_forgotten_in_bounded_memory_and_nobody_gains() {
        let (cells, rate) = (Cells::default(), Rate::new(2, 60_000));
        let now = Instant::now();
        let take = |who: &str, now| cells.take(rate, cells.key(Some(who)), now, |_| 1).0.is_ok();
        assert!(take("ann", now) && take("ann", now) && !take("ann", now));
        for number in 0..3 * GENERATION {
            take(&number.to_string(), now);
        }
        let states = cells.states.lock().unwrap();
        assert!(states.young.len() + states.old.len() <= 2 * GENERATION && states.floors.len() == FLOORS);
        assert!(!states.knows(cells.key(Some("ann")).0));
        drop(states);
        assert!(!take("ann", now), "forgotten, and still without anything left");
        assert!(take("ann", now + Duration::from_secs(60)));
    }

    #[test]
    fn who_is_busy_is_not_forgotten() {
        let (cells, rate) = (Cells::default(), Rate::new(1_000_000, 60_000));
        let (now, ann) = (Instant::now(), cells.key(Some("ann")));
        for number in 0..4 * GENERATION {
            cells.take(rate, cells.key(Some(&number.to_string())), now, |_| 1).0.unwrap();
            cells.take(rate, ann, now, |_| 1).0.unwrap();
        }
        assert!(cells.states.lock().unwrap().knows(ann.0));
    }
}
