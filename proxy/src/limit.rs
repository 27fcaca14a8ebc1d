//! Who calls and how much a request may use in; leave to go on, or a refusal that says when to come back, out.
//!
//! # How tokens are counted
//! Before the answer nobody knows its tokens, so what the request may use at most is reserved and corrected when the usage is known. Where
//! neither the request nor the route says how long an answer may be, what remains of the window will do, so that a limit below the usual
//! bound is no wall; what such an answer used beyond it is owed by the requests after it.

mod cells;
mod shown;

pub use cells::Cells;
pub use shown::{Shown, duration};

use crate::auth::Caller;
use crate::error::{ApiError, Code};
use cells::Key;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tollway_core::rate::{Denied, Rate};
use tollway_core::table::{Per, RateLimit};

/// What one request may use.
#[derive(Clone, Copy, Debug)]
pub struct Ask {
    /// Tokens of the request itself, estimated.
    pub input: u64,
    /// Tokens of its answers at most.
    pub output: u64,
    /// The request or the route says so; else it is the usual bound.
    pub is_stated: bool,
}

/// The rates of one route.
#[derive(Debug, Default)]
pub struct Limits(Vec<Limiter>);

#[derive(Debug)]
struct Limiter {
    limit: RateLimit,
    requests: Option<(Rate, Arc<Cells>)>,
    tokens: Option<(Rate, Arc<Cells>)>,
}

/// What a request took from its rates. The tokens are corrected when it ends.
#[derive(Debug, Default)]
pub struct Held {
    taken: Vec<Taken>,
    /// What remained afterwards.
    pub shown: Shown,
}

#[derive(Debug)]
struct Taken {
    kind: Kind,
    rate: Rate,
    cells: Arc<Cells>,
    key: Key,
    units: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Requests,
    Tokens,
}

impl Limits {
    /// The limits of a route; what was counted `before` goes on where who shares it and the window are the same.
    #[must_use]
    pub fn new(limits: &[RateLimit], before: Option<&Self>) -> Self {
        let mut old: Vec<&Limiter> = before.iter().flat_map(|limits| &limits.0).collect();
        let limiter = |limit: &RateLimit| {
            let kept = old.iter().position(|o| (o.limit.per, o.limit.window_ms) == (limit.per, limit.window_ms));
            let kept = kept.map(|at| old.remove(at));
            let cells = |most: Option<u32>, kept: Option<&(Rate, Arc<Cells>)>| {
                let cells = |(_, cells): &(Rate, Arc<Cells>)| Arc::clone(cells);
                Some((Rate::new(most?, limit.window_ms), kept.map_or_else(Arc::default, cells)))
            };
            let requests = cells(limit.requests, kept.and_then(|kept| kept.requests.as_ref()));
            let tokens = cells(limit.tokens, kept.and_then(|kept| kept.tokens.as_ref()));
            Limiter { limit: *limit, requests, tokens }
        };
        Self(limits.iter().map(limiter).collect())
    }

    /// Takes one request and its tokens from every rate, or nothing from any. What remains is known either way; `None` where nothing is limited.
    pub fn admit(&self, caller: &Caller, ask: Ask, now: Instant) -> (Option<Held>, Result<(), ApiError>) {
        if self.0.is_empty() {
            return (None, Ok(()));
        }
        let mut held = Held::default();
        let mut refused: Option<(Denied, ApiError)> = None;
        for Limiter { limit, requests, tokens } in &self.0 {
            let who = match limit.per {
                Per::User => caller.user.as_deref(),
                Per::Client => caller.client.as_deref(),
                Per::Route => None,
            };
            let kinds = [(Kind::Requests, requests), (Kind::Tokens, tokens)];
            for (kind, (rate, cells)) in kinds.into_iter().filter_map(|(kind, cells)| Some((kind, cells.as_ref()?))) {
                let key = cells.key(who);
                let (taken, view) = cells.take(*rate, key, now, |free| kind.units(ask, free));
                held.shown.note(kind == Kind::Tokens, view);
                match taken {
                    Ok(units) => held.taken.push(Taken { kind, rate: *rate, cells: Arc::clone(cells), key, units }),
                    Err(denied) if refused.as_ref().is_none_or(|(before, _)| later(denied, *before)) => {
                        refused = Some((denied, refusal(kind, limit, ask, denied)));
                    }
                    Err(_) => {}
                }
            }
        }
        let Some((_, error)) = refused else { return (Some(held), Ok(())) };
        held.taken.drain(..).for_each(|taken| taken.correct(0, now));
        (Some(held), Err(error))
    }
}

impl Kind {
    /// What a request takes where `free` units are there.
    fn units(self, ask: Ask, free: u64) -> u64 {
        match self {
            Self::Requests => 1,
            Self::Tokens if ask.is_stated => ask.input.saturating_add(ask.output),
            Self::Tokens => ask.input.saturating_add(ask.output).min(free.max(ask.input + 1)),
        }
    }
}

impl Held {
    /// The request used so many tokens.
    pub fn settle(&self, used: u64, now: Instant) {
        self.taken.iter().filter(|taken| taken.kind == Kind::Tokens).for_each(|taken| taken.correct(used, now));
    }
}

impl Taken {
    fn correct(&self, used: u64, now: Instant) {
        self.cells.correct(self.rate, self.key, now, self.units, used);
    }
}

fn later(denied: Denied, before: Denied) -> bool {
    match (denied, before) {
        (Denied::After(a), Denied::After(b)) => a > b,
        (Denied::Never, Denied::After(_)) => true,
        (_, Denied::Never) => false,
    }
}

fn refusal(kind: Kind, limit: &RateLimit, ask: Ask, denied: Denied) -> ApiError {
    let (most, what) = match kind {
        Kind::Requests => (limit.requests.unwrap_or_default(), "requests"),
        Kind::Tokens => (limit.tokens.unwrap_or_default(), "tokens"),
    };
    let per = match limit.per {
        Per::User => " for each user",
        Per::Client => " for each client",
        Per::Route => "",
    };
    let window = shown::duration(limit.window_ms.saturating_mul(1_000_000));
    match denied {
        Denied::After(wait) => {
            let message = format!(
                "the limit of {most} {what} in {window}{per} is reached: try again in {}",
                shown::duration(wait)
            );
            ApiError::new(Code::RateLimited, message).retry_after(Some(Duration::from_nanos(wait)))
        }
        Denied::Never => {
            let Ask { input, output, is_stated: _ } = ask;
            let message = format!(
                "the request may use {} tokens and the limit is {most} in {window}{per}: it has about {input} itself, so ask for fewer than {output}",
                input.saturating_add(output)
            );
            ApiError::new(Code::RateLimited, message).param("max_tokens")
        }
    }
}

#[cfg(test)]
mod tests;
