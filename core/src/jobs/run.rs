//! A job that this process holds and the answers to its calls in; the calls that may be made next, all of them at once, out.
//!
//! # The order that keeps the promise
//! Money first, the input second, the claim third, the call last: `Prepare` reserves and stages, `Save` writes the claim, and only then
//! `Invoke` sends. Whoever sends pays, from a reservation that it holds until it knows the outcome and that is charged in full when it
//! never does; whoever merely reads the result of another's batch pays nothing.

use super::{Batch, Job, Reason, State};
use crate::spend::Nano;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// How long a try waits after the one before failed, milliseconds; doubled each time.
const BACKOFF_MS: i64 = 1_000;
/// How long nothing is sent after a budget or the service declined, milliseconds.
const HOLD_MS: i64 = 5_000;
/// How long a result is awaited: the longest a request may stand in the service's queue, be worked on, and an hour.
const PATIENCE_MS: i64 = 8 * 3_600_000;

/// Where the result of a batch comes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// When it is well.
    pub output: String,
    /// When it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

/// A call to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Call {
    /// Write the manifest, if nobody else did meanwhile.
    Save,
    /// Reserve the worst case of this batch, and put its input where the service reads it.
    Prepare(u32),
    /// Send it.
    Invoke(u32),
    /// Look for its result; keep the vectors when they are there.
    Look(u32),
    /// Put its items into the dead-letter queue.
    Tell(u32),
}

/// What a call came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// The manifest is written.
    Saved,
    /// Somebody else has written this one.
    Overtaken(Box<Job>),
    /// So much is reserved, and the input is there.
    Prepared(u32, Nano),
    /// No budget gives it, or the input cannot be put: nothing was sent.
    Held(Reason),
    /// The service has it.
    Accepted(u32, Place),
    /// The service said no, and nothing was charged.
    Declined(u32, Reason),
    /// It was sent, and nobody knows what it came to.
    Lost(u32, String),
    /// No result yet, or it cannot be read just now.
    NotYet(u32),
    /// Its vectors are kept; what they cost, where this process sent it.
    Done {
        /// First item.
        first: u32,
        /// As clients are shown.
        tokens: u64,
        /// What was settled.
        cost: Nano,
    },
    /// The container failed on it, which costs nothing.
    Broke(u32, String),
    /// It was answered with what cannot be used, which is paid in full.
    Spoilt(u32, String),
    /// The dead-letter queue knows.
    Told(u32),
    /// The dead-letter queue cannot be reached.
    NotTold(Reason),
}

/// A job that this process holds.
#[derive(Clone, Debug)]
pub struct Run {
    job: Job,
    me: String,
    attempts: u32,
    at_once: usize,
    /// Claims that the manifest holds.
    written: BTreeSet<u32>,
    /// Batches that this process sent: their reservations are here.
    funded: BTreeSet<u32>,
    not_before: BTreeMap<u32, i64>,
    send_after: i64,
    tell_after: i64,
    dirty: bool,
    gone: bool,
}

impl Run {
    /// A job whose manifest, as adopted by `me`, is to be written first. A batch is tried `attempts` times; `at_once` batches are on their
    /// way at a time.
    #[must_use]
    pub fn new(mut job: Job, me: &str, attempts: u32, at_once: usize) -> Self {
        job.adopt(me, attempts);
        if job.cancelled {
            job.cancel();
        }
        Self {
            job,
            me: me.to_owned(),
            attempts: attempts.max(1),
            at_once: at_once.max(1),
            written: BTreeSet::new(),
            funded: BTreeSet::new(),
            not_before: BTreeMap::new(),
            send_after: i64::MIN,
            tell_after: i64::MIN,
            dirty: true,
            gone: false,
        }
    }

    /// As it stands.
    #[must_use]
    pub const fn job(&self) -> &Job {
        &self.job
    }

    /// Whether this process holds a reservation for that batch; one for which it does not is released.
    #[must_use]
    pub fn is_funded(&self, first: u32) -> bool {
        self.funded.contains(&first)
    }

    /// Whether somebody else holds it now.
    #[must_use]
    pub const fn is_gone(&self) -> bool {
        self.gone
    }

    /// Whether nothing is left to be done, the last writing included.
    #[must_use]
    pub fn is_over(&self) -> bool {
        !self.dirty && self.job.is_over()
    }

    /// The manifest is written again although nothing changed: it says that its holder is alive.
    pub const fn beat(&mut self) {
        self.dirty = true;
    }

    /// What is to be written.
    #[must_use]
    pub fn to_write(&self, now_s: i64) -> Job {
        let mut job = self.job.clone();
        job.writes += 1;
        if job.is_over() && job.finished_at.is_none() {
            job.finished_at = Some(now_s);
        }
        job
    }

    /// The calls that may be made now, all of them at once; none: nothing is to be done before something changes outside.
    #[must_use]
    pub fn next(&self, now_ms: i64) -> Vec<Call> {
        if self.gone {
            return Vec::new();
        }
        // What changed is written before anything is done on the strength of it.
        if self.dirty {
            return vec![Call::Save];
        }
        let all = || self.job.batches.iter().map(|(first, batch)| (*first, batch));
        let invoke: Vec<Call> = all()
            .filter(|(first, batch)| matches!(batch.state, State::Claimed { .. }) && self.written.contains(first))
            .map(|(first, _)| Call::Invoke(first))
            .collect();
        if !invoke.is_empty() {
            return invoke;
        }
        let look = all().filter(|(_, batch)| matches!(batch.state, State::Sent { .. }));
        let mut calls: Vec<Call> = look.map(|(first, _)| Call::Look(first)).collect();
        if now_ms >= self.tell_after {
            let untold = |batch: &Batch| matches!(batch.state, State::Failed { told: false, .. });
            calls.extend(
                all().filter(|(_, batch)| untold(batch)).take(self.at_once).map(|(first, _)| Call::Tell(first)),
            );
        }
        if now_ms >= self.send_after && !self.job.cancelled {
            let out = all().filter(|(_, batch)| batch.is_in_flight()).count();
            let due = |first: &u32| self.not_before.get(first).is_none_or(|at| now_ms >= *at);
            let waiting = all().filter(|(first, batch)| batch.state == State::Waiting && due(first));
            calls.extend(waiting.take(self.at_once.saturating_sub(out)).map(|(first, _)| Call::Prepare(first)));
        }
        calls
    }

    /// Whether nothing is on its way and nothing can be done for a while: somebody else's job may be worked on meanwhile.
    #[must_use]
    pub fn is_held(&self, now_ms: i64) -> bool {
        (now_ms < self.send_after || now_ms < self.tell_after) && !self.is_over() && self.next(now_ms).is_empty()
    }

    /// Takes what a call came to; whether anything moved on.
    pub fn hear(&mut self, heard: Heard, now_ms: i64) -> bool {
        match heard {
            Heard::Saved => {
                self.job.writes += 1;
                self.dirty = false;
                let claimed = self.job.batches.iter().filter(|(_, batch)| matches!(batch.state, State::Claimed { .. }));
                self.written = claimed.map(|(first, _)| *first).collect();
            }
            Heard::Overtaken(theirs) => {
                self.job.writes = theirs.writes;
                // Whoever is not the holder may only have cancelled it.
                if theirs.holder.as_deref() == Some(&self.me) {
                    if theirs.cancelled {
                        self.cancel();
                    }
                } else {
                    self.gone = true;
                }
            }
            Heard::Prepared(first, worst) => {
                self.funded.insert(first);
                self.job.reason = None;
                self.put(first, State::Claimed { worst });
            }
            Heard::Held(reason) => self.hold(reason, now_ms),
            Heard::Accepted(first, place) => {
                let worst = self.worst(first);
                self.put(first, State::Sent { worst, place, at: now_ms });
            }
            Heard::Declined(first, reason) => {
                self.funded.remove(&first);
                self.put(first, if self.job.cancelled { State::Cancelled } else { State::Waiting });
                self.hold(reason, now_ms);
            }
            Heard::Lost(first, error) | Heard::Spoilt(first, error) => {
                self.spend(self.worst(first));
                self.fail(first, &error, now_ms, false);
            }
            Heard::Broke(first, error) => {
                // Another's reservation was charged in full when that one ended.
                if !self.funded.contains(&first) {
                    self.spend(self.worst(first));
                }
                self.fail(first, &error, now_ms, true);
            }
            Heard::NotYet(first) => return self.look_in_vain(first, now_ms),
            Heard::Done { first, tokens, cost } => {
                let cost = if self.funded.remove(&first) { cost } else { self.worst(first) };
                self.spend(cost);
                self.put(first, State::Done { tokens });
            }
            Heard::Told(first) => {
                if let Some(Batch { state: State::Failed { told, .. }, .. }) = self.job.batches.get_mut(&first) {
                    (*told, self.dirty, self.job.reason) = (true, true, None);
                }
            }
            Heard::NotTold(reason) => {
                self.tell_after = now_ms + HOLD_MS;
                self.say(reason);
                return false;
            }
        }
        true
    }

    /// What is claimed and not sent is cancelled with what waits.
    fn cancel(&mut self) {
        let Self { job, written, funded, .. } = self;
        job.cancel();
        let unsent = job
            .batches
            .iter_mut()
            .filter(|(first, batch)| matches!(batch.state, State::Claimed { .. }) && !written.contains(first));
        for (first, batch) in unsent {
            batch.state = State::Cancelled;
            funded.remove(first);
        }
    }

    fn look_in_vain(&mut self, first: u32, now_ms: i64) -> bool {
        let sent = self.job.batches.get(&first).and_then(|batch| match &batch.state {
            State::Sent { at, .. } => Some(*at),
            _ => None,
        });
        let is_late = sent.is_some_and(|at| now_ms - at > PATIENCE_MS);
        if is_late {
            self.hear(Heard::Lost(first, "no result came".to_owned()), now_ms);
        }
        is_late
    }

    fn put(&mut self, first: u32, state: State) {
        if let Some(batch) = self.job.batches.get_mut(&first) {
            batch.state = state;
            self.dirty = true;
        }
    }

    fn worst(&self, first: u32) -> Nano {
        match self.job.batches.get(&first).map(|batch| &batch.state) {
            Some(State::Claimed { worst } | State::Sent { worst, .. }) => *worst,
            _ => Nano::ZERO,
        }
    }

    fn spend(&mut self, cost: Nano) {
        self.job.spent = Nano(self.job.spent.0.saturating_add(cost.0));
    }

    fn fail(&mut self, first: u32, error: &str, now_ms: i64, refused: bool) {
        self.funded.remove(&first);
        self.job.fail(first, error, self.attempts, refused);
        let tries = self.job.batches.get(&first).map_or(1, |batch| batch.tries.clamp(1, 6));
        self.not_before.insert(first, now_ms + (BACKOFF_MS << (tries - 1)));
        self.dirty = true;
    }

    fn hold(&mut self, reason: Reason, now_ms: i64) {
        self.send_after = now_ms + HOLD_MS;
        self.say(reason);
    }

    /// A reason is written when it is a new one.
    fn say(&mut self, reason: Reason) {
        self.dirty |= self.job.reason.as_ref() != Some(&reason);
        self.job.reason = Some(reason);
    }
}
