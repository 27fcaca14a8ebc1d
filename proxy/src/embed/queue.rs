//! Texts of many requests in, batches out: full ones at once, others when their oldest text has waited long enough. No clock of its own.
//!
//! # Why a turn for each request
//! A request of thousands of texts would otherwise stand before everybody who comes after it. So a batch takes an equal share of every
//! request that waits, and whoever has more left goes to the back.

mod turns;

use super::tab::Tab;
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;
use tollway_core::table::Batching;
pub use turns::Turn;
use turns::Turns;

use crate::error::ApiError;

/// Bytes of text in one call at most: SageMaker takes 6 MB.
const MOST_BYTES: usize = 4 * 1024 * 1024;

/// One request, as its batches see it.
#[derive(Debug)]
pub struct Call {
    pub id: u64,
    pub tab: Arc<Tab>,
    /// Where vectors go; closed when the caller has left.
    pub answers: UnboundedSender<Done>,
    /// When the request is over.
    pub ends: Instant,
    /// Until when its texts wait for a copy to run.
    pub cold_until: Instant,
}

/// What a batch says to one of its requests.
#[derive(Debug)]
pub enum Done {
    /// These texts, by their number, are embedded.
    Vectors { vectors: Vec<(usize, Bytes)>, source: String, attempts: u32 },
    /// They cannot be, and so the request cannot.
    Failed { error: ApiError, source: Option<String>, attempts: u32 },
}

/// One text.
#[derive(Debug)]
pub struct Item {
    /// Its number in the request.
    pub index: usize,
    pub text: String,
    /// Tokens it can have at most.
    pub bound: u64,
}

/// The texts of one request in one batch.
#[derive(Debug)]
pub struct Part {
    pub call: Arc<Call>,
    pub items: Vec<Item>,
}

impl Part {
    /// Tokens of its texts at most.
    #[must_use]
    pub fn bound(&self) -> u64 {
        self.items.iter().map(|item| item.bound).fold(0, u64::saturating_add)
    }
}

/// What to do next.
#[derive(Debug)]
pub enum Next {
    /// This batch goes out; its turn is given back by `over`.
    Send(Vec<Part>, Turn),
    /// Nothing before then.
    Wait(Instant),
    /// Nothing until something else happens.
    Rest,
}

#[derive(Debug)]
struct Waiting {
    call: Arc<Call>,
    items: VecDeque<Item>,
    since: Instant,
}

/// Everything that waits for one endpoint, and how many batches are out.
#[derive(Debug)]
pub struct Queue {
    batching: Batching,
    waiting: VecDeque<Waiting>,
    texts: usize,
    out: u32,
    turns: Turns,
}

impl Queue {
    #[must_use]
    pub fn new(batching: Batching) -> Self {
        Self { batching, waiting: VecDeque::new(), texts: 0, out: 0, turns: Turns::default() }
    }

    /// Texts that wait, and batches that are out.
    pub fn depth(&self) -> (u64, u64) {
        (self.texts as u64, self.out.into())
    }

    /// A request's texts wait from now on.
    pub fn push(&mut self, call: Arc<Call>, items: VecDeque<Item>, now: Instant) {
        self.texts += items.len();
        self.waiting.push_back(Waiting { call, items, since: now });
    }

    /// The caller has left: nothing of its texts is sent any more.
    pub fn forget(&mut self, id: u64) {
        self.waiting.retain(|waiting| waiting.call.id != id);
        self.texts = self.waiting.iter().map(|waiting| waiting.items.len()).sum();
    }

    /// A batch is over.
    pub fn over(&mut self, turn: Turn, now: Instant) {
        self.out = self.out.saturating_sub(1);
        self.turns.end(turn, now);
    }

    /// The next batch, if it is time for one.
    pub fn next(&mut self, now: Instant) -> Next {
        if self.texts == 0 || self.out >= self.batching.max_concurrent {
            return Next::Rest;
        }
        let most = usize::try_from(self.batching.max_items).unwrap_or(usize::MAX).max(1);
        let oldest = self.waiting.iter().map(|waiting| waiting.since).min().unwrap_or(now);
        let mut due = oldest + Duration::from_millis(self.batching.max_wait_ms);
        // Where another is before it, it would only wait there; here others may join it. Not for ever: it may be otherwise by now.
        if self.out > 0 {
            due += 2 * self.turns.length(now).unwrap_or_default();
        }
        if self.texts < most && now < due {
            return Next::Wait(due);
        }
        let turn = Turns::begin(self.out, now);
        self.out += 1;
        Next::Send(self.take(most), turn)
    }

    fn take(&mut self, most: usize) -> Vec<Part> {
        let mut parts: Vec<Part> = Vec::new();
        let (mut left, mut bytes) = (most, 0);
        // Everybody's share first; what some do not need is for the others then.
        for share in [most / self.waiting.len().clamp(1, most), most] {
            // Whoever got something stands behind those who did not.
            let mut served = Vec::new();
            let mut passed_over = Vec::new();
            while let Some(mut waiting) = self.waiting.pop_front() {
                let mut items = Vec::new();
                while items.len() < share && left > 0 {
                    let fits = |item: &&Item| bytes == 0 || bytes + item.text.len() <= MOST_BYTES;
                    let Some(item) = waiting.items.front().filter(fits) else { break };
                    bytes += item.text.len();
                    left -= 1;
                    items.extend(waiting.items.pop_front());
                }
                let got = !items.is_empty();
                match parts.iter_mut().find(|part| part.call.id == waiting.call.id) {
                    Some(part) => part.items.extend(items),
                    None if got => parts.push(Part { call: Arc::clone(&waiting.call), items }),
                    None => {}
                }
                if !waiting.items.is_empty() {
                    let place = if got { &mut served } else { &mut passed_over };
                    place.push(waiting);
                }
                if left == 0 {
                    break;
                }
            }
            for waiting in passed_over.into_iter().rev() {
                self.waiting.push_front(waiting);
            }
            self.waiting.extend(served);
            if left == 0 {
                break;
            }
        }
        self.texts -= most - left;
        parts
    }
}

#[cfg(test)]
mod tests;
