//! A ledger of one's own: due messages of every purse in, grants and denials back, each on disk before it is used.
//!
//! # Why a restart is a new holder
//! A process that was killed may have spent its open grants to the last cent, so the next one charges them in full: the
//! same rule that the operator applies to a dead Pod. A clean stop gives them back first.

mod book;
mod files;
#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

pub use book::{Book, Terms};
pub use files::FileError;

use super::{Ledger, now_ms};
use crate::source::Live;
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::watch;

/// How often purses are asked for what is due when nothing wakes the driver.
const TICK: Duration = Duration::from_millis(250);

/// The driver: the book is the only user of its files.
#[derive(Debug)]
pub struct Standalone {
    pub ledger: Ledger,
    pub live: Live,
    pub terms: watch::Receiver<Terms>,
    pub book: Book,
}

impl Standalone {
    /// Opens the books in `dir` for a new incarnation: what older ones left open is charged in full.
    ///
    /// # Errors
    /// A folder that cannot be read. A damaged file is no error: its budget is frozen.
    pub fn open(dir: PathBuf, incarnation: &str) -> Result<Book, FileError> {
        Book::open(dir, incarnation, now_ms())
    }

    /// Keeps the purses filled until `stop` says that every grant goes back; ends when none is left.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut tick = tokio::time::interval(TICK);
        loop {
            let stopping = *stop.borrow_and_update();
            self.turn(stopping);
            if stopping && self.ledger.accounts().is_empty() {
                return;
            }
            tokio::select! {
                () = self.ledger.shared.due.notified() => {}
                _ = tick.tick() => {}
                Ok(()) = stop.changed() => {}
            }
        }
    }

    /// One exchange between the purses and the book. Files are small and written rarely, and nothing else waits on this thread's tasks meanwhile.
    fn turn(&mut self, stopping: bool) {
        let now = now_ms();
        let due = {
            let mut accounts = self.ledger.accounts();
            if stopping {
                accounts.retire();
            } else if let Some(serving) = self.live.load().as_ref() {
                accounts.keep_only(&serving.table);
            }
            accounts.poll(now)
        };
        let terms = self.terms.borrow_and_update().clone();
        let answers = tokio::task::block_in_place(|| self.book.turn(now, &terms, due));
        let mut accounts = self.ledger.accounts();
        let mut wake = false;
        for (budget, subject, message) in answers {
            wake |= accounts.take(now, &budget, subject, message);
        }
        for (budget, figures) in self.book.figures() {
            accounts.learn(budget, figures);
        }
        drop(accounts);
        if wake {
            self.ledger.shared.changed.notify_waiters();
        }
    }
}
