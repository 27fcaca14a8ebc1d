//! Amounts spent and when in, what is spent in a span of time out: a moving average in integers.

use super::super::nano::Nano;

/// Amounts are gathered over so long before they move the average.
const BUCKET_MS: i64 = 10_000;

/// How fast a purse burns.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Rate {
    nano_per_second: u64,
    bucket: Nano,
    since_ms: Option<i64>,
}

impl Rate {
    /// `amount` was spent now.
    pub(super) fn add(&mut self, now_ms: i64, amount: Nano) {
        let since = *self.since_ms.get_or_insert(now_ms);
        let elapsed = now_ms.saturating_sub(since);
        if elapsed >= BUCKET_MS {
            let latest = u64::try_from(u128::from(self.bucket.0) * 1000 / elapsed.unsigned_abs() as u128);
            // The longer it took to gather, the less the past counts.
            let (past, now) = if elapsed >= 6 * BUCKET_MS { (0, 1) } else { (2, 1) };
            let weighted = self.nano_per_second.saturating_mul(past).saturating_add(latest.unwrap_or(u64::MAX));
            self.nano_per_second = weighted / (past + now);
            (self.bucket, self.since_ms) = (Nano::ZERO, Some(now_ms));
        }
        self.bucket = self.bucket.plus(amount);
    }

    /// What a span of `ms` milliseconds would take.
    pub(super) fn over(&self, ms: i64) -> Nano {
        let amount = u128::from(self.nano_per_second) * u128::from(ms.unsigned_abs()) / 1000;
        Nano(u64::try_from(amount).unwrap_or(u64::MAX)).max(self.bucket)
    }
}
