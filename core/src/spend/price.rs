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

impl Usage {
    /// Every token, in and out.
    #[must_use]
    pub const fn tokens(&self) -> u64 {
        let Self { input, output, cache_read, cache_write, cache_write_1h } = *self;
        input
            .saturating_add(output)
            .saturating_add(cache_read)
            .saturating_add(cache_write)
            .saturating_add(cache_write_1h)
    }
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

/// A price as somebody states it: some components, the others left as they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PricePart {
    /// As [`Price::input`].
    pub input: Option<Nano>,
    /// As [`Price::output`].
    pub output: Option<Nano>,
    /// As [`Price::cache_read`].
    pub cache_read: Option<Nano>,
    /// As [`Price::cache_write`].
    pub cache_write: Option<Nano>,
    /// As [`Price::cache_write_1h`].
    pub cache_write_1h: Option<Nano>,
    /// As [`Price::per_request`].
    pub per_request: Option<Nano>,
}

impl PricePart {
    /// A whole price from this alone: what is not stated about a cache costs what plain input costs, what else is not stated costs nothing.
    #[must_use]
    pub fn alone(&self) -> Price {
        let input = self.input.unwrap_or_default();
        let cache_write = self.cache_write.unwrap_or(input);
        Price {
            input,
            output: self.output.unwrap_or_default(),
            cache_read: self.cache_read.unwrap_or(input),
            cache_write,
            cache_write_1h: self.cache_write_1h.unwrap_or(cache_write),
            per_request: self.per_request.unwrap_or_default(),
        }
    }

    /// The operator's word over the catalog's: it may set anything.
    #[must_use]
    pub fn over(&self, price: &Price) -> Price {
        self.each(price, |stated, _| stated)
    }

    /// A target's word over the catalog's: it may raise a component, never lower it.
    #[must_use]
    pub fn raise(&self, price: &Price) -> Price {
        self.each(price, Nano::max)
    }

    fn each(&self, price: &Price, pick: impl Fn(Nano, Nano) -> Nano) -> Price {
        let pick = |stated: Option<Nano>, known| stated.map_or(known, |s| pick(s, known));
        Price {
            input: pick(self.input, price.input),
            output: pick(self.output, price.output),
            cache_read: pick(self.cache_read, price.cache_read),
            cache_write: pick(self.cache_write, price.cache_write),
            cache_write_1h: pick(self.cache_write_1h, price.cache_write_1h),
            per_request: pick(self.per_request, price.per_request),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PRICE: Price = Price {
        input: Nano(10),
        output: Nano(20),
        cache_read: Nano(1),
        cache_write: Nano(12),
        cache_write_1h: Nano(15),
        per_request: Nano(0),
    };

    #[test]
    fn a_cost_is_rounded_up_once() {
        let price = Price { input: Nano(35_000_000), output: Nano(140_000_000), ..Price::default() };
        assert_eq!(price.cost(&Usage { input: 1_000, output: 1, ..Usage::default() }), Nano(35_140));
        let tiny = Price { input: Nano(1), output: Nano(1), ..Price::default() };
        assert_eq!(
            tiny.cost(&Usage { input: 1, output: 1, ..Usage::default() }),
            Nano(1),
            "two fractions make one nano-dollar"
        );
        assert_eq!(Price { per_request: Nano(7), ..tiny }.cost(&Usage::default()), Nano(7));
    }

    #[test]
    fn an_operator_sets_anything_and_a_target_only_raises() {
        let part = PricePart { input: Some(Nano(5)), output: Some(Nano(30)), ..PricePart::default() };
        assert_eq!(part.over(&PRICE), Price { input: Nano(5), output: Nano(30), ..PRICE });
        assert_eq!(part.raise(&PRICE), Price { output: Nano(30), ..PRICE });
        let alone = part.alone();
        assert_eq!((alone.cache_read, alone.cache_write, alone.cache_write_1h), (Nano(5), Nano(5), Nano(5)));
        assert!(PricePart { input: Some(Nano::ZERO), ..PricePart::default() }.alone().is_free(), "an explicit 0");
    }

    proptest! {
        #[test]
        fn no_usage_within_the_bounds_costs_more_than_the_worst_case(
            prices in prop::array::uniform6(0..10_u64.pow(12)),
            parts in prop::array::uniform4(0..100_000_u64),
            output in 0..100_000_u64,
        ) {
            let [input, out, cache_read, cache_write, cache_write_1h, per_request] = prices.map(Nano);
            let price = Price { input, output: out, cache_read, cache_write, cache_write_1h, per_request };
            let [plain, read, write, write_1h] = parts;
            let usage = Usage { input: plain, output, cache_read: read, cache_write: write, cache_write_1h: write_1h };
            prop_assert!(price.cost(&usage) <= price.worst_case(parts.iter().sum(), output));
        }
    }
}
