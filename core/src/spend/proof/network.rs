//! Messages once sent: each may arrive never, late, or any number of times, at whichever operator. Also the shared parts of a state.

use crate::spend::ledger::ShownGrant;
use crate::spend::purse::{In, Out};
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

/// A part of a state: shared by the states that have it alike, hashed once.
#[derive(Clone)]
pub(super) struct Part<T> {
    hash: u64,
    value: Arc<T>,
}

impl<T: Hash> Part<T> {
    pub(super) fn new(value: T) -> Self {
        let mut hasher = DefaultHasher::new();
        value.hash(&mut hasher);
        Self { hash: hasher.finish(), value: Arc::new(value) }
    }
}

impl<T> Deref for Part<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> Hash for Part<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl<T> PartialEq for Part<T> {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash
    }
}

impl<T: std::fmt::Debug> std::fmt::Debug for Part<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.value.fmt(f)
    }
}

#[derive(Clone, Debug, PartialEq, Hash)]
pub(super) enum Message {
    /// A proxy connects: by budget, what it holds.
    Hello { pod: String, incarnation: String, held: Vec<(usize, String, ShownGrant)> },
    /// Of a purse.
    Up { pod: String, incarnation: String, budget: usize, out: Out },
    /// Of an operator.
    Down { incarnation: String, budget: usize, message: In },
}

/// Everything ever sent. A message stays: it is lost by never arriving and repeated by arriving again.
#[derive(Clone, Debug, Default, PartialEq, Hash)]
pub(super) struct Net(Vec<Part<Message>>);

impl Net {
    pub(super) fn send(&mut self, message: Message) {
        let part = Part::new(message);
        if let Err(at) = self.0.binary_search_by_key(&part.hash, |known| known.hash) {
            self.0.insert(at, part);
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Part<Message>> {
        self.0.iter()
    }
}
