//! Many tasks that want to ask the same service in; one after another, no more in a second than the service bears, out.

use std::sync::Mutex;
use std::time::Duration;
use tokio::time::Instant;

/// A queue that moves at an even pace.
#[derive(Debug)]
pub struct Turns {
    every: Duration,
    next: Mutex<Option<Instant>>,
}

impl Turns {
    /// One turn each such span.
    pub const fn each(every: Duration) -> Turns {
        Turns { every, next: Mutex::new(None) }
    }

    /// Waits for the caller's turn.
    pub async fn turn(&self) {
        tokio::time::sleep_until(self.book(Instant::now())).await;
    }

    /// The caller's turn.
    fn book(&self, now: Instant) -> Instant {
        let mut next = self.next.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let at = next.map_or(now, |next| next.max(now));
        *next = Some(at + self.every);
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_together_goes_one_by_one() {
        let span = Duration::from_secs(1);
        let (turns, now) = (Turns::each(span), Instant::now());
        assert_eq!([turns.book(now), turns.book(now), turns.book(now)], [now, now + span, now + 2 * span]);
        let late = now + 10 * span;
        assert_eq!(turns.book(late), late, "nobody waits where nobody stands");
    }
}
