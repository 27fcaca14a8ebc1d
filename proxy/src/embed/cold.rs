//! Texts that found no copy of an inference component running in; those that may still wait, a little later, out. The others are told.

use super::batch::{Verdict, everyone_left};
use super::queue::Part;
use std::time::Duration;
use tokio::time::Instant;

/// Time between two looks: SageMaker says no more than that there is none yet.
const AGAIN: Duration = Duration::from_secs(2);

/// Waits for the next look; nothing comes back when nobody waits any more.
pub(super) async fn wait(parts: Vec<Part>, last: &Verdict) -> Vec<Part> {
    let now = Instant::now();
    // Together they would come to the endpoint together.
    let next = now + AGAIN.mul_f64(0.75 + 0.25 * fastrand::f64());
    let (parts, over): (Vec<Part>, Vec<Part>) = parts.into_iter().partition(|part| next <= part.call.cold_until);
    last.tell(&over);
    if parts.is_empty() {
        return parts;
    }
    tokio::select! {
        () = tokio::time::sleep_until(next) => parts,
        () = everyone_left(&parts) => Vec::new(),
    }
}
