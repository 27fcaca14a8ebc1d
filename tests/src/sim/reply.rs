//! What a model is told to answer: a literal or JSON in, [`Reply`] out.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// An answer to give.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Reply {
    /// Content, in order.
    pub blocks: Vec<Block>,
    /// Tokens in one streamed event.
    #[serde(default = "tokens_per_event")]
    pub tokens_per_event: u64,
    /// Input tokens said to come from the prompt cache; the rest counts as plain input.
    #[serde(default)]
    pub cache_read: u64,
    /// Input tokens said to be written to the prompt cache.
    #[serde(default)]
    pub cache_write: u64,
    /// Generate all of it even beyond the request's limit, as a provider with a fault would.
    #[serde(default)]
    pub ignore_max_tokens: bool,
    /// Overrides the stop reason (Bedrock's word; `content_filtered` becomes `content_filter` on the OpenAI surface).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_reason: Option<String>,
    /// Never says what was used, as some servers do not: no usage on the OpenAI surface, no metadata event in Bedrock streams.
    #[serde(default)]
    pub omit_usage: bool,
}

fn tokens_per_event() -> u64 {
    4
}

/// One block of content.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Block {
    /// This text.
    Text(String),
    /// The last user message's text.
    Echo,
    /// Text of so many tokens.
    Tokens(u64),
    /// A call of a tool.
    #[serde(rename_all = "camelCase")]
    ToolUse {
        /// Identifies the call.
        id: String,
        /// The tool.
        name: String,
        /// Its arguments.
        input: Value,
    },
    /// Thoughts ahead of the answer.
    #[serde(rename_all = "camelCase")]
    Reasoning {
        /// The thoughts.
        text: String,
        /// What Anthropic models sign them with.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        signature: Option<String>,
    },
}

impl Reply {
    /// These blocks.
    #[must_use]
    pub fn blocks(blocks: impl Into<Vec<Block>>) -> Self {
        Self {
            blocks: blocks.into(),
            tokens_per_event: tokens_per_event(),
            cache_read: 0,
            cache_write: 0,
            ignore_max_tokens: false,
            stop_reason: None,
            omit_usage: false,
        }
    }

    /// This text.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self::blocks([Block::Text(text.into())])
    }

    /// The last user message's text.
    #[must_use]
    pub fn echo() -> Self {
        Self::blocks([Block::Echo])
    }

    /// Text of `count` tokens.
    #[must_use]
    pub fn tokens(count: u64) -> Self {
        Self::blocks([Block::Tokens(count)])
    }

    /// One call of a tool.
    #[must_use]
    pub fn tool_use(id: impl Into<String>, name: impl Into<String>, input: Value) -> Self {
        Self::blocks([Block::ToolUse { id: id.into(), name: name.into(), input }])
    }
}
