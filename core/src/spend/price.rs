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
    /// For each image of a request, besides its tokens.
    #[serde(default, skip_serializing_if = "Nano::is_zero")]
    pub per_image: Nano,
    /// What the whole request is charged at when its input is long; absent: the same as any other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub long: Option<Long>,
}

/// Token prices of requests with a long input: they hold for every token of such a request, output included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Long {
    /// The input, cached tokens counted in, must have more tokens than this.
    pub above: u64,
    /// As [`Price::input`].
    pub input: Nano,
    /// As [`Price::output`].
    pub output: Nano,
    /// As [`Price::cache_read`].
    pub cache_read: Nano,
    /// As [`Price::cache_write`].
    pub cache_write: Nano,
    /// As [`Price::cache_write_1h`].
    pub cache_write_1h: Nano,
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
        self.input_tokens().saturating_add(self.output)
    }

    /// Every input token, wherever it came from.
    #[must_use]
    pub const fn input_tokens(&self) -> u64 {
        let Self { input, output: _, cache_read, cache_write, cache_write_1h } = *self;
        input.saturating_add(cache_read).saturating_add(cache_write).saturating_add(cache_write_1h)
    }
}

const PER: u128 = 1_000_000;

impl Price {
    /// The cost of one attempt that used `usage`, rounded up to the next nano-dollar once. A long input is charged as one.
    #[must_use]
    pub fn cost(&self, usage: &Usage) -> Nano {
        match self.long {
            Some(long) if usage.input_tokens() > long.above => long.of(self).tokens_cost(usage),
            _ => self.tokens_cost(usage),
        }
    }

    fn tokens_cost(&self, usage: &Usage) -> Nano {
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
    /// (`n` completions counted in): every input token at the dearest input price, those of long inputs included when it can be one.
    #[must_use]
    pub fn worst_case(&self, input: u64, output: u64) -> Nano {
        let usage = Usage { input, output, ..Usage::default() };
        let dearest = |p: &Self| {
            let input = p.input.max(p.cache_read).max(p.cache_write).max(p.cache_write_1h);
            Self { input, long: None, ..*p }
        };
        let short = dearest(self);
        match self.long {
            Some(long) if input > long.above => {
                let long = dearest(&long.of(self));
                Self { input: long.input.max(short.input), output: long.output.max(short.output), ..short }.cost(&usage)
            }
            _ => short.cost(&usage),
        }
    }

    /// The same price for a request with so many images: what they cost is on top, whatever else is used.
    #[must_use]
    pub fn with_images(&self, images: u64) -> Self {
        let on_top = Nano(self.per_image.0.saturating_mul(images));
        Self { per_request: self.per_request.plus(on_top), per_image: Nano::ZERO, ..*self }
    }

    /// Whether nothing this target does costs anything.
    #[must_use]
    pub fn is_free(&self) -> bool {
        let Self { input, output, cache_read, cache_write, cache_write_1h, per_request, per_image, long } = *self;
        let parts = [input, output, cache_read, cache_write, cache_write_1h, per_request, per_image];
        parts.iter().all(Nano::is_zero) && long.is_none_or(|long| long.of(&Self::default()).is_free())
    }

    /// The same with every amount changed by `change`.
    #[must_use]
    pub fn map(&self, change: impl Fn(Nano) -> Nano) -> Self {
        let Self { input, output, cache_read, cache_write, cache_write_1h, per_request, per_image, long } = *self;
        Self {
            input: change(input),
            output: change(output),
            cache_read: change(cache_read),
            cache_write: change(cache_write),
            cache_write_1h: change(cache_write_1h),
            per_request: change(per_request),
            per_image: change(per_image),
            long: long.map(|long| Long {
                above: long.above,
                input: change(long.input),
                output: change(long.output),
                cache_read: change(long.cache_read),
                cache_write: change(long.cache_write),
                cache_write_1h: change(long.cache_write_1h),
            }),
        }
    }
}

impl Long {
    /// The token prices of `price`, for inputs above so many tokens.
    #[must_use]
    pub const fn new(above: u64, price: &Price) -> Self {
        let Price { input, output, cache_read, cache_write, cache_write_1h, .. } = *price;
        Self { above, input, output, cache_read, cache_write, cache_write_1h }
    }

    /// `price` with these token prices in place of its own.
    #[must_use]
    pub const fn of(&self, price: &Price) -> Price {
        let Self { above: _, input, output, cache_read, cache_write, cache_write_1h } = *self;
        Price { input, output, cache_read, cache_write, cache_write_1h, long: None, ..*price }
    }

    /// None of these below what a short input costs.
    fn at_least(self, price: &Price) -> Self {
        Self {
            above: self.above,
            input: self.input.max(price.input),
            output: self.output.max(price.output),
            cache_read: self.cache_read.max(price.cache_read),
            cache_write: self.cache_write.max(price.cache_write),
            cache_write_1h: self.cache_write_1h.max(price.cache_write_1h),
        }
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
    /// As [`Price::per_image`].
    pub per_image: Option<Nano>,
    /// As [`Price::long`].
    pub long: Option<LongPart>,
}

/// Prices of long inputs as somebody states them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LongPart {
    /// As [`Long::above`].
    pub above: u64,
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
}

impl LongPart {
    /// What is not stated is as before, or what is known of a short input.
    fn over(&self, price: &Price, before: Option<Long>) -> Long {
        let before = before.unwrap_or_else(|| Long::new(self.above, price));
        Long {
            above: self.above,
            input: self.input.unwrap_or(before.input),
            output: self.output.unwrap_or(before.output),
            cache_read: self.cache_read.unwrap_or(before.cache_read),
            cache_write: self.cache_write.unwrap_or(before.cache_write),
            cache_write_1h: self.cache_write_1h.unwrap_or(before.cache_write_1h),
        }
    }

    /// A whole from this alone, cache components as [`PricePart::alone`] has them.
    fn alone(&self, price: &Price) -> Long {
        let stated = PricePart {
            input: self.input.or(Some(price.input)),
            output: self.output.or(Some(price.output)),
            cache_read: self.cache_read,
            cache_write: self.cache_write,
            cache_write_1h: self.cache_write_1h,
            ..PricePart::default()
        };
        Long::new(self.above, &stated.alone())
    }
}

impl PricePart {
    /// A whole price from this alone: what is not stated about a cache costs what plain input costs, what else is not stated costs nothing.
    #[must_use]
    pub fn alone(&self) -> Price {
        let input = self.input.unwrap_or_default();
        let cache_write = self.cache_write.unwrap_or(input);
        let price = Price {
            input,
            output: self.output.unwrap_or_default(),
            cache_read: self.cache_read.unwrap_or(input),
            cache_write,
            cache_write_1h: self.cache_write_1h.unwrap_or(cache_write),
            per_request: self.per_request.unwrap_or_default(),
            per_image: self.per_image.unwrap_or_default(),
            long: None,
        };
        Price { long: self.long.map(|long| long.alone(&price).at_least(&price)), ..price }
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

    /// A long input never costs less than a short one, so that what raises the one raises the other.
    fn each(&self, price: &Price, pick: impl Fn(Nano, Nano) -> Nano) -> Price {
        let pick = |stated: Option<Nano>, known| stated.map_or(known, |s| pick(s, known));
        let known = Price {
            input: pick(self.input, price.input),
            output: pick(self.output, price.output),
            cache_read: pick(self.cache_read, price.cache_read),
            cache_write: pick(self.cache_write, price.cache_write),
            cache_write_1h: pick(self.cache_write_1h, price.cache_write_1h),
            per_request: pick(self.per_request, price.per_request),
            per_image: pick(self.per_image, price.per_image),
            long: None,
        };
        let long = self.long.map(|stated| stated.over(&known, price.long)).or(price.long);
        Price { long: long.map(|long| long.at_least(&known)), ..known }
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
        per_image: Nano(0),
        long: None,
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

    #[test]
    fn a_long_input_is_charged_as_one_with_all_its_tokens() {
        let long = LongPart {
            above: 200,
            input: Some(Nano(20_000_000)),
            output: Some(Nano(30_000_000)),
            ..LongPart::default()
        };
        let part = PricePart { input: Some(Nano(10_000_000)), output: Some(Nano(20_000_000)), ..PricePart::default() };
        let price = PricePart { long: Some(long), ..part }.alone();
        let usage = |input, cache_read| Usage { input, cache_read, output: 10, ..Usage::default() };
        assert_eq!(price.cost(&usage(200, 0)), Nano(200 * 10 + 10 * 20), "at the threshold it is short");
        assert_eq!(price.cost(&usage(201, 0)), Nano(201 * 20 + 10 * 30));
        assert_eq!(price.cost(&usage(1, 200)), Nano(201 * 20 + 10 * 30), "cached tokens count");
        assert_eq!(price.worst_case(200, 10), Nano(200 * 10 + 10 * 20));
        assert_eq!(price.worst_case(201, 10), Nano(201 * 20 + 10 * 30));
        let raised = PricePart { input: Some(Nano(25_000_000)), ..PricePart::default() }.raise(&price);
        assert_eq!(raised.long.unwrap().input, Nano(25_000_000), "a raise reaches long inputs");
        assert_eq!(raised.long.unwrap().output, Nano(30_000_000));
    }

    #[test]
    fn images_are_on_top_of_tokens() {
        let price = Price { per_image: Nano(60_000), per_request: Nano(5), ..PRICE };
        assert_eq!(price.with_images(3).cost(&Usage::default()), Nano(180_005));
        assert_eq!(price.with_images(0).cost(&Usage::default()), Nano(5));
        assert_eq!(price.with_images(u64::MAX).worst_case(0, 0), Nano::MAX, "too much to hold is never little");
        assert!(!Price { per_image: Nano(1), ..Price::default() }.is_free());
    }

    #[test]
    fn a_price_of_an_older_version_reads_as_it_was_and_is_written_as_it_was() {
        let old = r#"{"input":10,"output":20,"cacheRead":1,"cacheWrite":12,"cacheWrite1h":15,"perRequest":0}"#;
        let read: Price = serde_json::from_str(old).unwrap();
        assert_eq!(read, PRICE);
        assert_eq!(serde_json::to_string(&read).unwrap(), old);
    }

    proptest! {
        #[test]
        fn no_usage_within_the_bounds_costs_more_than_the_worst_case(
            prices in prop::array::uniform7(0..10_u64.pow(12)),
            long in prop::option::of((0..400_000_u64, prop::array::uniform5(0..10_u64.pow(12)))),
            parts in prop::array::uniform4(0..100_000_u64),
            (output, images) in (0..100_000_u64, 0..20_u64),
        ) {
            let [input, out, cache_read, cache_write, cache_write_1h, per_request, per_image] = prices.map(Nano);
            let long = long.map(|(above, prices)| {
                let [input, output, cache_read, cache_write, cache_write_1h] = prices.map(Nano);
                Long { above, input, output, cache_read, cache_write, cache_write_1h }
            });
            let price = Price { input, output: out, cache_read, cache_write, cache_write_1h, per_request, per_image, long };
            let price = price.with_images(images);
            let [plain, read, write, write_1h] = parts;
            let usage = Usage { input: plain, output, cache_read: read, cache_write: write, cache_write_1h: write_1h };
            prop_assert!(price.cost(&usage) <= price.worst_case(parts.iter().sum(), output));
        }

        #[test]
        fn a_target_lowers_no_cost(
            prices in prop::array::uniform7(0..10_u64.pow(12)),
            above in prop::option::of(0..10_000_u64),
            stated in prop::array::uniform6(prop::option::of(0..10_u64.pow(12))),
            parts in prop::array::uniform5(0..10_000_u64),
        ) {
            let [input, out, cache_read, cache_write, cache_write_1h, per_request, per_image] = prices.map(Nano);
            let known = Price { input, output: out, cache_read, cache_write, cache_write_1h, per_request, per_image, long: None };
            let known = Price { long: above.map(|above| Long::new(above, &known.map(|n| n.plus(n)))), ..known };
            let [input, output, cache_read, cache_write, cache_write_1h, per_request] = stated.map(|n| n.map(Nano));
            let part =
                PricePart { input, output, cache_read, cache_write, cache_write_1h, per_request, ..PricePart::default() };
            let [plain, output, read, write, write_1h] = parts;
            let usage = Usage { input: plain, output, cache_read: read, cache_write: write, cache_write_1h: write_1h };
            prop_assert!(part.raise(&known).cost(&usage) >= known.cost(&usage));
        }
    }
}
