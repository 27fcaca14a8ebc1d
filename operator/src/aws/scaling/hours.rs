//! What an endpoint's instances cost an hour, look by look, in; the spans to be counted, each at its own price, out.

use tollway_core::spend::Nano;
use tollway_core::status::Ran;

/// Hours are counted so often, and when their price changes: every count is a write.
const EVERY_MS: i64 = 300_000;
/// When one endpoint's are, those of its namespace that are nearly due are counted with them.
const NEARLY_MS: i64 = 240_000;

/// What runs now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Running {
    since_ms: i64,
    per_hour: Nano,
}

/// Whether somebody should count.
pub fn is_due(running: Option<&Running>, now_ms: i64) -> bool {
    running.is_none_or(|ran| now_ms.saturating_sub(ran.since_ms) >= EVERY_MS)
}

/// The span that runs now, and the one that ended; at the first look nobody here knows since when, and whoever counts goes on from its own record.
pub fn step(running: Option<&Running>, now_ms: i64, per_hour: Nano) -> (Running, Option<Ran>) {
    let next = Running { since_ms: now_ms, per_hour };
    match running {
        None => (next, Some(Ran { since_ms: None, per_hour })),
        Some(ran) if ran.per_hour != per_hour || now_ms.saturating_sub(ran.since_ms) >= NEARLY_MS => {
            (next, Some(Ran { since_ms: Some(ran.since_ms), per_hour: ran.per_hour }))
        }
        Some(ran) => (ran.clone(), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_ends_with_its_price_or_after_a_while() {
        let ran = |since_ms, per_hour| Some(Ran { since_ms, per_hour: Nano(per_hour) });
        let (first, counted) = step(None, 10, Nano(5));
        assert_eq!(counted, ran(None, 5));
        let (same, counted) = step(Some(&first), 20, Nano(5));
        assert_eq!((&same, counted), (&first, None));
        let (dearer, counted) = step(Some(&same), 30, Nano(9));
        assert_eq!(counted, ran(Some(10), 5), "up to now at the old price");
        assert_eq!(step(Some(&dearer), 30 + NEARLY_MS, Nano(9)).1, ran(Some(30), 9));
        assert!(!is_due(Some(&dearer), 30 + NEARLY_MS) && is_due(Some(&dearer), 30 + EVERY_MS) && is_due(None, 0));
    }
}
