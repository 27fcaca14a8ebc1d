//! `ChatResponse`: a complete answer, and the usage that both complete answers and streams report.

use super::content::Block;
use tollway_core::spend;

/// One complete answer.
#[derive(Clone, Debug, PartialEq)]
pub struct ChatResponse {
    /// The provider's id of the answer, when it gives one.
    pub id: Option<String>,
    /// The model that answered, when the provider says it.
    pub model: Option<String>,
    /// The answer.
    pub content: Vec<Block>,
    /// Why it ended.
    pub finish: FinishReason,
    /// The stop sequence that ended it.
    pub stop_sequence: Option<String>,
    /// Tokens used; absent: the provider did not say.
    pub usage: Option<Usage>,
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinishReason {
    /// It was complete.
    Stop,
    /// A stop sequence came up.
    StopSequence,
    /// The output bound or the context window was reached.
    Length,
    /// The model waits for tool results.
    ToolUse,
    /// A content filter or guardrail stepped in.
    ContentFilter,
    /// The model declined.
    Refusal,
}

/// Tokens of one attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// What is charged: disjoint counts.
    pub tokens: spend::Usage,
    /// How many of the output tokens were thought; 0 also when the provider does not say.
    pub reasoning: u64,
}

impl Usage {
    /// Every input token, cached ones included.
    #[must_use]
    pub fn input_total(&self) -> u64 {
        let spend::Usage { input, output: _, cache_read, cache_write, cache_write_1h } = self.tokens;
        [cache_read, cache_write, cache_write_1h].into_iter().fold(input, u64::saturating_add)
    }
}
