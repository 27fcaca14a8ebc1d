//! `StreamEvent`: an answer in parts, and `UpstreamError`: how an upstream fails, before or inside a stream.

use super::response::{FinishReason, Usage};

/// One step of a streamed answer. Blocks are numbered from 0 and do not interleave within one number.
#[derive(Clone, Debug, PartialEq)]
pub enum StreamEvent {
    /// The answer begins.
    Start {
        /// The provider's id of the answer.
        id: Option<String>,
        /// The model that answers.
        model: Option<String>,
    },
    /// A block begins.
    BlockStart {
        /// Number of the block.
        index: u32,
        /// What it is.
        block: BlockStart,
    },
    /// More of a block.
    BlockDelta {
        /// Number of the block.
        index: u32,
        /// The part.
        delta: Delta,
    },
    /// A block is complete.
    BlockStop {
        /// Number of the block.
        index: u32,
    },
    /// Nothing more will be said.
    Finish {
        /// Why.
        reason: FinishReason,
        /// The stop sequence that ended it.
        stop_sequence: Option<String>,
    },
    /// Tokens used, once, after `Finish`.
    Usage(Usage),
    /// The upstream failed; nothing follows.
    Error(UpstreamError),
}

/// What a block is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BlockStart {
    /// Text.
    Text,
    /// Thought.
    Reasoning,
    /// A tool call, whose arguments follow as JSON text.
    ToolUse {
        /// Identifies the call.
        id: String,
        /// Tool name as the client declared it.
        name: String,
    },
}

/// Part of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delta {
    /// Text.
    Text(String),
    /// JSON text of tool arguments; only all parts together are well-formed.
    ToolInput(String),
    /// Thought.
    Reasoning(String),
    /// Proof of origin of the thought.
    Signature(String),
    /// Thought that only the provider can read; base64.
    RedactedReasoning(String),
}

/// How an upstream failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {message}")]
pub struct UpstreamError {
    /// What to make of it.
    pub kind: ErrorKind,
    /// HTTP status it came with, or would have come with had it not been inside a stream.
    pub status: u16,
    /// The provider's own name for it, such as `ThrottlingException`.
    pub name: String,
    /// The provider's words.
    pub message: String,
}

/// What to make of an upstream's failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The request is wrong; another target would say the same.
    InvalidRequest,
    /// Credentials are missing, wrong or not allowed to.
    AccessDenied,
    /// No such model or endpoint.
    NotFound,
    /// A quota that waiting does not mend.
    QuotaExceeded,
    /// Too many requests: back off.
    Throttled,
    /// The model is not loaded yet: back off.
    NotReady,
    /// The model took too long.
    Timeout,
    /// The model failed.
    Model,
    /// The provider failed.
    Internal,
    /// The provider is down or full.
    Unavailable,
    /// The stream or body ended before it was complete.
    Truncated,
    /// The answer is not in the provider's own format.
    Malformed,
}

impl ErrorKind {
    /// Whether another target may answer: 408, 424, 429, 5xx and broken transport do; the client's own mistakes do not.
    #[must_use]
    pub fn falls_back(self) -> bool {
        match self {
            Self::InvalidRequest | Self::AccessDenied | Self::NotFound | Self::QuotaExceeded => false,
            Self::Throttled
            | Self::NotReady
            | Self::Timeout
            | Self::Model
            | Self::Internal
            | Self::Unavailable
            | Self::Truncated
            | Self::Malformed => true,
        }
    }

    /// Whether this is back-off rather than a failure of the target's circuit.
    #[must_use]
    pub fn is_back_off(self) -> bool {
        matches!(self, Self::Throttled | Self::NotReady)
    }
}
