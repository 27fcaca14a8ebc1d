//! What speaks at the other end: a target and a request in, one attempt ready to go out; its answer in, steps for the client out.

pub mod agent_core;
mod answer;
pub mod anthropic;
pub mod bedrock;
mod names;
pub mod openai;
pub mod passed;
pub mod prompt;
pub mod sagemaker;
pub mod signed;
pub mod simulated;
mod text;
pub mod translated;

pub use names::ToolNames;

use crate::attempt::{Job, Skip};
use crate::chat::{Size, StreamEvent, UpstreamError};
use crate::surface::Form;
use crate::surface::bedrock::Api;
use crate::upstream::Policy;
use bedrock::{TextFamily, TextRequest};
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Request};
use http_body_util::Full;
use std::future::poll_fn;
use std::task::{Context, Poll};
use tollway_core::spend::{Shape, Usage};
use tollway_core::table::{Bedrock, Provider, Route, Target};

/// One attempt, built and not yet paid for.
#[derive(Debug)]
pub struct Prepared {
    /// What bounds the input tokens.
    pub shape: Shape,
    pub call: Call,
}

/// How an attempt is made.
#[derive(Debug)]
pub enum Call {
    /// Over the network.
    Send { request: Box<Request<Full<Bytes>>>, policy: Policy, reading: Reading },
    /// Over the network in the client's own words, signed just before.
    Native { api: Api, headers: HeaderMap, body: Bytes },
    /// Over the network, signed just before.
    Converse { body: Bytes, names: ToolNames },
    /// Over the network, signed just before, and translated both ways.
    Signed(Box<signed::Signed>),
    /// Over the network, signed just before: as many calls as it takes.
    Embed { bodies: Vec<Bytes>, texts: usize, base64: bool },
    /// In here.
    Pretend(simulated::Script),
}

/// How an answer over the network is read.
#[derive(Debug)]
pub enum Reading {
    /// Chat completions, for a client of that dialect.
    CompletionsPassed,
    /// Chat completions, for any other client.
    Completions(ToolNames),
    /// Embeddings, for a client of that dialect.
    EmbeddingsPassed,
    /// Anthropic messages, for a client of that dialect.
    MessagesPassed,
    /// Anthropic messages, for any other client.
    Messages(ToolNames),
}

/// Builds the attempt; nothing has been reserved or sent.
///
/// # Errors
/// Why this target is passed over.
pub fn prepare(job: &Job<'_>, route: &Route, target: &Target, output: u32) -> Result<Prepared, Skip> {
    match &target.provider {
        Provider::OpenAi(openai) => openai::prepare(job, route, openai, output),
        Provider::Anthropic(anthropic) => anthropic::prepare(job, route, anthropic, output),
        Provider::Simulated(simulated) => simulated::prepare(job, target, simulated, output),
        Provider::SageMaker(sagemaker) => sagemaker::prepare(job, route, sagemaker, output),
        Provider::AgentCore(agent) => agent_core::prepare(job, agent, output),
        Provider::Bedrock(bedrock) => match (&job.peek.form, TextFamily::of(bedrock.known_as())) {
            (Form::Invocation, _) => Err(Skip::NotHere),
            (Form::Embeddings(request), _) => bedrock::embed(job, bedrock, request),
            (Form::Invoke(_), _) | (Form::Converse(_), None) => bedrock::prepare(job, route, bedrock, output),
            (_, Some(family)) => text_model(job, route, bedrock, family, output),
            (Form::ChatCompletions(_) | Form::Messages(_) | Form::Responses(_), None) => {
                converse(job, route, bedrock, output)
            }
        },
    }
}

/// A Bedrock model with a body of its own.
fn text_model(
    job: &Job<'_>,
    route: &Route,
    target: &Bedrock,
    family: TextFamily,
    output: u32,
) -> Result<Prepared, Skip> {
    let request = job.parsed().map_err(Skip::Inexpressible)?;
    let built = family.build(request, &route.defaults, output).map_err(Skip::Inexpressible)?;
    let TextRequest { body, size } = built;
    let stream = job.peek.stream && family.streams();
    let json = HeaderValue::from_static("application/json");
    let mut headers = HeaderMap::from_iter([(CONTENT_TYPE, json.clone()), (ACCEPT, json)]);
    bedrock::guardrail(&mut headers, target).map_err(Skip::Inexpressible)?;
    let path = bedrock::path(&target.model_id, Api::Invoke.action(stream));
    let reading = signed::Reading { format: signed::Format::Text(family), framed: stream };
    let call = Call::Signed(Box::new(signed::Signed { path, headers, body, reading }));
    Ok(Prepared { shape: shape(&size), call })
}

fn converse(job: &Job<'_>, route: &Route, target: &Bedrock, output: u32) -> Result<Prepared, Skip> {
    bedrock::chats(&job.peek.model, target)?;
    let request = job.parsed().map_err(Skip::Inexpressible)?;
    let built = bedrock::build(request, target, &route.defaults, output).map_err(Skip::Inexpressible)?;
    let bedrock::ConverseRequest { body, size, names } = built;
    Ok(Prepared { shape: shape(&size), call: Call::Converse { body, names } })
}

/// A request's size as the bound on its cost wants it.
#[must_use]
pub fn shape(size: &Size) -> Shape {
    let Size { text_bytes, messages, tools, images, unbounded } = *size;
    Shape {
        bytes: text_bytes,
        messages: messages.into(),
        tools: tools.into(),
        images: images.into(),
        opaque: unbounded > 0,
        texts: 1,
    }
}

/// The name under which money knows what a target runs.
#[must_use]
pub fn model<'a>(target: &'a Target, asked: &'a str) -> &'a str {
    match &target.provider {
        Provider::Bedrock(bedrock) => &bedrock.model_id,
        Provider::OpenAi(openai) => openai.model.as_deref().unwrap_or(asked),
        Provider::Anthropic(anthropic) => &anthropic.model,
        Provider::SageMaker(sagemaker) => &sagemaker.endpoint_name,
        Provider::AgentCore(agent) => &agent.runtime_arn,
        Provider::Simulated(_) => asked,
    }
}

/// Reads a streamed answer of another dialect.
#[derive(Debug)]
pub enum Decoder {
    Bedrock(bedrock::Decoder),
    OpenAi(openai::Decoder),
    Anthropic(anthropic::Decoder),
    Signed(Box<signed::Decoder>),
}

impl Decoder {
    /// Takes the next bytes; gives what they say. After an error nothing more is said.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<StreamEvent> {
        match self {
            Self::Bedrock(decoder) => decoder.feed(bytes),
            Self::OpenAi(decoder) => decoder.feed(bytes),
            Self::Anthropic(decoder) => decoder.feed(bytes),
            Self::Signed(decoder) => decoder.feed(bytes),
        }
    }

    /// The upstream has ended: nothing when everything had come, else the error that it had not.
    pub fn end(&mut self) -> Vec<StreamEvent> {
        match self {
            Self::Bedrock(decoder) => decoder.end().into_iter().collect(),
            Self::OpenAi(decoder) => decoder.end(),
            Self::Anthropic(decoder) => decoder.end().into_iter().collect(),
            Self::Signed(decoder) => decoder.end(),
        }
    }

    /// Whether everything has come: the stream may end now.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        match self {
            Self::Bedrock(decoder) => decoder.is_complete(),
            Self::OpenAi(decoder) => decoder.is_complete(),
            Self::Anthropic(decoder) => decoder.is_complete(),
            Self::Signed(decoder) => decoder.is_complete(),
        }
    }
}

/// A streamed answer, whoever gives it.
#[derive(Debug)]
pub enum Source {
    Passed(passed::Passed),
    Native(Box<bedrock::Passed>),
    Translated(Box<translated::Translated>),
    Pretended(simulated::Pretended),
}

/// The next thing a streamed answer does.
#[derive(Debug)]
pub enum Step {
    /// Bytes in the client's dialect; never empty.
    Bytes(Bytes),
    /// The answer is complete.
    End,
    /// The answer broke; nothing follows.
    Failed(UpstreamError),
}

impl Source {
    pub fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        match self {
            Self::Passed(passed) => passed.poll_step(cx),
            Self::Native(passed) => passed.poll_step(cx),
            Self::Translated(translated) => translated.poll_step(cx),
            Self::Pretended(pretended) => pretended.poll_step(cx),
        }
    }

    /// The next step.
    pub async fn step(&mut self) -> Step {
        poll_fn(|cx| self.poll_step(cx)).await
    }

    /// What the answer used, as far as it was said.
    #[must_use]
    pub fn usage(&self) -> Option<Usage> {
        match self {
            Self::Passed(passed) => passed.usage(),
            Self::Native(passed) => passed.usage(),
            Self::Translated(translated) => translated.usage(),
            Self::Pretended(pretended) => pretended.usage(),
        }
    }

    /// Whether the answer is complete, although the upstream's end may not have been read.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        match self {
            Self::Passed(passed) => passed.is_complete(),
            Self::Native(passed) => passed.is_complete(),
            Self::Translated(translated) => translated.is_complete(),
            Self::Pretended(pretended) => pretended.is_complete(),
        }
    }

    /// Whether an event of our own may follow what the client got so far.
    #[must_use]
    pub const fn is_between_events(&self) -> bool {
        match self {
            Self::Passed(passed) => passed.is_between_events(),
            Self::Native(_) | Self::Translated(_) | Self::Pretended(_) => true,
        }
    }

    /// How many events the client got or is about to get, in a dialect that numbers them.
    #[must_use]
    pub fn events(&self) -> u64 {
        match self {
            Self::Passed(_) | Self::Native(_) => 0,
            Self::Translated(translated) => translated.events(),
            Self::Pretended(pretended) => pretended.events(),
        }
    }

    /// Reads on to the end for nothing but the usage.
    pub async fn drain(&mut self) -> Option<Usage> {
        loop {
            match self.step().await {
                Step::Bytes(_) => {}
                Step::End => return self.usage(),
                Step::Failed(_) => return None,
            }
        }
    }
}
