//! The dialect a client speaks: errors, keep-alives and stream errors in, its bytes out; and the headers every response carries.

use crate::chat::{ChatRequest, ChatResponse};
use crate::error::ApiError;
use crate::surface::bedrock::{self, Api};
use crate::surface::{Form, Head, Peek, Renderer, anthropic, embeddings, openai, responses, sagemaker};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tollway_core::spend::Usage;
use tollway_core::table::Prompt;

pub const ROUTE: HeaderName = HeaderName::from_static("x-tollway-route");
pub const TARGET: HeaderName = HeaderName::from_static("x-tollway-target");
pub const ATTEMPTS: HeaderName = HeaderName::from_static("x-tollway-attempts");
pub const COST: HeaderName = HeaderName::from_static("x-tollway-cost-usd");
pub const CACHE: HeaderName = HeaderName::from_static("x-tollway-cache");
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-tollway-request-id");
pub const REMAINING: HeaderName = HeaderName::from_static("x-tollway-budget-remaining-usd");
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// A vendor's way of speaking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// OpenAI's first way: chat completions, models.
    OpenAi,
    Anthropic,
    /// OpenAI's later way.
    Responses,
    /// One of the Bedrock runtime's two ways.
    Bedrock(Api),
    /// The SageMaker runtime's InvokeEndpoint, which embeds and nothing else.
    SageMaker,
}

impl Dialect {
    /// The name that logs use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Anthropic => "anthropic",
            Self::Responses => "responses",
            Self::Bedrock(_) => "bedrock",
            Self::SageMaker => "sagemaker",
        }
    }

    /// What ids of answers begin with.
    #[must_use]
    pub const fn id_prefix(self) -> &'static str {
        match self {
            Self::OpenAi => "chatcmpl-",
            Self::Anthropic => "msg_",
            Self::Responses => "resp_",
            Self::Bedrock(_) | Self::SageMaker => "",
        }
    }

    /// The content type of an answer.
    #[must_use]
    pub const fn content_type(self, stream: bool) -> &'static str {
        match self {
            Self::OpenAi | Self::Anthropic | Self::Responses if stream => "text/event-stream",
            Self::Bedrock(_) if stream => "application/vnd.amazon.eventstream",
            _ => "application/json",
        }
    }

    /// What routing, limits and money need to know of a request.
    ///
    /// # Errors
    /// What is wrong with the request.
    pub fn peek(self, path: &str, body: &[u8]) -> Result<Peek, ApiError> {
        match self {
            Self::OpenAi if path == "/v1/embeddings" => embeddings::peek(body),
            Self::OpenAi => openai::peek(body),
            Self::Anthropic => anthropic::peek(body),
            Self::Responses => responses::peek(body),
            Self::Bedrock(_) => bedrock::peek(path, body),
            Self::SageMaker => sagemaker::peek(path, body),
        }
    }

    /// The request with a route's own text before the conversation.
    ///
    /// # Errors
    /// This way of asking has no place for it.
    pub fn prepend(self, body: &Bytes, prompt: &Prompt) -> Result<Bytes, ApiError> {
        match self {
            Self::OpenAi => Ok(openai::prepend(body, prompt)),
            Self::Anthropic => Ok(anthropic::prepend(body, prompt)),
            // Its answers repeat the request, which this text is no part of: it goes into what was read.
            Self::Responses => Ok(body.clone()),
            Self::Bedrock(Api::Converse) => Ok(bedrock::prepend(body, prompt)),
            Self::SageMaker => Ok(body.clone()),
            Self::Bedrock(Api::Invoke) => Err(ApiError::invalid(
                "this route puts text of its own before the conversation, which InvokeModel has no place for: use Converse",
            )),
        }
    }

    /// The request in the internal form.
    ///
    /// # Errors
    /// What is wrong with the request.
    pub fn parse(self, body: &[u8], peek: &Peek) -> Result<ChatRequest, ApiError> {
        match self {
            Self::OpenAi => openai::parse(body),
            Self::Anthropic => anthropic::parse(body),
            Self::Responses => match &peek.form {
                Form::Responses(request) => Ok(request.chat.clone()),
                _ => Err(ApiError::invalid("this is no responses request")),
            },
            Self::Bedrock(_) => bedrock::parse(body, peek),
            Self::SageMaker => Err(ApiError::invalid("this is no conversation")),
        }
    }

    /// The body of a complete answer.
    #[must_use]
    pub fn render(self, response: &ChatResponse, head: &Head, peek: &Peek) -> Bytes {
        match self {
            Self::OpenAi | Self::SageMaker => openai::render(response, head),
            Self::Anthropic => anthropic::render(response, head),
            Self::Responses => responses::render(response, head, &echo(peek)),
            Self::Bedrock(_) => bedrock::render(response, head),
        }
    }

    /// What renders a streamed answer.
    #[must_use]
    pub fn renderer(self, head: Head, peek: &Peek) -> Renderer {
        match self {
            Self::OpenAi | Self::SageMaker => {
                Renderer::OpenAi(openai::StreamRenderer::new(head, peek.include_usage))
            }
            Self::Anthropic => Renderer::Anthropic(anthropic::StreamRenderer::new(head)),
            Self::Responses => Renderer::Responses(Box::new(responses::StreamRenderer::new(head, echo(peek)))),
            Self::Bedrock(_) => Renderer::Bedrock(bedrock::StreamRenderer::new(head.began)),
        }
    }

    /// The status of an error response.
    #[must_use]
    pub fn status(self, error: &ApiError) -> StatusCode {
        match self {
            Self::OpenAi | Self::Anthropic | Self::Responses => error.status,
            Self::Bedrock(_) => bedrock::status(error),
            Self::SageMaker => sagemaker::status(error),
        }
    }

    /// The body of an error response.
    #[must_use]
    pub fn error(self, error: &ApiError) -> Bytes {
        match self {
            Self::OpenAi | Self::Responses => openai::render_error(error),
            Self::Anthropic => anthropic::render_error(error),
            Self::Bedrock(_) => bedrock::render_error(error),
            Self::SageMaker => sagemaker::render_error(error),
        }
    }

    /// The event that ends a stream which cannot be completed; `events` went before it, in a dialect that numbers them.
    #[must_use]
    pub fn stream_error(self, error: &ApiError, events: u64) -> Bytes {
        match self {
            Self::OpenAi | Self::SageMaker => openai::render_stream_error(error),
            Self::Anthropic => anthropic::render_stream_error(error),
            Self::Responses => responses::render_stream_error(error, events),
            Self::Bedrock(_) => bedrock::render_stream_error(error),
        }
    }

    /// What is said in silence so that nobody on the way thinks the stream is dead; none where the dialect has no word for it.
    #[must_use]
    pub const fn keep_alive(self) -> Option<Bytes> {
        match self {
            Self::OpenAi | Self::Responses => Some(Bytes::from_static(b": keep-alive\n\n")),
            Self::Anthropic => Some(Bytes::from_static(b"event: ping\ndata: {\"type\": \"ping\"}\n\n")),
            Self::Bedrock(_) | Self::SageMaker => None,
        }
    }

    /// Whether its clients sign their requests.
    #[must_use]
    pub const fn is_signed(self) -> bool {
        matches!(self, Self::Bedrock(_))
    }

    /// Headers of an answer that its clients read.
    pub fn introduce(self, headers: &mut HeaderMap, id: &str, stream: bool, usage: Option<&Usage>) {
        match self {
            Self::OpenAi | Self::Responses | Self::SageMaker => {}
            // The package shows it with every answer.
            Self::Anthropic => _ = HeaderValue::from_str(id).map(|id| headers.insert("request-id", id)),
            Self::Bedrock(api) => bedrock::introduce(headers, api, id, stream, usage),
        }
    }
}

/// What an answer to a responses request repeats of it.
fn echo(peek: &Peek) -> responses::Echo {
    match &peek.form {
        Form::Responses(request) => request.echo.clone(),
        _ => responses::Echo::default(),
    }
}

/// Headers by which clients and their SDKs judge an error: when to come back, and whether at all.
pub fn explain(headers: &mut HeaderMap, error: &ApiError, dialect: Dialect) {
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(dialect.content_type(false)));
    if let Some(after) = error.retry_after {
        // Rounded up: a client that comes back a moment early is refused again.
        let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    match dialect {
        Dialect::OpenAi | Dialect::Anthropic | Dialect::Responses => {}
        Dialect::Bedrock(_) => bedrock::explain(headers, error),
        Dialect::SageMaker => sagemaker::explain(headers, error),
    }
    if error.is_final() {
        headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
    }
}
