//! Client dialects: bytes of one vendor's API in, the internal form out, and back.

pub mod anthropic;
pub mod bedrock;
mod edits;
pub mod embeddings;
mod members;
mod node;
pub mod openai;
pub mod responses;
pub mod sagemaker;

use crate::chat::{Size, StreamEvent, Usage};
use tokio::time::Instant;

/// What a request says about itself, whatever its dialect: what routing, limits and money need to know.
#[derive(Clone, Debug, PartialEq)]
pub struct Peek {
    /// Model name.
    pub model: String,
    /// The answer is wanted as a stream.
    pub stream: bool,
    /// The stream's usage chunk is wanted; only a question where a dialect makes it one.
    pub include_usage: bool,
    /// Most output tokens; the least one where several fields say it.
    pub max_tokens: Option<u32>,
    /// Completions the provider may make and charge.
    pub n: u32,
    /// End user as the client named them.
    pub user: Option<String>,
    /// How large the request is when it is passed through.
    pub size: Size,
    /// How the bytes are laid out, for a target that speaks the same dialect.
    pub form: Form,
}

/// The shape of a request's bytes.
#[derive(Clone, Debug, PartialEq)]
pub enum Form {
    /// OpenAI chat completions.
    ChatCompletions(openai::Spans),
    /// Anthropic Messages.
    Messages(anthropic::Spans),
    /// OpenAI responses, already read: every target gets a translation.
    Responses(Box<responses::Request>),
    /// OpenAI embeddings, already read.
    Embeddings(embeddings::Request),
    /// SageMaker's InvokeEndpoint: read once it is known what the endpoint's container speaks.
    Invocation,
    /// Converse and ConverseStream.
    Converse(bedrock::Spans),
    /// InvokeModel and InvokeModelWithResponseStream.
    Invoke(bedrock::Invoke),
}

/// What an answer carries that the upstream does not decide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Id of the answer, such as `chatcmpl-...`.
    pub id: String,
    /// Unix time in seconds.
    pub created: u64,
    /// When the request came in, for a dialect that says how long it took.
    pub began: Option<Instant>,
    /// Model name; the one that the client asked for.
    pub model: String,
}

/// Renders one stream in the client's dialect.
pub enum Renderer {
    OpenAi(openai::StreamRenderer),
    Anthropic(anthropic::StreamRenderer),
    Responses(Box<responses::StreamRenderer>),
    Bedrock(bedrock::StreamRenderer),
}

impl Renderer {
    /// Appends what `event` says to `out`.
    pub fn event(&mut self, event: &StreamEvent, out: &mut Vec<u8>) {
        match self {
            Self::OpenAi(renderer) => renderer.event(event, out),
            Self::Anthropic(renderer) => renderer.event(event, out),
            Self::Responses(renderer) => renderer.event(event, out),
            Self::Bedrock(renderer) => renderer.event(event, out),
        }
    }

    /// Ends the stream; nothing when the answer is not complete.
    pub fn end(&mut self, out: &mut Vec<u8>) {
        match self {
            Self::OpenAi(renderer) => renderer.end(out),
            Self::Anthropic(renderer) => renderer.end(out),
            Self::Responses(renderer) => renderer.end(out),
            Self::Bedrock(renderer) => renderer.end(out),
        }
    }

    /// How many events were rendered, in a dialect that numbers them.
    #[must_use]
    pub fn events(&self) -> u64 {
        match self {
            Self::Responses(renderer) => renderer.events(),
            Self::OpenAi(_) | Self::Anthropic(_) | Self::Bedrock(_) => 0,
        }
    }

    /// Tokens used, once the upstream has said it.
    #[must_use]
    pub fn usage(&self) -> Option<&Usage> {
        match self {
            Self::OpenAi(renderer) => renderer.usage(),
            Self::Anthropic(renderer) => renderer.usage(),
            Self::Responses(renderer) => renderer.usage(),
            Self::Bedrock(renderer) => renderer.usage(),
        }
    }
}
