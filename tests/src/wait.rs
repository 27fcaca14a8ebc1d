//! In: a condition that another process will bring about. Out: its value as soon as it holds, or a failure that says what was awaited.

use std::time::{Duration, Instant};

/// Long enough for a loaded machine: a limit for what hangs, never a measure of speed.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Asks every 20 ms until `probe` gives a value; fails after [`PATIENCE`].
pub async fn until<T, F>(what: &str, probe: F) -> T
where
    F: AsyncFnMut() -> Option<T>,
{
    within(PATIENCE, what, probe).await
}

/// As [`until`], with a limit of one's own.
pub async fn within<T, F>(patience: Duration, what: &str, mut probe: F) -> T
where
    F: AsyncFnMut() -> Option<T>,
{
    let end = Instant::now() + patience;
    loop {
        if let Some(value) = probe().await {
            return value;
        }
        assert!(Instant::now() < end, "waited {} s for {what}", patience.as_secs());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
