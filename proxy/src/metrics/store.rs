//! What was asked of Redis, how it ended, and whether there is one, in; series out, made only where an address was given.

use super::vectors::Vectors;
use crate::store::Operation;
use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};

const OPERATIONS: [&str; 5] = ["take", "correct", "get", "set", "register"];
const RESULTS: [&str; 4] = ["answered", "failed", "timed_out", "skipped"];

/// How one operation on Redis ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    Answered,
    /// Redis said no, or the connection broke.
    Failed,
    TimedOut,
    /// Nobody asked: there was no connection.
    Skipped,
}

/// Counts operations on Redis.
#[derive(Debug)]
pub struct StoreMeter {
    operations: [[IntCounter; RESULTS.len()]; OPERATIONS.len()],
    up: IntGauge,
    proxies: IntGauge,
}

impl StoreMeter {
    pub(super) fn new(vectors: &Vectors, registry: &Registry) -> Result<Self, prometheus::Error> {
        let help = "Operations on Redis, by how they ended; skipped: nobody asked, for there was no connection.";
        let operations =
            IntCounterVec::new(Opts::new("tollway_redis_operations_total", help), &["operation", "result"])?;
        let up = IntGauge::new("tollway_redis_up", "1 while there is a connection to Redis that answers.")?;
        let help = "Proxies of the namespace that shared Redis last; 0 before the first count.";
        let proxies = IntGauge::new("tollway_redis_proxies", help)?;
        registry.register(Box::new(operations.clone()))?;
        registry.register(Box::new(up.clone()))?;
        registry.register(Box::new(proxies.clone()))?;
        let of = |operation: &str| RESULTS.map(|result| vectors.counter(&operations, &[operation, result]));
        Ok(Self { operations: OPERATIONS.map(of), up, proxies })
    }

    pub fn asked(&self, what: Operation, how: Asked) {
        self.operations[what as usize][how as usize].inc();
    }

    pub fn up(&self, is_up: bool) {
        self.up.set(i64::from(is_up));
    }

    pub fn proxies(&self, count: u32) {
        self.proxies.set(i64::from(count));
    }
}
