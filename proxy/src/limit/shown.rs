//! What remains of a route's rates in, the headers by which clients and their SDKs pace themselves out: OpenAI's names, in every dialect.

use http::{HeaderMap, HeaderName, HeaderValue};
use tollway_core::rate::View;

const REQUESTS: [HeaderName; 3] = [
    HeaderName::from_static("x-ratelimit-limit-requests"),
    HeaderName::from_static("x-ratelimit-remaining-requests"),
    HeaderName::from_static("x-ratelimit-reset-requests"),
];
const TOKENS: [HeaderName; 3] = [
    HeaderName::from_static("x-ratelimit-limit-tokens"),
    HeaderName::from_static("x-ratelimit-remaining-tokens"),
    HeaderName::from_static("x-ratelimit-reset-tokens"),
];

/// The tightest of the rates on requests and of those on tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    requests: Option<View>,
    tokens: Option<View>,
}

impl Shown {
    pub(super) fn note(&mut self, of_tokens: bool, view: View) {
        let slot = if of_tokens { &mut self.tokens } else { &mut self.requests };
        // The one that leaves least, and of those the one that takes longest.
        let key = |view: &View| (view.remaining, u64::MAX - view.reset);
        if slot.as_ref().is_none_or(|held| key(&view) < key(held)) {
            *slot = Some(view);
        }
    }

    pub fn write(&self, headers: &mut HeaderMap) {
        for (names, view) in [(REQUESTS, self.requests), (TOKENS, self.tokens)] {
            let Some(View { limit, remaining, reset }) = view else { continue };
            let [limit_name, remaining_name, reset_name] = names;
            headers.insert(limit_name, limit.into());
            headers.insert(remaining_name, remaining.into());
            headers.extend(HeaderValue::try_from(duration(reset)).ok().map(|value| (reset_name, value)));
        }
    }
}

/// As OpenAI writes it: `6m0s`, `1.5s`, `20ms`.
pub fn duration(nanos: u64) -> String {
    let millis = nanos.div_ceil(1_000_000);
    let (hours, minutes, seconds) = (millis / 3_600_000, millis / 60_000 % 60, millis % 60_000);
    let (whole, rest) = (seconds / 1_000, seconds % 1_000);
    let rest = if rest == 0 { String::new() } else { format!(".{rest:03}").trim_end_matches('0').to_owned() };
    match (hours, minutes) {
        (0, 0) if millis < 1_000 => format!("{millis}ms"),
        (0, 0) => format!("{whole}{rest}s"),
        (0, _) => format!("{minutes}m{whole}{rest}s"),
        (..) => format!("{hours}h{minutes}m{whole}{rest}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_openai_writes_them() {
        let shown =
            [0, 1, 20_000_000, 1_000_000_000, 1_500_000_000, 60_000_000_000, 360_000_000_000, 86_400_000_000_000];
        assert_eq!(shown.map(duration), ["0ms", "1ms", "20ms", "1s", "1.5s", "1m0s", "6m0s", "24h0m0s"]);
    }
}
