//! The shape of a request and a model's bounds in; the most tokens, and so the most money, it can take out.

use super::{nano::Nano, price::Price};
use crate::table::Bounds;

/// Output tokens of a request that says nothing, on a route that says nothing.
pub const DEFAULT_OUTPUT_TOKENS: u64 = 4096;

/// What of a request bears on its input tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// UTF-8 bytes of the final upstream text: system, messages, tool definitions and results.
    pub bytes: u64,
    /// Messages.
    pub messages: u64,
    /// Tool definitions.
    pub tools: u64,
    /// Images.
    pub images: u64,
    /// Something is in it whose tokens its bytes do not bound (documents, audio, video, guardrails): only the context window does.
    pub opaque: bool,
    /// Texts that the model reads each by itself (embeddings); a chat is 1. 0 counts as 1.
    pub texts: u64,
}

/// Most input tokens of a request.
#[must_use]
pub fn input_tokens(bounds: &Bounds, shape: &Shape) -> u64 {
    let window = bounds.context_window.saturating_mul(shape.texts.max(1));
    let Some(per_kilobyte) = bounds.tokens_per_kilobyte.filter(|_| !shape.opaque) else { return window };
    let text = u64::try_from((u128::from(shape.bytes) * u128::from(per_kilobyte)).div_ceil(1000)).unwrap_or(u64::MAX);
    [
        (shape.texts.max(1), bounds.per_request),
        (shape.messages, bounds.per_message),
        (shape.tools, bounds.per_tool),
        (shape.images, bounds.per_image),
    ]
    .into_iter()
    .fold(text, |sum, (count, each)| sum.saturating_add(count.saturating_mul(u64::from(each))))
    .min(window)
}

/// Output tokens of one completion, to be written into the upstream request: the request's own bound, else the route's, else 4096.
#[must_use]
pub fn output_tokens(request: Option<u64>, route: Option<u32>) -> u64 {
    request.or(route.map(u64::from)).unwrap_or(DEFAULT_OUTPUT_TOKENS)
}

/// The most a request can cost: every input token at the dearest input price, `n` completions of `output` tokens each.
#[must_use]
pub fn worst_case(price: &Price, bounds: &Bounds, shape: &Shape, output: u64, n: u64) -> Nano {
    price.worst_case(input_tokens(bounds, shape), output.saturating_mul(n.max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds {
        context_window: 10_000,
        tokens_per_kilobyte: Some(500),
        per_request: 10,
        per_message: 5,
        per_tool: 100,
        per_image: 1_000,
    };

    #[test]
    fn input_is_bounded_by_bytes_and_constants_and_never_above_the_window() {
        let shape = |bytes| Shape { bytes, messages: 2, tools: 1, images: 1, ..Shape::default() };
        assert_eq!(input_tokens(&BOUNDS, &shape(2_001)), 1_001 + 10 + 10 + 100 + 1_000);
        assert_eq!(input_tokens(&BOUNDS, &shape(1_000_000)), 10_000);
        assert_eq!(input_tokens(&BOUNDS, &shape(u64::MAX)), 10_000);
        assert_eq!(input_tokens(&BOUNDS, &Shape { opaque: true, ..shape(1) }), 10_000);
        assert_eq!(input_tokens(&Bounds { tokens_per_kilobyte: None, ..BOUNDS }, &shape(1)), 10_000);
        assert_eq!(input_tokens(&BOUNDS, &Shape { bytes: 1_000_000, texts: 3, ..Shape::default() }), 30_000);
    }

    #[test]
    fn output_is_what_the_request_says_else_the_route_else_4096() {
        assert_eq!(output_tokens(Some(7), Some(9)), 7);
        assert_eq!(output_tokens(None, Some(9)), 9);
        assert_eq!(output_tokens(None, None), 4096);
    }

    #[test]
    fn the_worst_case_counts_every_completion_and_the_dearest_input() {
        let price = Price {
            input: Nano(1_000_000),
            output: Nano(3_000_000),
            cache_write: Nano(2_000_000),
            per_request: Nano(5),
            ..Price::default()
        };
        let shape = Shape { bytes: 200, ..Shape::default() };
        assert_eq!(worst_case(&price, &BOUNDS, &shape, 100, 2), Nano(110 * 2 + 200 * 3 + 5));
        assert_eq!(worst_case(&price, &BOUNDS, &shape, 100, 0), Nano(110 * 2 + 100 * 3 + 5), "one at least");
        assert_eq!(worst_case(&price, &BOUNDS, &shape, u64::MAX, 2), Nano::MAX);
    }
}
