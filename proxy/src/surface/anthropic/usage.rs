//! The dialect's usage, read from answers and written into them.

use crate::chat::Usage;
use serde::{Deserialize, Serialize};
use tollway_core::spend;

/// Usage as the dialect says it: input without what was cached; cumulative in streams. Absent fields say nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WireUsage {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    input_tokens: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cache_creation_input_tokens: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cache_read_input_tokens: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cache_creation: Option<CacheCreation>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    output_tokens: Option<u64>,
}

/// How long what was written to the cache stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct CacheCreation {
    #[serde(default)]
    ephemeral_5m_input_tokens: u64,
    #[serde(default)]
    ephemeral_1h_input_tokens: u64,
}

impl WireUsage {
    /// Takes over what a later event of the same stream says: counts are cumulative, so the last word stands.
    pub(crate) fn update(&mut self, later: Self) {
        let Self { input_tokens, cache_creation_input_tokens, cache_read_input_tokens, cache_creation, output_tokens } =
            later;
        self.input_tokens = input_tokens.or(self.input_tokens);
        self.cache_creation_input_tokens = cache_creation_input_tokens.or(self.cache_creation_input_tokens);
        self.cache_read_input_tokens = cache_read_input_tokens.or(self.cache_read_input_tokens);
        self.cache_creation = cache_creation.or(self.cache_creation);
        self.output_tokens = output_tokens.or(self.output_tokens);
    }

    /// The usage; none unless both input and output were said: charging nothing for what was not said would be a gift.
    pub(crate) fn said(self) -> Option<Usage> {
        let written = self.cache_creation_input_tokens.unwrap_or(0);
        let detail = self.cache_creation.unwrap_or_default();
        let tokens = spend::Usage {
            input: self.input_tokens?,
            output: self.output_tokens?,
            cache_read: self.cache_read_input_tokens.unwrap_or(0),
            cache_write: written.saturating_sub(detail.ephemeral_1h_input_tokens).max(detail.ephemeral_5m_input_tokens),
            cache_write_1h: detail.ephemeral_1h_input_tokens,
        };
        Some(Usage { tokens, reasoning: 0 })
    }
}

impl From<&Usage> for WireUsage {
    fn from(usage: &Usage) -> Self {
        let spend::Usage { input, output, cache_read, cache_write, cache_write_1h } = usage.tokens;
        let written = cache_write.saturating_add(cache_write_1h);
        Self {
            input_tokens: Some(input),
            cache_creation_input_tokens: Some(written),
            cache_read_input_tokens: Some(cache_read),
            cache_creation: (written > 0).then_some(CacheCreation {
                ephemeral_5m_input_tokens: cache_write,
                ephemeral_1h_input_tokens: cache_write_1h,
            }),
            output_tokens: Some(output),
        }
    }
}
