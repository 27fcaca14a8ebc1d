//! Events in; effects out, each only after the state that it rests on is on record: persist, then send.

use super::store::{Failure, Store, Stored};
use crate::metrics::Metrics;
use std::sync::Arc;
use tollway_core::spend::Window;
use tollway_core::spend::ledger::{Effect, Event, LedgerState, Transition, fold};

/// Writes tried for one batch before its effects are given up.
const TRIES: usize = 8;
/// Of these, so many may end unknown: each can take seconds.
const UNKNOWN: usize = 3;

/// One ledger as this process knows it.
pub struct Record<S> {
    store: S,
    held: Stored,
    /// The last write's outcome is not known: nothing counts before a read.
    unsure: bool,
    /// Folded before all else until it is on record: what was read is older than what this process knows.
    put_back: Option<Event>,
    metrics: Arc<Metrics>,
}

/// What became of a batch.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// On record: these may leave.
    Done(Vec<Effect>),
    /// Not known to be on record: nothing may leave. The same events may be given again.
    Unavailable(String),
    /// The object is gone, or is not the same object any more.
    Gone,
}

impl<S: Store> Record<S> {
    /// A ledger that was read or created.
    pub fn new(store: S, held: Stored, metrics: Arc<Metrics>) -> Record<S> {
        Record { store, held, unsure: false, put_back: None, metrics }
    }

    /// The state, with reports that are not on record yet.
    pub fn state(&self) -> &LedgerState {
        &self.held.state
    }

    /// Uid of the object.
    pub fn uid(&self) -> &str {
        &self.held.uid
    }

    /// Where it is kept.
    pub fn store(&self) -> &S {
        &self.store
    }

    /// Takes the reports that an earlier copy of the same ledger has in memory; nothing is granted if it made grants that this one lacks.
    pub fn absorb(&mut self, earlier: &Record<S>) {
        self.put_back = self.held.state.put_back(earlier.state()).or_else(|| earlier.put_back.clone());
        self.held.state.absorb_reports(earlier.state());
    }

    /// The object has that version now; one that this process did not write is read before anything counts.
    pub fn written(&mut self, version: &str) {
        let number = |version: &str| version.parse::<u64>().ok();
        self.unsure |= match (number(version), number(&self.held.version)) {
            (Some(now), Some(held)) => now > held,
            _ => version != self.held.version,
        };
    }

    /// Puts other ends of the same window on record.
    pub async fn rewindow(&mut self, window: Window) -> Outcome {
        self.swap(|state, _| {
            let next = LedgerState { window: window.clone(), ..state.clone() };
            (next, Transition { persist: true, effects: vec![] })
        })
        .await
    }

    /// Folds the events and puts the result on record if it must be there before its effects leave.
    pub async fn commit(&mut self, now_ms: i64, events: &[Event]) -> Outcome {
        let outcome = self.swap(|state, first| fold(state, now_ms, &[first, events].concat())).await;
        if matches!(outcome, Outcome::Done(_)) {
            self.put_back = None;
        }
        outcome
    }

    async fn swap(&mut self, step: impl Fn(&LedgerState, &[Event]) -> (LedgerState, Transition)) -> Outcome {
        let mut last = String::new();
        let mut unknown = 0;
        for _ in 0..TRIES {
            if self.unsure {
                match self.store.read().await {
                    Ok(Some(mut stored)) if stored.uid == self.held.uid => {
                        self.put_back = stored.state.put_back(&self.held.state).or(self.put_back.take());
                        stored.state.absorb_reports(&self.held.state);
                        self.held = stored;
                        self.unsure = false;
                    }
                    Ok(_) => return Outcome::Gone,
                    Err(error) => return Outcome::Unavailable(error),
                }
            }
            let (next, transition) = step(&self.held.state, self.put_back.as_slice());
            if !transition.persist {
                self.held.state = next;
                return Outcome::Done(transition.effects);
            }
            let (result, word) = match self.store.replace(&self.held, &next).await {
                Ok(version) => {
                    self.metrics.ledger_writes.with_label_values(&["written"]).inc();
                    self.held.version = version;
                    self.held.state = next;
                    return Outcome::Done(transition.effects);
                }
                Err(Failure::Gone) => (Err(Outcome::Gone), "failed"),
                Err(Failure::Conflict) => (Ok("another writer was faster each time".to_owned()), "conflict"),
                Err(Failure::Unknown(why)) => {
                    unknown += 1;
                    (Ok(why), "unknown")
                }
            };
            self.metrics.ledger_writes.with_label_values(&[word]).inc();
            self.unsure = true;
            match result {
                Ok(why) if unknown < UNKNOWN => last = why,
                Ok(why) => return Outcome::Unavailable(why),
                Err(outcome) => return outcome,
            }
        }
        Outcome::Unavailable(last)
    }
}

#[cfg(test)]
mod tests;
