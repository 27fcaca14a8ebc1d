//! Content of messages: the blocks a user, a system prompt or a model can put into one.

use super::json::Json;

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Instructions of the application (`system` and `developer` on the OpenAI surface).
    System,
    /// The user; tool results are theirs too.
    User,
    /// The model.
    Assistant,
}

/// One piece of content.
#[derive(Clone, Debug, PartialEq)]
pub enum Block {
    /// Plain text.
    Text(String),
    /// A picture.
    Image(Image),
    /// A document to read.
    Document(Document),
    /// Speech.
    Audio(Audio),
    /// The model calls a tool.
    ToolUse {
        /// Identifies the call; its result carries the same.
        id: String,
        /// Tool name as the client declared it.
        name: String,
        /// Arguments; an object.
        input: Json,
    },
    /// What a tool call gave.
    ToolResult {
        /// The call's id.
        id: String,
        /// Text, images and documents.
        content: Vec<Block>,
        /// The tool failed.
        is_error: bool,
    },
    /// The model thinks.
    Reasoning {
        /// The thought.
        text: String,
        /// Proof of origin that the provider wants back.
        signature: Option<String>,
    },
    /// A thought that only the provider can read; base64.
    RedactedReasoning(String),
    /// The model declines.
    Refusal(String),
    /// Everything up to here may be cached by the provider.
    CachePoint(CacheTtl),
}

/// How long a provider keeps a prompt prefix.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CacheTtl {
    /// Five minutes.
    #[default]
    FiveMinutes,
    /// One hour.
    OneHour,
}

/// A picture and its media type, such as `image/png`.
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    /// Media type; empty when the source is a URL.
    pub media_type: String,
    /// Where the bytes are.
    pub source: Source,
    /// `low`, `high` or `auto` as the client said it; a hint.
    pub detail: Option<String>,
}

/// A document and its media type, such as `application/pdf`.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// Name shown to the model.
    pub name: Option<String>,
    /// Media type; empty when the source is a URL.
    pub media_type: String,
    /// Where the bytes are.
    pub source: Source,
}

/// A recording.
#[derive(Clone, Debug, PartialEq)]
pub struct Audio {
    /// `wav`, `mp3` and the like.
    pub format: String,
    /// Where the bytes are.
    pub source: Source,
}

/// Where the bytes of a picture, document or recording are.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// Here: base64 with padding, checked. Every dialect carries bytes so; decoding them would be work for nothing.
    Base64(String),
    /// At an address that the provider must fetch.
    Url(String),
    /// In the provider's own store, under this id.
    Stored(String),
}

impl Source {
    /// Bytes that came as base64; none when the text is empty, or not base64 with padding.
    #[must_use]
    pub fn from_base64(text: String) -> Option<Self> {
        let digits = text.trim_end_matches('=');
        let well_formed = !digits.is_empty()
            && text.len().is_multiple_of(4)
            && text.len() - digits.len() <= 2
            && digits.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/'));
        well_formed.then_some(Self::Base64(text))
    }
}
