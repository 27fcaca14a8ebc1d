//! The manifest of an embedding job in, what it says of itself and of each of its batches out; `run` decides which calls are made next.
//!
//! # Why a claim is written before its batch is sent
//! A manifest is changed by compare-and-swap alone, so only one proxy can claim a batch, and a batch that no manifest claims was never
//! sent. A proxy that dies between the claim and the word of where the result will be leaves a batch of which nobody knows whether it
//! was sent: what it reserved is charged in full, and the batch is sent again as another try.

mod run;

pub use run::{Call, Heard, Place, Run};

use crate::spend::Nano;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Form of manifests that this version writes and reads.
pub const VERSION: u32 = 1;

/// Batches of one job that may be halved to find the item that the container refuses.
pub const MOST_HALVINGS: u32 = 64;

/// One job, as it is written down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Job {
    /// [`VERSION`].
    pub version: u32,
    /// Its id.
    pub id: String,
    /// The name that the client sent.
    pub model: String,
    /// The user whose job it is, and whose share of a budget pays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Vectors are wanted as base64.
    #[serde(default)]
    pub base64: bool,
    /// Unix seconds.
    pub created_at: i64,
    /// Unix seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<i64>,
    /// The process that works on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<String>,
    /// Nothing more of it is sent.
    #[serde(default)]
    pub cancelled: bool,
    /// Why nothing is sent just now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// What it came to, lost tries in full.
    pub spent: Nano,
    /// Batches that were halved.
    #[serde(default)]
    pub halvings: u32,
    /// How often it was written: no two versions have the same bytes.
    pub writes: u64,
    /// By the number of their first item.
    pub batches: BTreeMap<u32, Batch>,
}

/// Why nothing is sent just now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// As in errors.
    pub code: String,
    /// For a person.
    pub message: String,
}

/// Items that are sent in one call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Batch {
    /// How many.
    pub items: u32,
    /// Tries that failed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub tries: u32,
    /// Where it is.
    #[serde(flatten)]
    pub state: State,
}

// Most batches are not tried twice, and a job may have many.
#[allow(clippy::trivially_copy_pass_by_ref)]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// Where a batch is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "camelCase")]
pub enum State {
    /// To be sent.
    Waiting,
    /// The holder has reserved this much and sends it.
    Claimed {
        /// What the holder reserved.
        worst: Nano,
    },
    /// The service has it.
    Sent {
        /// What was reserved when it was sent.
        worst: Nano,
        /// Where its result comes.
        #[serde(flatten)]
        place: Place,
        /// Unix milliseconds.
        at: i64,
    },
    /// Its vectors are kept.
    Done {
        /// As clients are shown.
        tokens: u64,
    },
    /// It will not be tried again.
    Failed {
        /// Why.
        error: String,
        /// Whether the dead-letter queue knows.
        told: bool,
    },
    /// It was never sent, or its last try came to nothing, when the job was cancelled.
    Cancelled,
}

/// What a client reads of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Nothing of it was sent yet.
    Queued,
    /// Some of it was.
    Running,
    /// Nothing more is sent; what was is awaited.
    Cancelling,
    /// Every item is done or failed, and some are done.
    Completed,
    /// Every item failed.
    Failed,
    /// It was cancelled, and nothing is awaited any more.
    Cancelled,
}

/// Items of a job by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// All of them.
    pub total: u64,
    /// Embedded.
    pub completed: u64,
    /// Given up.
    pub failed: u64,
    /// Never to be sent.
    pub cancelled: u64,
    /// On their way.
    pub in_flight: u64,
}

/// Splits items, by their sizes in bytes, into batches of so many items and bytes at most; an item that is larger stands alone.
#[must_use]
pub fn split(sizes: &[usize], most_items: u32, most_bytes: usize) -> BTreeMap<u32, Batch> {
    let mut batches = BTreeMap::new();
    let (mut first, mut items, mut bytes) = (0_u32, 0_u32, 0_usize);
    let batch = |items| Batch { items, tries: 0, state: State::Waiting };
    for size in sizes {
        if items > 0 && (items >= most_items.max(1) || bytes.saturating_add(*size) > most_bytes) {
            batches.insert(first, batch(items));
            (first, items, bytes) = (first + items, 0, 0);
        }
        items += 1;
        bytes = bytes.saturating_add(*size);
    }
    if items > 0 {
        batches.insert(first, batch(items));
    }
    batches
}

impl Batch {
    /// Nothing more happens to it.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        matches!(self.state, State::Done { .. } | State::Failed { told: true, .. } | State::Cancelled)
    }

    const fn is_in_flight(&self) -> bool {
        matches!(self.state, State::Claimed { .. } | State::Sent { .. })
    }
}

impl Job {
    /// One that nobody works on yet.
    #[must_use]
    pub fn new(
        id: String,
        model: String,
        user: Option<String>,
        base64: bool,
        created_at: i64,
        batches: BTreeMap<u32, Batch>,
    ) -> Self {
        Self {
            version: VERSION,
            id,
            model,
            user,
            base64,
            created_at,
            finished_at: None,
            holder: None,
            cancelled: false,
            reason: None,
            spent: Nano::ZERO,
            halvings: 0,
            writes: 0,
            batches,
        }
    }

    /// Nothing more happens to it.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.batches.values().all(Batch::is_over)
    }

    /// Its items.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for batch in self.batches.values() {
            let items = u64::from(batch.items);
            counts.total += items;
            match batch.state {
                State::Waiting => {}
                State::Claimed { .. } | State::Sent { .. } => counts.in_flight += items,
                State::Done { .. } => counts.completed += items,
                State::Failed { .. } => counts.failed += items,
                State::Cancelled => counts.cancelled += items,
            }
        }
        counts
    }

    /// Tokens of what is done.
    #[must_use]
    pub fn tokens(&self) -> u64 {
        let tokens = |batch: &Batch| if let State::Done { tokens } = batch.state { tokens } else { 0 };
        self.batches.values().map(tokens).fold(0, u64::saturating_add)
    }

    /// What a client reads.
    #[must_use]
    pub fn status(&self) -> Status {
        let Counts { total, completed, failed, .. } = self.counts();
        let untouched = |batch: &Batch| batch.state == State::Waiting && batch.tries == 0;
        match (self.is_over(), self.cancelled) {
            (true, true) if completed + failed < total => Status::Cancelled,
            (true, _) if completed == 0 => Status::Failed,
            (true, _) => Status::Completed,
            (false, true) => Status::Cancelling,
            (false, false) if self.batches.values().all(untouched) => Status::Queued,
            (false, false) => Status::Running,
        }
    }

    /// Nothing more of it is sent.
    pub fn cancel(&mut self) {
        self.cancelled = true;
        self.reason = None;
        for batch in self.batches.values_mut().filter(|batch| batch.state == State::Waiting) {
            batch.state = State::Cancelled;
        }
    }

    /// `me` works on it from now on. What another claimed may have been sent, and nobody knows where its result would be.
    pub fn adopt(&mut self, me: &str, attempts: u32) {
        let is_mine = self.holder.as_deref() == Some(me);
        self.holder = Some(me.to_owned());
        if is_mine {
            return;
        }
        let claimed = |(first, batch): (&u32, &Batch)| match batch.state {
            State::Claimed { worst } => Some((*first, worst)),
            _ => None,
        };
        let orphans: Vec<(u32, Nano)> = self.batches.iter().filter_map(claimed).collect();
        for (first, worst) in orphans {
            self.spent = Nano(self.spent.0.saturating_add(worst.0));
            let error = "the proxy that sent it ended before it knew where the result comes";
            self.fail(first, error, attempts, false);
        }
    }

    /// One try of a batch came to nothing; `refused`: the container may have refused one of its items.
    fn fail(&mut self, first: u32, error: &str, attempts: u32, refused: bool) {
        let (cancelled, may_halve) = (self.cancelled, self.halvings < MOST_HALVINGS);
        let Some(batch) = self.batches.get_mut(&first) else { return };
        batch.tries += 1;
        let spent = batch.tries >= attempts;
        batch.state = match (cancelled, spent) {
            (true, _) => State::Cancelled,
            (false, false) => State::Waiting,
            (false, true) => State::Failed { error: error.to_owned(), told: false },
        };
        if cancelled || !spent || !refused || !may_halve || batch.items < 2 {
            return;
        }
        // Each half has one try more; the item that is refused ends up alone.
        let rest = Batch { items: batch.items / 2, tries: attempts.saturating_sub(1), state: State::Waiting };
        *batch = Batch { items: batch.items - rest.items, ..rest.clone() };
        let at = first + batch.items;
        self.batches.insert(at, rest);
        self.halvings += 1;
    }
}

#[cfg(test)]
mod tests;
