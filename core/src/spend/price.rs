//! `Price` and `Usage` in, the exact cost of one attempt out: integer arithmetic, rounded up once.

use super::nano::Nano;
use serde::{Deserialize, Serialize};

/// What one target charges. Token prices are nano-dollars per million tokens, so that a price such as
/// 0.00875 USD per million is exact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Price {
    /// Per million input tokens read without a cache.
    pub input: Nano,
    /// Per million output tokens, reasoning included.
    pub output: Nano,
    /// Per million input tokens read from the provider's prompt cache.
    pub cache_read: Nano,
    /// Per million input tokens written to the provider's prompt cache for 5 minutes.
    pub cache_write: Nano,
    /// Per million input tokens written to the provider's prompt cache for 1 hour.
    pub cache_write_1h: Nano,
    /// For each request that reaches the provider.
    pub per_request: Nano,
}

/// What the provider said one attempt used. The four input counts are disjoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// Input tokens neither read from nor written to a cache.
    pub input: u64,
    /// Output tokens, reasoning included.
    pub output: u64,
    /// Input tokens read from the prompt cache.
    pub cache_read: u64,
    /// Input tokens written to the prompt cache for 5 minutes.
    pub cache_write: u64,
    /// Input tokens written to the prompt cache for 1 hour.
    pub cache_write_1h: u64,
}

const PER: u128 = 1_000_000;

impl Price {
    /// The cost of one attempt that used `usage`, rounded up to the next nano-dollar once.
    #[must_use]
    pub fn cost(&self, usage: &Usage) -> Nano {
        let part = |tokens: u64, price: Nano| u128::from(tokens) * u128::from(price.0);
        let sum = [
            part(usage.input, self.input),
            part(usage.output, self.output),
            part(usage.cache_read, self.cache_read),
            part(usage.cache_write, self.cache_write),
            part(usage.cache_write_1h, self.cache_write_1h),
        ]
        .into_iter()
        .fold(0_u128, u128::saturating_add);
        let nanos = u64::try_from(sum.div_ceil(PER)).unwrap_or(u64::MAX);
        Nano(nanos).plus(self.per_request)
    }

    /// The most an attempt can cost whose input is at most `input` tokens and whose output at most `output`
    /// (`n` completions counted in): every input token at the dearest input price.
    #[must_use]
    pub fn worst_case(&self, input: u64, output: u64) -> Nano {
        let dearest = self.input.max(self.cache_read).max(self.cache_write).max(self.cache_write_1h);
        Self { input: dearest, ..*self }.cost(&Usage { input, output, ..Usage::default() })
    }

    /// Whether nothing this target does costs anything.
    #[must_use]
    pub fn is_free(&self) -> bool {
        *self == Self::default()
    }
}
