//! One attempt on one target: reserve, build, send, wait for the first byte, classify; an answer, a failure or a reason to pass it over out.

pub mod failure;
mod read;

use crate::chat::Size;
use crate::dialect::Dialect;
use crate::error::ApiError;
use crate::ledger::Refusal;
use crate::meter::{Metered, Money};
use crate::metrics::Attempt;
use crate::provider::{self, Call, Source, Step, openai, simulated};
use crate::source::Serving;
use crate::stack::Proxy;
use crate::surface::openai::{Head, Peek};
use crate::targets::TargetState;
use crate::upstream::{Policy, SendError};
use bytes::Bytes;
use failure::Failure;
use http::{HeaderMap, Request};
use http_body_util::Full;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};
use tollway_core::spend::{Nano, Shape, Usage, bounds};
use tollway_core::table::{Mode, Route, Target};

/// One client request, as attempts see it.
#[derive(Debug)]
pub struct Job<'a> {
    pub dialect: Dialect,
    pub id: &'a str,
    pub headers: &'a HeaderMap,
    pub body: &'a Bytes,
    pub peek: &'a Peek,
    pub serving: &'a Arc<Serving>,
    /// What targets without `loopback: true` may reach.
    pub policy: Policy,
    /// When the whole request is over.
    pub ends: Instant,
}

/// One target of the route that serves the request.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    pub route: &'a Route,
    pub name: &'a str,
    pub target: &'a Target,
    pub state: &'a Arc<TargetState>,
}

/// Why a target is passed over. Not an attempt.
#[derive(Debug)]
pub enum Skip {
    /// Its key's Secret is not at hand.
    NoSecret,
    /// An enforcing budget binds and the target has no price.
    NoPrice,
    /// Its circuit is open.
    CircuitOpen,
    /// Its `maxConcurrent` places are taken.
    Full,
    /// A budget said no.
    Refused(Refusal),
    /// It has no way to say what the request asks for.
    Inexpressible(ApiError),
    /// This build cannot reach it.
    NotHere,
}

/// How an attempt came out.
#[derive(Debug)]
pub enum Tried {
    Answered(Answer),
    Failed(Failure),
    Skipped(Skip),
}

/// An answer, or as much of one as is there.
#[derive(Debug)]
pub enum Answer {
    Whole { body: Bytes, usage: Option<Usage>, cost: Option<Nano> },
    Stream(Box<Stream>),
}

/// A stream whose first bytes are there.
#[derive(Debug)]
pub struct Stream {
    pub source: Source,
    pub first: Bytes,
    pub metered: Metered,
}

impl Job<'_> {
    /// What bounds the input tokens of the client's own request.
    #[must_use]
    pub fn shape(&self) -> Shape {
        let Size { text_bytes, messages, tools, images, unbounded } = self.peek.size;
        Shape {
            bytes: text_bytes,
            messages: messages.into(),
            tools: tools.into(),
            images: images.into(),
            opaque: unbounded > 0,
            texts: 1,
        }
    }

    #[must_use]
    pub const fn policy(&self, loopback: bool) -> Policy {
        if loopback { Policy::Loopback } else { self.policy }
    }

    /// What a translated answer carries that the target does not decide.
    #[must_use]
    pub fn head(&self) -> Head {
        let created = u64::try_from(jiff::Timestamp::now().as_second()).unwrap_or(0);
        Head { id: format!("chatcmpl-{}", self.id), created, model: self.peek.model.clone() }
    }
}

/// Makes one attempt. Until it returns a stream nothing has reached the client.
pub async fn attempt(proxy: &Proxy, job: &Job<'_>, place: &Place<'_>) -> Tried {
    let (call, metered) = match admit(proxy, job, place).await {
        Ok(admitted) => admitted,
        Err(skip) => return Tried::Skipped(skip),
    };
    let deadline = (Instant::now() + Duration::from_millis(place.route.timeouts.first_token_ms)).min(job.ends);
    match call {
        Call::Send { request, policy } => send(proxy, job, place, request, policy, metered, deadline).await,
        Call::Pretend(script) => pretend(job, place, script, metered, deadline).await,
    }
}

/// Everything that may pass the target over, in the order of what it costs to find out; money last.
async fn admit(proxy: &Proxy, job: &Job<'_>, place: &Place<'_>) -> Result<(Call, Metered), Skip> {
    let Place { route, target, state, .. } = *place;
    let table = &job.serving.table;
    let enforced = |name: &String| table.budgets.get(name).is_none_or(|budget| budget.mode == Mode::Enforce);
    if target.price.is_none() && route.budgets.iter().any(enforced) {
        return Err(Skip::NoPrice);
    }
    let probe_timeout = Duration::from_millis(route.timeouts.first_token_ms);
    if state.is_open(Instant::now()) {
        return Err(Skip::CircuitOpen);
    }
    let output = bounds::output_tokens(job.peek.max_tokens.map(u64::from), route.defaults.max_tokens);
    let prepared = provider::prepare(job, route, target, u32::try_from(output).unwrap_or(u32::MAX))?;
    let slot = state.slot(target.max_concurrent).ok_or(Skip::Full)?;
    let n = u64::from(job.peek.n);
    let worst = |price| bounds::worst_case(price, &target.bounds, &prepared.shape, output, n);
    let worst = target.price.as_ref().map_or(Nano::ZERO, worst);
    let is_free = target.price.is_some_and(|price| price.is_free());
    let model = provider::model(target, &job.peek.model);
    let reservation =
        proxy.ledger.reserve(&route.budgets, table, worst, is_free, model).await.map_err(Skip::Refused)?;
    let now = Instant::now();
    let Some(permit) = state.admit(now, probe_timeout) else {
        reservation.release();
        return Err(Skip::CircuitOpen);
    };
    let circuit = (permit, route.circuit_breaker.clone());
    Ok((prepared.call, Metered::new(state, circuit, slot, (reservation, worst, target.price), now)))
}

async fn send(
    proxy: &Proxy,
    job: &Job<'_>,
    place: &Place<'_>,
    request: Request<Full<Bytes>>,
    policy: Policy,
    mut metered: Metered,
    deadline: Instant,
) -> Tried {
    let connect = Duration::from_millis(place.route.timeouts.connect_ms);
    metered.sent();
    let response = match timeout_at(deadline, proxy.upstream.send(request, policy, connect)).await {
        Ok(Ok(response)) => response,
        Ok(Err(SendError::Connect(reason))) => {
            metered.end(Attempt::Unreachable, Money::Nothing);
            return Tried::Failed(Failure::unreachable(place.name, &reason));
        }
        Ok(Err(SendError::Broken(error))) => {
            metered.end(Attempt::Cut, Money::InFull);
            return Tried::Failed(Failure::broken(place.name, &error.to_string()));
        }
        Err(_) => return timed_out(place, metered),
    };
    let (head, body) = response.into_parts();
    if !head.status.is_success() {
        let until = (Instant::now() + read::ERROR_WITHIN).min(job.ends);
        let Ok(said) = read::whole(body, read::ERROR_LIMIT, read::ERROR_WITHIN, until).await else {
            metered.end(Attempt::Cut, Money::InFull);
            return Tried::Failed(Failure::broken(place.name, "its error message never ended"));
        };
        let failure = Failure::status(place.name, &head, &openai::read_error(&said));
        metered.end(failure.attempt, Money::Nothing);
        return Tried::Failed(failure);
    }
    if job.peek.stream {
        let source = Source::Passed(openai::Passed::new(body, !job.peek.include_usage));
        return first_byte(place, source, metered, deadline).await;
    }
    let idle = Duration::from_millis(place.route.timeouts.idle_ms);
    match read::whole(body, read::ANSWER_LIMIT, idle, job.ends).await {
        Ok(body) => match crate::surface::openai::usage_of(&body) {
            Some(usage) => {
                let usage = usage.tokens;
                let cost = metered.end(Attempt::Ok, Money::Used(usage));
                Tried::Answered(Answer::Whole { body, usage: Some(usage), cost })
            }
            None if read::is_json(&body) => {
                Tried::Answered(Answer::Whole { body, usage: None, cost: metered.end(Attempt::Ok, Money::InFull) })
            }
            None => {
                metered.end(Attempt::Failed, Money::InFull);
                Tried::Failed(Failure::broken(place.name, "its answer is not JSON"))
            }
        },
        Err(read::Unread::Late) => timed_out(place, metered),
        Err(read::Unread::Broken(why)) => {
            metered.end(Attempt::Cut, Money::InFull);
            Tried::Failed(Failure::broken(place.name, &why))
        }
    }
}

async fn pretend(
    job: &Job<'_>,
    place: &Place<'_>,
    script: simulated::Script,
    mut metered: Metered,
    deadline: Instant,
) -> Tried {
    let number = place.state.take();
    if script.fail_every > 0 && number.is_multiple_of(u64::from(script.fail_every)) {
        metered.end(Attempt::Failed, Money::Nothing);
        return Tried::Failed(Failure::pretended(place.name, number));
    }
    metered.sent();
    if job.peek.stream {
        let pretended = simulated::Pretended::new(script, job.head(), job.peek.include_usage);
        return first_byte(place, Source::Pretended(pretended), metered, deadline).await;
    }
    let Ok(response) = timeout_at(job.ends, script.whole()).await else { return timed_out(place, metered) };
    let usage = response.usage.map(|usage| usage.tokens);
    let body = crate::surface::openai::render(&response, &job.head());
    let cost = metered.end(Attempt::Ok, usage.map_or(Money::InFull, Money::Used));
    Tried::Answered(Answer::Whole { body, usage, cost })
}

/// Waits for the first byte of a stream: until then another target may still answer.
async fn first_byte(place: &Place<'_>, mut source: Source, metered: Metered, deadline: Instant) -> Tried {
    match timeout_at(deadline, source.step()).await {
        Ok(Step::Bytes(first)) => {
            metered.first_byte(Instant::now());
            Tried::Answered(Answer::Stream(Box::new(Stream { source, first, metered })))
        }
        Ok(Step::End) => {
            metered.end(Attempt::Cut, Money::InFull);
            Tried::Failed(Failure::broken(place.name, "its answer is empty"))
        }
        Ok(Step::Failed(error)) => {
            let failure = Failure::inside(place.name, &error);
            metered.end(failure.attempt, Money::InFull);
            Tried::Failed(failure)
        }
        Err(_) => timed_out(place, metered),
    }
}

fn timed_out(place: &Place<'_>, metered: Metered) -> Tried {
    metered.end(Attempt::TimedOut, Money::InFull);
    Tried::Failed(Failure::late(place.name))
}
