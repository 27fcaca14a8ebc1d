//! An operation on the Redis or Valkey that proxies share in; its reply within the time-out, or at once that there is none, out.
//!
//! # Why nobody waits for a connection
//! One task makes the connection and makes it anew. A request uses the one that stands; where none does, or where the reply is late, it goes
//! on alone, and nobody asks again until the task has a connection that answers.

mod address;
mod link;

pub use address::{Address, AddressError};

use crate::metrics::{Asked, StoreMeter};
use arc_swap::ArcSwapOption;
use redis::aio::MultiplexedConnection;
use redis::{RedisError, RedisResult};
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// How long one reply may take, unless the command line says otherwise.
pub const TIMEOUT: Duration = Duration::from_millis(50);

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Units of rates.
    Take,
    /// A correction of what was taken.
    Correct,
    /// A kept answer.
    Get,
    /// To keep an answer.
    Set,
    /// To be counted among the proxies of the namespace.
    Register,
}

/// No reply, or none in time. Whoever asked goes on alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

/// What the proxies of a namespace share.
pub struct Store {
    address: Address,
    timeout: Duration,
    link: ArcSwapOption<MultiplexedConnection>,
    /// The connection that stood is of no more use.
    broke: Notify,
    /// Proxies of the namespace as last counted; 0 before the first count.
    proxies: AtomicU32,
    /// Why there is no connection.
    problem: Mutex<Option<String>>,
    meter: StoreMeter,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("address", &self.address)
            .field("problem", &self.problem())
            .finish_non_exhaustive()
    }
}

impl Store {
    /// A store that nobody has connected to yet: `follow` does.
    #[must_use]
    pub fn new(address: Address, timeout: Duration, meter: StoreMeter) -> Arc<Self> {
        Arc::new(Self {
            address,
            timeout,
            link: ArcSwapOption::empty(),
            broke: Notify::new(),
            proxies: AtomicU32::new(0),
            problem: Mutex::new(Some("there was no connection yet".to_owned())),
            meter,
        })
    }

    #[must_use]
    pub const fn address(&self) -> &Address {
        &self.address
    }

    /// Proxies of the namespace as last counted, this one among them; `None` before the first count.
    #[must_use]
    pub fn proxies(&self) -> Option<u32> {
        Some(self.proxies.load(Relaxed)).filter(|count| *count > 0)
    }

    /// Why it cannot be reached just now.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        self.problem.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Does `work` on the connection that stands.
    ///
    /// # Errors
    /// There is none, or it gave no good reply in time.
    pub async fn ask<T, F>(&self, what: Operation, work: impl FnOnce(MultiplexedConnection) -> F) -> Result<T, Gone>
    where
        F: Future<Output = RedisResult<T>>,
    {
        let Some(link) = self.link.load_full() else {
            self.meter.asked(what, Asked::Skipped);
            return Err(Gone);
        };
        match tokio::time::timeout(self.timeout, work(MultiplexedConnection::clone(&link))).await {
            Ok(Ok(reply)) => {
                self.meter.asked(what, Asked::Answered);
                Ok(reply)
            }
            Ok(Err(error)) => {
                self.meter.asked(what, Asked::Failed);
                // One odd value or a full memory concerns one operation; anything else would meet the next one too.
                if concerns_one(&error) {
                    tracing::debug!(%error, ?what, "an operation on Redis failed");
                } else {
                    self.give_up(&link, said(&error));
                }
                Err(Gone)
            }
            Err(_) => {
                self.meter.asked(what, Asked::TimedOut);
                self.give_up(&link, format!("no reply within {} ms", self.timeout.as_millis()));
                Err(Gone)
            }
        }
    }

    /// `link` is of no more use. Many may notice; the first one says so.
    fn give_up(&self, link: &Arc<MultiplexedConnection>, problem: String) {
        let held = self.link.compare_and_swap(Arc::as_ptr(link), None);
        if held.as_ref().is_some_and(|held| Arc::ptr_eq(held, link)) {
            self.went(problem);
            self.broke.notify_one();
        }
    }

    fn came(&self, link: MultiplexedConnection) {
        *self.problem.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.meter.up(true);
        tracing::info!(redis = %self.address, "connected: what has scope Global or Shared is shared");
        self.link.store(Some(Arc::new(link)));
    }

    fn went(&self, problem: String) {
        self.meter.up(false);
        let before = self.problem.lock().unwrap_or_else(PoisonError::into_inner).replace(problem.clone());
        if before.as_ref() != Some(&problem) {
            tracing::warn!(
                redis = %self.address, %problem,
                "Redis is of no use just now: limits with scope Global are kept by this proxy's share of them, and no answers are shared"
            );
        }
    }
}

fn concerns_one(error: &RedisError) -> bool {
    let odd = |code: &str| matches!(code, "WRONGTYPE" | "OOM");
    let several = error.clone().into_server_errors();
    error.code().is_some_and(odd) || several.is_some_and(|all| all.iter().all(|(_, one)| odd(one.code())))
}

/// An error with what the server said; neither holds an address or a password.
fn said(error: &RedisError) -> String {
    match error.detail() {
        Some(detail) if !error.to_string().contains(detail) => format!("{error}: {detail}"),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests;
