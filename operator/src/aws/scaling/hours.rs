//! What an endpoint's instances cost an hour, look by look, in; the spans to be counted, each at its own price, out.

use tollway_core::spend::Nano;
use tollway_core::status::Ran;

/// Hours are counted so often, and when their price changes: every count is a write.
const EVERY_MS: i64 = 300_000;
/// When one endpoint's are, those of its namespace that are nearly due are counted with them.
const NEARLY_MS: i64 = 240_000;

/// Whether somebody should count.
pub fn is_due(running: Option<&Ran>, now_ms: i64) -> bool {
    running.is_none_or(|ran| now_ms.saturating_sub(ran.since_ms) >= EVERY_MS)
}

/// The span that runs now, and the one that ended; the first look ends one of no length, so that whoever counts goes on from its own record.
pub fn step(running: Option<&Ran>, now_ms: i64, per_hour: Nano) -> (Ran, Option<Ran>) {
    let next = Ran { since_ms: now_ms, per_hour };
    match running {
        None => (next.clone(), Some(next)),
        Some(ran) if ran.per_hour != per_hour || now_ms.saturating_sub(ran.since_ms) >= NEARLY_MS => {
            (next, Some(ran.clone()))
        }
        Some(ran) => (ran.clone(), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_ends_with_its_price_or_after_a_while() {
        let (first, counted) = step(None, 10, Nano(5));
        assert_eq!(counted, Some(Ran { since_ms: 10, per_hour: Nano(5) }));
        let (same, counted) = step(Some(&first), 20, Nano(5));
        assert_eq!((&same, counted), (&first, None));
        let (dearer, counted) = step(Some(&same), 30, Nano(9));
        assert_eq!(counted, Some(Ran { since_ms: 10, per_hour: Nano(5) }), "up to now at the old price");
        assert_eq!(dearer, Ran { since_ms: 30, per_hour: Nano(9) });
        assert_eq!(step(Some(&dearer), 30 + NEARLY_MS, Nano(9)).1, Some(dearer.clone()));
        assert!(!is_due(Some(&dearer), 30 + NEARLY_MS) && is_due(Some(&dearer), 30 + EVERY_MS) && is_due(None, 0));
    }
}
