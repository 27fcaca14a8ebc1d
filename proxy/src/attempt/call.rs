//! One built and paid attempt in; an answer that has begun, or how it failed and what that costs, out.

use super::failure::{self, Failure};
use super::read::{self, Unread};
use super::{Job, Place};
use crate::chat;
use crate::meter::{Metered, Money};
use crate::provider::bedrock::{self, AwsError, ToolNames};
use crate::provider::passed::{Passed, PassedMeter};
use crate::provider::signed::{Signed, destination};
use crate::provider::simulated::{Pretended, Script};
use crate::provider::translated::Translated;
use crate::provider::{Call, Decoder, Reading, Source, Step, anthropic, openai};
use crate::stack::Proxy;
use crate::surface;
use crate::surface::bedrock::Api;
use crate::trace;
use crate::upstream::{Policy, SendError};
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};
use tollway_core::spend::Usage;
use tollway_core::table::Provider;

/// An attempt that is being made.
pub struct Calling<'a> {
    pub proxy: &'a Proxy,
    pub job: &'a Job<'a>,
    pub place: &'a Place<'a>,
    /// By when the first byte must be here.
    pub deadline: Instant,
    pub metered: &'a mut Metered,
}

/// An upstream that answers.
pub enum Began {
    /// With the first bytes for the client.
    Stream(Box<Source>, Bytes),
    Whole(Bytes, Option<Usage>),
}

/// A failure, and what it costs.
pub struct Failed {
    pub failure: Failure,
    pub money: Money,
}

impl Failed {
    /// Never sent, or a complete HTTP error before any stream.
    const fn free(failure: Failure) -> Self {
        Self { failure, money: Money::Nothing }
    }

    /// The target may have worked.
    const fn in_full(failure: Failure) -> Self {
        Self { failure, money: Money::InFull }
    }
}

impl Calling<'_> {
    pub async fn make(mut self, call: Call) -> Result<Began, Failed> {
        match call {
            Call::Send { request, policy, reading } => self.over_http(*request, policy, reading).await,
            Call::Native { api, headers, body } => self.native(api, headers, body).await,
            Call::Converse { body, names } => self.converse(body, names).await,
            Call::Signed(signed) => self.translated(*signed).await,
            Call::Embed { bodies, texts, base64 } => self.embed(bodies, texts, base64).await,
            Call::Pretend(script) => self.pretend(script).await,
        }
    }

    /// A target with a key of its own, or none: bytes out, bytes back, translated where the client speaks otherwise.
    async fn over_http(
        &mut self,
        request: Request<Full<Bytes>>,
        policy: Policy,
        reading: Reading,
    ) -> Result<Began, Failed> {
        let (head, body) = self.send(request, policy).await?.into_parts();
        if !head.status.is_success() {
            let said = self.read_error(body).await?;
            return Err(Failed::free(Failure::status(self.place.name, &head, &openai::read_error(&said))));
        }
        let job = self.job;
        if job.peek.stream {
            let decoder = match reading {
                Reading::CompletionsPassed | Reading::EmbeddingsPassed => {
                    let meter = PassedMeter::Completions(surface::openai::Meter::new(!job.peek.include_usage));
                    return self.first_byte(Source::Passed(Passed::new(body, meter))).await;
                }
                Reading::MessagesPassed => {
                    let meter = PassedMeter::Messages(surface::anthropic::Meter::default());
                    return self.first_byte(Source::Passed(Passed::new(body, meter))).await;
                }
                Reading::Completions(names) => Decoder::OpenAi(openai::Decoder::new(names)),
                Reading::Messages(names) => Decoder::Anthropic(anthropic::Decoder::new(names)),
            };
            let renderer = job.dialect.renderer(job.head(), job.peek);
            return self.first_byte(Source::Translated(Box::new(Translated::new(body, decoder, renderer)))).await;
        }
        let body = self.read_answer(body).await?;
        let response = match reading {
            Reading::CompletionsPassed => return self.passed(surface::openai::usage_of(&body), body).await,
            Reading::EmbeddingsPassed => {
                let usage = surface::embeddings::usage_of(&body);
                let usage = usage.map(|tokens| chat::Usage { tokens, reasoning: 0 });
                return self.passed(usage, body).await;
            }
            Reading::MessagesPassed => return self.passed(surface::anthropic::usage_of(&body), body).await,
            Reading::Completions(names) => openai::decode(&body, &names),
            Reading::Messages(names) => anthropic::decode(&body, &names),
        };
        let response = response.map_err(|error| Failed::in_full(Failure::inside(self.place.name, &error)))?;
        let usage = response.usage.map(|usage| usage.tokens);
        Ok(Began::Whole(job.dialect.render(&response, &job.head(), job.peek), usage))
    }

    /// An answer in the client's own dialect.
    async fn passed(&self, usage: Option<chat::Usage>, body: Bytes) -> Result<Began, Failed> {
        if usage.is_none() && !read::is_json(&body) {
            return Err(Failed::in_full(Failure::broken(self.place.name, "its answer is not JSON")));
        }
        Ok(Began::Whole(body, usage.map(|usage| usage.tokens)))
    }

    /// A Bedrock target of a client that speaks its dialect: bytes out, bytes back.
    async fn native(&mut self, api: Api, headers: HeaderMap, body: Bytes) -> Result<Began, Failed> {
        let (head, body) = self.signed(api, headers, body).await?.into_parts();
        if self.job.peek.stream {
            return self.first_byte(Source::Native(Box::new(bedrock::Passed::new(api, body)))).await;
        }
        let body = self.read_answer(body).await?;
        let usage = bedrock::usage_of(api, &head.headers, &body);
        if usage.is_none() && !read::is_json(&body) {
            return Err(Failed::in_full(Failure::broken(self.place.name, "its answer is not JSON")));
        }
        Ok(Began::Whole(body, usage))
    }

    /// Sends signed bytes to a Bedrock target and waits for the head of a good answer.
    async fn signed(&mut self, api: Api, headers: HeaderMap, body: Bytes) -> Result<Response<Incoming>, Failed> {
        let request = self.sign(api, headers, body).await?;
        self.metered.sent();
        self.answer(request).await
    }

    /// The request that a Bedrock target takes.
    pub(super) async fn sign(&self, api: Api, headers: HeaderMap, body: Bytes) -> Result<Request<Full<Bytes>>, Failed> {
        let Provider::Bedrock(target) = &self.place.target.provider else {
            return Err(self.unsigned("it is not a Bedrock target"));
        };
        let what = (api, self.job.peek.stream);
        self.in_time(self.proxy.aws.signed_request(target, what, headers, body)).await
    }

    async fn in_time(
        &self,
        signing: impl Future<Output = Result<Request<Full<Bytes>>, AwsError>>,
    ) -> Result<Request<Full<Bytes>>, Failed> {
        let signed = timeout_at(self.deadline, signing).await;
        let signed = signed.map_err(|_| self.unsigned("no AWS credentials came in time"))?;
        signed.map_err(|error| self.unsigned(&error.to_string()))
    }

    fn unsigned(&self, reason: &str) -> Failed {
        Failed::free(Failure::unreachable(self.place.name, reason))
    }

    /// Sends a signed request and waits for the head of a good answer.
    pub(super) async fn answer(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Failed> {
        let place = self.place;
        // The address comes from AWS or from the proxy's own environment, never from a manifest: loopback was chosen there.
        let response = self.exchange(request, Policy::Loopback).await?;
        if response.status().is_success() {
            return Ok(response);
        }
        let (head, body) = response.into_parts();
        let said = self.read_error(body).await?;
        let error = bedrock::decode_error(head.status.as_u16(), &head.headers, &said);
        Err(Failed::free(Failure::inside(place.name, &error).after(failure::retry_after(&head.headers))))
    }

    /// A Bedrock target: signed Converse bytes out, translated bytes back.
    async fn converse(&mut self, body: Bytes, names: ToolNames) -> Result<Began, Failed> {
        let job = self.job;
        let body = self.signed(Api::Converse, HeaderMap::new(), body).await?.into_body();
        if job.peek.stream {
            let decoder = Decoder::Bedrock(bedrock::Decoder::new(names));
            let renderer = job.dialect.renderer(job.head(), job.peek);
            return self.first_byte(Source::Translated(Box::new(Translated::new(body, decoder, renderer)))).await;
        }
        let body = self.read_answer(body).await?;
        let response = bedrock::decode(&body, &names);
        let response = response.map_err(|error| Failed::in_full(Failure::inside(self.place.name, &error)))?;
        let usage = response.usage.map(|usage| usage.tokens);
        Ok(Began::Whole(job.dialect.render(&response, &job.head(), job.peek), usage))
    }

    /// A target behind AWS's signature with a dialect of its own: signed bytes out, translated bytes back.
    async fn translated(&mut self, signed: Signed) -> Result<Began, Failed> {
        let Signed { path, headers, body, reading } = signed;
        let job = self.job;
        let Some(to) = destination(&self.place.target.provider, &path) else {
            return Err(self.unsigned("it takes no signature"));
        };
        let request = self.in_time(self.proxy.aws.post(to, headers, body)).await?;
        self.metered.sent();
        let (head, body) = self.answer(request).await?.into_parts();
        if job.peek.stream {
            let decoder = Decoder::Signed(Box::new(reading.decoder(&head.headers)));
            let renderer = job.dialect.renderer(job.head(), job.peek);
            return self.first_byte(Source::Translated(Box::new(Translated::new(body, decoder, renderer)))).await;
        }
        let body = self.read_answer(body).await?;
        let response = reading.decode(&head.headers, &body);
        let response = response.map_err(|error| Failed::in_full(Failure::inside(self.place.name, &error)))?;
        let usage = response.usage.map(|usage| usage.tokens);
        Ok(Began::Whole(job.dialect.render(&response, &job.head(), job.peek), usage))
    }

    /// A simulated target.
    async fn pretend(&mut self, script: Script) -> Result<Began, Failed> {
        let number = self.place.state.take();
        if script.fails(number) {
            return Err(Failed::free(Failure::pretended(self.place.name, number)));
        }
        self.metered.sent();
        if self.job.peek.stream {
            let pretended = Pretended::new(script, self.job.dialect.renderer(self.job.head(), self.job.peek));
            return self.first_byte(Source::Pretended(pretended)).await;
        }
        let response = timeout_at(self.deadline, script.whole()).await.map_err(|_| self.late())?;
        let usage = response.usage.map(|usage| usage.tokens);
        Ok(Began::Whole(self.job.dialect.render(&response, &self.job.head(), self.job.peek), usage))
    }

    /// Sends the request and waits for the head of the answer.
    async fn send(&mut self, request: Request<Full<Bytes>>, policy: Policy) -> Result<Response<Incoming>, Failed> {
        self.metered.sent();
        self.exchange(request, policy).await
    }

    async fn exchange(&self, mut request: Request<Full<Bytes>>, policy: Policy) -> Result<Response<Incoming>, Failed> {
        // A signature covers what AWS's services read; this they only pass on.
        trace::pass_on(request.headers_mut(), self.job.headers, self.metered.trace_header());
        let connect = Duration::from_millis(self.place.route.timeouts.connect_ms);
        let sent = timeout_at(self.deadline, self.proxy.upstream.send(request, policy, connect)).await;
        sent.map_err(|_| self.late())?.map_err(|error| match error {
            SendError::Connect(reason) => Failed::free(Failure::unreachable(self.place.name, &reason)),
            SendError::Broken(error) => Failed::in_full(Failure::broken(self.place.name, &error.to_string())),
        })
    }

    async fn read_error(&self, body: Incoming) -> Result<Bytes, Failed> {
        let until = (Instant::now() + read::ERROR_WITHIN).min(self.job.ends);
        let read = read::whole(body, read::ERROR_LIMIT, read::ERROR_WITHIN, until).await;
        // An error that never ended is no complete HTTP error: the target may have worked.
        read.map_err(|_| Failed::in_full(Failure::broken(self.place.name, "its error message never ended")))
    }

    pub(super) async fn read_answer(&self, body: Incoming) -> Result<Bytes, Failed> {
        let idle = Duration::from_millis(self.place.route.timeouts.idle_ms);
        read::whole(body, read::ANSWER_LIMIT, idle, self.job.ends).await.map_err(|unread| match unread {
            Unread::Late => self.late(),
            Unread::Broken(why) => Failed::in_full(Failure::broken(self.place.name, &why)),
        })
    }

    /// Waits for the first byte of a stream: until then another target may still answer.
    async fn first_byte(&self, mut source: Source) -> Result<Began, Failed> {
        let name = self.place.name;
        match timeout_at(self.deadline, source.step()).await {
            Ok(Step::Bytes(first)) => Ok(Began::Stream(Box::new(source), first)),
            Ok(Step::End) => Err(Failed::in_full(Failure::broken(name, "its answer is empty"))),
            Ok(Step::Failed(error)) => Err(Failed::in_full(Failure::inside(name, &error))),
            Err(_) => Err(self.late()),
        }
    }

    fn late(&self) -> Failed {
        Failed::in_full(Failure::late(self.place.name))
    }
}
