//! What a request wants of rates over all proxies in; whether it took all of them or none, in one step at Redis, out; and later what it used.
//!
//! # Why Redis' clock
//! Proxies need not agree on the time: the script reads the server's, and a state is a moment of that clock. What was reserved and is not
//! corrected, because a proxy died, comes back by itself as time passes; a state that is whole again expires.

use super::Kind;
use crate::store::{Gone, Operation, Store};
use aws_lc_rs::hmac;
use redis::{RedisError, Script, ScriptInvocation};
use std::sync::{Arc, LazyLock};
use tollway_core::rate::{Denied, Rate, View};
use tollway_core::table::RateLimit;

static TAKE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("take.lua")));
static CORRECT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("correct.lua")));

/// Largest limit and farthest correction that a script computes with exactly.
const MOST_UNITS: u64 = 1 << 30;
const MOST_MOVE: u64 = 1 << 51;

/// Where the rates of one route are kept.
#[derive(Clone, Debug)]
pub struct Place {
    store: Arc<Store>,
    namespace: String,
    route: String,
}

/// What one request wants of one rate.
#[derive(Clone, Debug)]
pub struct Want {
    pub key: String,
    pub rate: Rate,
    /// It takes `most`, or what is left if that is at least `least`.
    pub least: u64,
    pub most: u64,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    pub units: u64,
    /// With the units taken, or as it stays.
    pub state: u64,
}

/// One answer of the script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// All of them were taken; else none was.
    pub admitted: bool,
    /// Microseconds, by Redis' clock.
    pub now: u64,
    /// In the order of what was wanted.
    pub found: Vec<Found>,
}

/// Units to correct when the request ends.
#[derive(Debug)]
pub struct Reserved {
    pub store: Arc<Store>,
    pub of: Vec<(String, Rate, u64)>,
}

/// The same rate in the microseconds of Redis' clock.
pub fn by_its_clock(limit: u32, window_ms: u64) -> Rate {
    Rate { limit: u64::from(limit).clamp(1, MOST_UNITS), window: window_ms.max(1).saturating_mul(1_000) }
}

/// A view in nanoseconds, as it is shown.
pub fn shown(view: View) -> View {
    View { reset: view.reset.saturating_mul(1_000), ..view }
}

/// A wait in nanoseconds, as it is told.
pub const fn in_nanoseconds(denied: Denied) -> Denied {
    match denied {
        Denied::After(micros) => Denied::After(micros.saturating_mul(1_000)),
        Denied::Never => Denied::Never,
    }
}

impl Place {
    #[must_use]
    pub fn new(store: Arc<Store>, namespace: &str, route: &str) -> Self {
        Self { store, namespace: namespace.to_owned(), route: route.to_owned() }
    }

    #[must_use]
    pub const fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// The state of one rate of one caller. Who that is stays unreadable, also to those who can guess names but not the password of Redis.
    pub fn key(&self, limit: &RateLimit, nth: usize, kind: Kind, who: Option<&str>) -> String {
        let Self { store, namespace, route } = self;
        let caller = match who {
            None => "-".to_owned(),
            Some(who) => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, &store.address().login());
                // Whose name it is, and where: nobody can tell that a caller of one route is one of another.
                let text = format!("tollway caller\0{namespace}\0{route}\0{:?}\0{who}", limit.per);
                hex::encode(&hmac::sign(&key, text.as_bytes()).as_ref()[..16])
            }
        };
        // In braces: what one script touches must be in one place of a Redis that is split.
        let RateLimit { per, window_ms, .. } = limit;
        format!("tollway:{namespace}:rate:{{{route}}}:{per:?}:{window_ms}:{nth}:{kind:?}:{caller}")
    }

    /// Takes from every rate, or from none.
    ///
    /// # Errors
    /// Redis did not say.
    pub async fn take(&self, wants: &[Want]) -> Result<Reply, Gone> {
        self.store.ask(Operation::Take, async |mut link| take(wants, &mut link).await).await
    }
}

async fn take(wants: &[Want], link: &mut redis::aio::MultiplexedConnection) -> Result<Reply, RedisError> {
    let mut call = TAKE.prepare_invoke();
    for Want { key, rate: Rate { limit, window }, least, most } in wants {
        // One more than the limit says as well as any number that it is too much.
        let beyond = limit.saturating_add(1);
        call.key(key).arg(*limit).arg(*window).arg((*least).min(beyond)).arg((*most).min(beyond));
    }
    let numbers: Vec<u64> = call.invoke_async(link).await?;
    let (head, found) = numbers.split_at_checked(2).unwrap_or_default();
    let found: Vec<_> = found.as_chunks().0.iter().map(|&[units, state]| Found { units, state }).collect();
    match head {
        [admitted, now] if found.len() == wants.len() => Ok(Reply { admitted: *admitted == 1, now: *now, found }),
        _ => Err((redis::ErrorKind::UnexpectedReturnType, "the script of limits gave too little").into()),
    }
}

impl Reserved {
    /// The request used so many units of each.
    pub async fn correct(self, used: u64) {
        let Self { store, of } = self;
        let moves: Vec<(String, i64)> =
            of.into_iter().map(|(key, rate, units)| (key, moves(rate, units, used))).collect();
        if moves.iter().any(|(_, by)| *by != 0) {
            // What is lost here comes back by itself, or is owed by nobody.
            let _ = store.ask(Operation::Correct, async |mut link| correct(&moves, &mut link).await).await;
        }
    }
}

async fn correct(
    moves: &[(String, i64)],
    link: &mut redis::aio::MultiplexedConnection,
) -> Result<Vec<u64>, RedisError> {
    let mut call: ScriptInvocation<'_> = CORRECT.prepare_invoke();
    for (key, by) in moves {
        call.key(key).arg(*by);
    }
    call.invoke_async(link).await
}

/// How far `Rate::correct` moves a state.
fn moves(rate: Rate, reserved: u64, used: u64) -> i64 {
    let far = |cost: u64| i64::try_from(cost.min(MOST_MOVE)).unwrap_or_default();
    if used > reserved { far(rate.cost(used - reserved)) } else { -far(rate.cost(reserved) - rate.cost(used)) }
}

#[cfg(test)]
mod tests;
