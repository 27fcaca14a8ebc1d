//! One attempt on one target: reserve, build, send, wait for the first byte, classify; an answer, a failure or a reason to pass it over out.

mod call;
mod embed;
pub mod failure;
pub mod read;

use crate::auth::Caller;
use crate::chat::ChatRequest;
use crate::dialect::Dialect;
use crate::error::ApiError;
use crate::ledger::{Refusal, Wish};
use crate::meter::{Metered, Money};
use crate::metrics::Attempt;
use crate::provider::{self, Call, Source};
use crate::source::Serving;
use crate::stack::Proxy;
use crate::surface::{Form, Head, Peek};
use crate::targets::TargetState;
use crate::trace::RequestSpan;
use crate::upstream::Policy;
use bytes::Bytes;
use call::{Began, Calling, Failed};
use failure::Failure;
use http::HeaderMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::time::Instant;
use tollway_core::spend::{Nano, Shape, Usage, bounds};
use tollway_core::table::{Mode, Route, Target};

/// One client request, as attempts see it.
#[derive(Debug)]
pub struct Job<'a> {
    pub dialect: Dialect,
    pub id: &'a str,
    /// Whose shares of budgets it is charged to.
    pub caller: &'a Caller,
    pub headers: &'a HeaderMap,
    pub body: &'a Bytes,
    pub peek: &'a Peek,
    pub parsed: OnceLock<Result<ChatRequest, ApiError>>,
    pub serving: &'a Arc<Serving>,
    /// What targets without `loopback: true` may reach.
    pub policy: Policy,
    pub began: Instant,
    /// When the whole request is over.
    pub ends: Instant,
    /// Where the request is traced.
    pub span: Option<&'a RequestSpan>,
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
    pub source: Box<Source>,
    pub first: Bytes,
    pub metered: Metered,
}

impl Job<'_> {
    /// What bounds the input tokens of the client's own request.
    #[must_use]
    pub fn shape(&self) -> Shape {
        provider::shape(&self.peek.size)
    }

    /// The request in the internal form; read at most once, and only for a target of another dialect.
    ///
    /// # Errors
    /// What is wrong with the request.
    pub fn parsed(&self) -> Result<&ChatRequest, ApiError> {
        if let Form::Responses(request) = &self.peek.form {
            return Ok(&request.chat);
        }
        self.parsed.get_or_init(|| self.dialect.parse(self.body, self.peek)).as_ref().map_err(Clone::clone)
    }

    #[must_use]
    pub const fn policy(&self, loopback: bool) -> Policy {
        if loopback { Policy::Loopback } else { self.policy }
    }

    /// What a translated answer carries that the target does not decide.
    #[must_use]
    pub fn head(&self) -> Head {
        let created = u64::try_from(jiff::Timestamp::now().as_second()).unwrap_or(0);
        Head {
            id: format!("{}{}", self.dialect.id_prefix(), self.id),
            created,
            began: Some(self.began),
            model: self.peek.model.clone(),
        }
    }
}

/// Makes one attempt. Until it returns a stream nothing has reached the client.
pub async fn attempt(proxy: &Proxy, job: &Job<'_>, place: &Place<'_>) -> Tried {
    let (call, mut metered) = match admit(proxy, job, place).await {
        Ok(admitted) => admitted,
        Err(skip) => return Tried::Skipped(skip),
    };
    let deadline = (Instant::now() + Duration::from_millis(place.route.timeouts.first_token_ms)).min(job.ends);
    let began = Calling { proxy, job, place, deadline, metered: &mut metered }.make(call).await;
    match began {
        Ok(Began::Stream(source, first)) => {
            metered.first_byte(Instant::now());
            Tried::Answered(Answer::Stream(Box::new(Stream { source, first, metered })))
        }
        Ok(Began::Whole(body, usage)) => {
            let cost = metered.end(Attempt::Ok, usage.map_or(Money::InFull, Money::Used));
            Tried::Answered(Answer::Whole { body, usage, cost })
        }
        Err(Failed { failure, money }) => {
            metered.end(failure.attempt, money);
            Tried::Failed(failure)
        }
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
    // No provider says how many images it was sent: they are charged as they were counted here.
    let price = target.price.map(|price| price.with_images(prepared.shape.images));
    let worst = |price| bounds::worst_case(price, &target.bounds, &prepared.shape, output, n);
    let worst = price.as_ref().map_or(Nano::ZERO, worst);
    let is_free = target.price.is_some_and(|price| price.is_free());
    let model = provider::model(target, &job.peek.model);
    let Caller { client, user } = job.caller;
    let (user, client) = (user.as_deref(), client.as_deref());
    let wish = Wish { budgets: &route.budgets, table, worst, is_free, model, user, client };
    let reservation = proxy.ledger.reserve(&wish).await.map_err(Skip::Refused)?;
    let now = Instant::now();
    let Some(permit) = state.admit(now, probe_timeout) else {
        reservation.release();
        return Err(Skip::CircuitOpen);
    };
    let circuit = (permit, route.circuit_breaker.clone());
    let span = job.span.map(RequestSpan::attempt);
    Ok((prepared.call, Metered::new(state, circuit, slot, (reservation, worst, price), span, now)))
}
