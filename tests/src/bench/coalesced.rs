//! In: an endpoint that takes 40 ms for a batch. Out: how many more single texts of 64 callers a second it embeds when they share batches, and
//! how long a caller waits.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::load::{self, Shape};
use super::{contender, manifests};

const CALLERS: usize = 64;

/// Texts a second alone and together, and the wait that 99 of 100 callers do not exceed when they are together.
#[derive(Clone, Copy, Debug)]
pub struct Coalesced {
    pub alone: f64,
    pub together: f64,
    pub p99: Duration,
}

/// Drives both, one after the other.
pub async fn measure(upstream: SocketAddr) -> anyhow::Result<Coalesced> {
    // Alone, each text takes a turn of 40 ms: a few seconds' worth of them is enough.
    let (alone, _) = drive(upstream, 1, 2 * CALLERS).await?;
    let (together, mut took) = drive(upstream, 32, 60 * CALLERS).await?;
    took.sort_unstable();
    let p99 = took.get(took.len() * 99 / 100).copied().unwrap_or_default();
    Ok(Coalesced { alone, together, p99 })
}

async fn drive(upstream: SocketAddr, items: usize, requests: usize) -> anyhow::Result<(f64, Vec<Duration>)> {
    let proxy = contender::tollway("tollway", upstream, &[manifests::embedding("slow", items)], &[]).await;
    let began = Instant::now();
    let took = load::drive(proxy.address, Shape::Vector, requests, CALLERS).await?;
    Ok((requests as f64 / began.elapsed().as_secs_f64(), took))
}
