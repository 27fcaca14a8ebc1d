//! When batches went out and came back in; whether the endpoint works on one of them at a time, and how long one takes it, out.
//!
//! # Why
//! A batch that is sent to a busy endpoint of that kind waits there, where no text can join it any more. Callers whose texts were split
//! once over more batches than needed would come back one such batch after the other, and never share one again.

use std::time::Duration;
use tokio::time::Instant;

/// What was learnt counts for so long: an endpoint may be given more instances.
const COUNTS: Duration = Duration::from_secs(10);

/// A batch that is out.
#[derive(Clone, Copy, Debug)]
pub struct Turn {
    sent: Instant,
    /// Batches that were out before it.
    before: u32,
}

/// What the batches of an endpoint tell.
#[derive(Debug, Default)]
pub struct Turns {
    /// What the last batch took that went out alone.
    alone: Option<Duration>,
    /// When a batch came back last.
    last: Option<Instant>,
    /// When it showed last that they take turns.
    shown: Option<Instant>,
}

impl Turns {
    /// A batch goes out, so many before it.
    pub const fn begin(before: u32, now: Instant) -> Turn {
        Turn { sent: now, before }
    }

    /// It came back.
    pub fn end(&mut self, turn: Turn, now: Instant) {
        let took = now.saturating_duration_since(turn.sent);
        // Since it was sent, and since nothing was before it.
        let own = self.last.replace(now).map_or(took, |last| took.min(now.saturating_duration_since(last)));
        let Some(alone) = self.alone else {
            self.alone = (turn.before == 0).then_some(took);
            return;
        };
        if turn.before == 0 {
            // One that was tried again, or waited for an endpoint to start, is no measure of the next.
            self.alone = Some(took.min(alone * 5 / 4));
        } else if took >= alone * 5 / 4 && own >= alone * 3 / 4 {
            self.shown = Some(now);
        } else if own <= alone / 2 {
            self.shown = None;
        }
    }

    /// How long a batch takes, where they take turns.
    pub fn length(&self, now: Instant) -> Option<Duration> {
        let shown = self.shown.filter(|shown| now.saturating_duration_since(*shown) < COUNTS);
        shown.and(self.alone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_millis(40);

    /// What batches tell that are sent and come back at these milliseconds.
    fn told(batches: &[(u64, u64)]) -> Option<Duration> {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut events: Vec<(u64, bool, usize)> = Vec::new();
        for (index, (sent, back)) in batches.iter().enumerate() {
            events.extend([(*sent, true, index), (*back, false, index)]);
        }
        events.sort_unstable();
        let (mut turns, mut out, mut held) = (Turns::default(), 0, std::collections::HashMap::new());
        for (ms, sent, index) in &events {
            if *sent {
                held.insert(*index, Turns::begin(out, at(*ms)));
                out += 1;
            } else {
                turns.end(held[index], at(*ms));
                out -= 1;
            }
        }
        turns.length(at(events.last().unwrap().0))
    }

    #[test]
    fn batches_that_take_turns_show_it_and_others_do_not() {
        assert_eq!(told(&[(0, 40)]), None, "one alone says nothing");
        assert_eq!(told(&[(0, 40), (1, 80)]), Some(S));
        assert_eq!(told(&[(0, 40), (1, 80), (45, 120), (85, 160)]), Some(S));
        assert_eq!(told(&[(0, 40), (1, 41), (2, 42), (30, 70), (65, 105)]), None, "all at once");
        assert_eq!(told(&[(0, 40), (1, 80), (81, 121), (82, 122)]), None, "no longer");
        assert_eq!(told(&[(0, 40), (39, 80)]), None, "too short a wait to be one");
    }

    #[test]
    fn one_long_batch_teaches_little() {
        assert_eq!(told(&[(0, 40), (1, 80), (100, 5000)]), Some(S * 5 / 4));
    }

    #[test]
    fn what_was_learnt_is_forgotten() {
        let start = Instant::now();
        let mut turns = Turns::default();
        turns.end(Turns::begin(0, start), start + S);
        turns.end(Turns::begin(1, start), start + 2 * S);
        assert_eq!(turns.length(start + 2 * S), Some(S));
        assert_eq!(turns.length(start + 2 * S + COUNTS), None);
    }
}
