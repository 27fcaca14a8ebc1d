//! Who calls and how much a request may use in; leave to go on, or a refusal that says when to come back, out.
//!
//! # How tokens are counted
//! Before the answer nobody knows its tokens, so what the request may use at most is reserved and corrected when the usage is known. Where
//! neither the request nor the route says how long an answer may be, what remains of the window will do, so that a limit below the usual
//! bound is no wall; what such an answer used beyond it is owed by the requests after it.
//!
//! # Without Redis
//! Rates over all proxies are then kept here, each by this proxy's share: the limit divided by the proxies that shared Redis last, at least 1.
//! A request for more tokens than the share has waits for all of the share and owes the rest, for the limit itself would have let it pass.

mod cells;
mod global;
mod shown;

pub use cells::Cells;
pub use global::Place;
pub use shown::{Shown, duration};

use crate::auth::Caller;
use crate::error::{ApiError, Code};
use cells::Key;
use global::{Found, Reserved, Want};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::Instant;
use tollway_core::rate::{Denied, Rate};
use tollway_core::table::{LimitScope, Per, RateLimit};

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
pub struct Limits {
    limiters: Vec<Limiter>,
    /// Where those over all proxies are kept.
    place: Option<Place>,
}

#[derive(Debug)]
struct Limiter {
    limit: RateLimit,
    /// Which one of those with the same sharers and window it is.
    nth: usize,
    requests: Option<Arc<Cells>>,
    tokens: Option<Arc<Cells>>,
}

/// What a request took from its rates. The tokens are corrected when it ends.
#[derive(Debug, Default)]
pub struct Held {
    taken: Vec<Taken>,
    reserved: Option<Reserved>,
    /// What remained afterwards.
    pub shown: Shown,
    /// Rates over all proxies were kept by this one's share.
    pub is_alone: bool,
}

#[derive(Debug)]
struct Taken {
    kind: Kind,
    rate: Rate,
    cells: Arc<Cells>,
    key: Key,
    units: u64,
}

/// What a rate counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Requests,
    Tokens,
}

/// The refusal that takes longest to wait for.
#[derive(Default)]
struct Refused(Option<(Denied, ApiError)>);

impl Limits {
    /// The limits of a route; what was counted `before` goes on where who shares it and the window are the same.
    #[must_use]
    pub fn new(limits: &[RateLimit], before: Option<&Self>, place: Option<Place>) -> Self {
        let alike = |a: &RateLimit, b: &RateLimit| (a.per, a.window_ms, a.scope) == (b.per, b.window_ms, b.scope);
        let mut old: Vec<&Limiter> = before.iter().flat_map(|limits| &limits.limiters).collect();
        let limiter = |(at, limit): (usize, &RateLimit)| {
            let kept = old.iter().position(|old| alike(&old.limit, limit)).map(|at| old.remove(at));
            let cells =
                |most: Option<u32>, kept: Option<&Arc<Cells>>| most.map(|_| kept.map_or_else(Arc::default, Arc::clone));
            let requests = cells(limit.requests, kept.and_then(|kept| kept.requests.as_ref()));
            let tokens = cells(limit.tokens, kept.and_then(|kept| kept.tokens.as_ref()));
            let nth = limits.iter().take(at).filter(|other| alike(other, limit)).count();
            Limiter { limit: *limit, nth, requests, tokens }
        };
        Self { limiters: limits.iter().enumerate().map(limiter).collect(), place }
    }

    /// Takes one request and its tokens from every rate, or nothing from any. What remains is known either way; `None` where nothing is limited.
    pub async fn admit(&self, caller: &Caller, ask: Ask, now: Instant) -> (Option<Held>, Result<(), ApiError>) {
        if self.limiters.is_empty() {
            return (None, Ok(()));
        }
        let (mut held, mut refused) = (Held::default(), Refused::default());
        self.take_here(LimitScope::Proxy, &mut held, &mut refused, caller, ask, now);
        // What this proxy refuses by itself costs the others nothing, and Redis no question.
        if refused.0.is_none() && self.limiters.iter().any(|limiter| limiter.limit.scope == LimitScope::Global) {
            let shared = match &self.place {
                Some(place) => self.take_there(place, &mut held, &mut refused, caller, ask).await,
                None => false,
            };
            if !shared {
                held.is_alone = true;
                self.take_here(LimitScope::Global, &mut held, &mut refused, caller, ask, now);
            }
        }
        let Some((_, error)) = refused.0 else { return (Some(held), Ok(())) };
        held.taken.drain(..).for_each(|taken| taken.correct(0, now));
        (Some(held), Err(error))
    }

    /// From the rates of one scope, in this proxy.
    fn take_here(
        &self,
        scope: LimitScope,
        held: &mut Held,
        refused: &mut Refused,
        caller: &Caller,
        ask: Ask,
        now: Instant,
    ) {
        let sharers = match scope {
            LimitScope::Proxy => 1,
            LimitScope::Global => self.place.as_ref().and_then(|place| place.store().proxies()).unwrap_or(1),
        };
        for limiter in self.limiters.iter().filter(|limiter| limiter.limit.scope == scope) {
            let share = share(&limiter.limit, sharers);
            for (kind, most, cells) in limiter.kinds(&share) {
                let (key, rate) = (cells.key(who(caller, share.per)), Rate::new(most, share.window_ms));
                let whole = u64::from(kind.most(&limiter.limit).unwrap_or(most));
                let (taken, view) = cells.take(rate, key, now, |free| {
                    let units = kind.units(ask, free);
                    if units <= whole { units.min(rate.limit) } else { units }
                });
                held.shown.note(kind == Kind::Tokens, view);
                match taken {
                    Ok(units) => held.taken.push(Taken { kind, rate, cells: Arc::clone(cells), key, units }),
                    Err(Denied::Never) => refused.note(Denied::Never, kind, &limiter.limit, ask),
                    Err(denied) => refused.note(denied, kind, &share, ask),
                }
            }
        }
    }

    /// From the rates over all proxies, at Redis; false when it did not say.
    async fn take_there(
        &self,
        place: &Place,
        held: &mut Held,
        refused: &mut Refused,
        caller: &Caller,
        ask: Ask,
    ) -> bool {
        let global = self.limiters.iter().filter(|limiter| limiter.limit.scope == LimitScope::Global);
        let wanted = global.flat_map(|limiter| {
            limiter.kinds(&limiter.limit).map(|(kind, most, _)| {
                let key = place.key(&limiter.limit, limiter.nth, kind, who(caller, limiter.limit.per));
                let rate = global::by_its_clock(most, limiter.limit.window_ms);
                let (least, most) = (kind.units(ask, 0), kind.units(ask, u64::MAX));
                (limiter.limit, kind, Want { key, rate, least, most })
            })
        });
        let (of, wants): (Vec<_>, Vec<_>) = wanted.map(|(limit, kind, want)| ((limit, kind), want)).unzip();
        let Ok(reply) = place.take(&wants).await else { return false };
        let mut reserved = Vec::new();
        for (((limit, kind), want), Found { units, state }) in of.iter().zip(wants).zip(reply.found) {
            held.shown.note(*kind == Kind::Tokens, global::shown(want.rate.view(state, reply.now)));
            if reply.admitted {
                reserved.extend((*kind == Kind::Tokens).then_some((want.key, want.rate, units)));
            } else if let Err(denied) = want.rate.take(state, reply.now, units) {
                refused.note(global::in_nanoseconds(denied), *kind, limit, ask);
            }
        }
        if !reply.admitted && refused.0.is_none() {
            // The script said no and nobody can say why: it is not asked for a yes, and not taken for one.
            return false;
        }
        if !reserved.is_empty() {
            held.reserved = Some(Reserved { store: Arc::clone(place.store()), of: reserved });
        }
        true
    }
}

impl Limiter {
    /// What it counts, with the limits that `limit` sets.
    fn kinds(&self, limit: &RateLimit) -> impl Iterator<Item = (Kind, u32, &Arc<Cells>)> {
        let limit = *limit;
        let kinds = [(Kind::Requests, &self.requests), (Kind::Tokens, &self.tokens)];
        kinds.into_iter().filter_map(move |(kind, cells)| Some((kind, kind.most(&limit)?, cells.as_ref()?)))
    }
}

/// Who shares a limit with whom.
fn who(caller: &Caller, per: Per) -> Option<&str> {
    match per {
        Per::User => caller.user.as_deref(),
        Per::Client => caller.client.as_deref(),
        Per::Route => None,
    }
}

/// What one of so many proxies may admit.
fn share(limit: &RateLimit, sharers: u32) -> RateLimit {
    let share = |most: Option<u32>| most.map(|most| (most / sharers.max(1)).max(1));
    RateLimit { requests: share(limit.requests), tokens: share(limit.tokens), ..*limit }
}

impl Kind {
    /// How much of it a limit allows.
    const fn most(self, limit: &RateLimit) -> Option<u32> {
        match self {
            Self::Requests => limit.requests,
            Self::Tokens => limit.tokens,
        }
    }

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
    pub fn settle(self, used: u64, now: Instant) {
        self.taken.iter().filter(|taken| taken.kind == Kind::Tokens).for_each(|taken| taken.correct(used, now));
        // Nobody waits for Redis here; at the end of the process what is not corrected comes back by itself.
        if let (Some(reserved), Ok(runtime)) = (self.reserved, Handle::try_current()) {
            runtime.spawn(reserved.correct(used));
        }
    }
}

impl Taken {
    fn correct(&self, used: u64, now: Instant) {
        self.cells.correct(self.rate, self.key, now, self.units, used);
    }
}

impl Refused {
    fn note(&mut self, denied: Denied, kind: Kind, limit: &RateLimit, ask: Ask) {
        if self.0.as_ref().is_none_or(|(before, _)| later(denied, *before)) {
            self.0 = Some((denied, refusal(kind, limit, ask, denied)));
        }
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
    let what = match kind {
        Kind::Requests => "requests",
        Kind::Tokens => "tokens",
    };
    let most = kind.most(limit).unwrap_or_default();
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
