//! A batch of texts of several requests in; vectors or an error to each of them out, after as many attempts on as many sources as the rule allows.

use super::call::{self, Miss};
use super::cold;
use super::endpoint::Endpoint;
use super::queue::{Done, Next, Part, Turn};
use super::tab::Share;
use crate::error::{ApiError, Code};
use crate::ledger::{Reservation, Wish};
use crate::metrics::Attempt;
use crate::retry::{Schedule, Step};
use crate::stack::{Proxy, threshold};
use crate::targets::TargetState;
use bytes::Bytes;
use futures_util::future::join_all;
use http::StatusCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tollway_core::spend::Nano;

/// Calls that finding out whose text a source refuses may take beside the first: ten find one request among thirty-two.
const MOST_SEARCHES: u32 = 24;

/// Sends every batch that is due, and comes back when the next one is.
pub fn pump(proxy: &Arc<Proxy>, endpoint: &Arc<Endpoint>) {
    loop {
        let next = endpoint.change(|queue| queue.next(Instant::now()));
        match next {
            Next::Send(parts, turn) => {
                let place = Place { proxy: Arc::clone(proxy), endpoint: Arc::clone(endpoint), turn };
                tokio::spawn(async move { run(&place.proxy, &place.endpoint, parts).await });
            }
            Next::Wait(at) => {
                if endpoint.arm(at) {
                    let (proxy, endpoint) = (Arc::clone(proxy), Arc::clone(endpoint));
                    tokio::spawn(async move {
                        tokio::time::sleep_until(at).await;
                        endpoint.rang(at);
                        pump(&proxy, &endpoint);
                    });
                }
                return;
            }
            Next::Rest => return,
        }
    }
}

/// One of the endpoint's `maxConcurrent` places, given back however the batch ends.
struct Place {
    proxy: Arc<Proxy>,
    endpoint: Arc<Endpoint>,
    turn: Turn,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.endpoint.change(|queue| queue.over(self.turn, Instant::now()));
        pump(&self.proxy, &self.endpoint);
    }
}

/// Embeds a batch. What a source refuses is halved until the request that it refuses stands alone.
async fn run(proxy: &Arc<Proxy>, endpoint: &Endpoint, parts: Vec<Part>) {
    let mut searches = 0;
    let mut work = vec![parts];
    while let Some(parts) = work.pop() {
        let Some((mut parts, refused)) = attempts(proxy, endpoint, parts).await else { continue };
        if parts.len() > 1 && searches < MOST_SEARCHES {
            searches += 2;
            let rest = parts.split_off(parts.len() / 2);
            work.extend([rest, parts]);
        } else {
            refused.tell(&parts);
        }
    }
}

/// The last word on some texts.
pub(super) struct Verdict {
    error: ApiError,
    source: Option<String>,
    attempts: u32,
}

/// How a round of attempts ended.
enum End {
    /// Every text has its vector, or nobody waits for one.
    Over,
    /// A source refuses these texts.
    Refused(Vec<Part>),
    /// No source answered.
    Failed(Vec<Part>),
    /// None did, and one of them has no copy running yet.
    NoCapacity(Vec<Part>),
}

impl Verdict {
    pub(super) fn tell(&self, parts: &[Part]) {
        for part in parts {
            let Self { error, source, attempts } = self;
            let failed = Done::Failed { error: error.clone(), source: source.clone(), attempts: *attempts };
            // A caller that has left needs no word.
            let _ = part.call.answers.send(failed);
        }
    }
}

/// Tries the sources, again while one of them is still to start, until one answers; gives the texts back when one refuses them.
async fn attempts(proxy: &Arc<Proxy>, endpoint: &Endpoint, mut parts: Vec<Part>) -> Option<(Vec<Part>, Verdict)> {
    let mut last = Verdict { error: nothing_tried(&endpoint.config.model, None), source: None, attempts: 0 };
    loop {
        match round(proxy, endpoint, parts, &mut last).await? {
            End::Over => return None,
            End::Refused(parts) => return Some((parts, last)),
            End::Failed(parts) => {
                last.tell(&parts);
                return None;
            }
            End::NoCapacity(waiting) => parts = cold::wait(waiting, &last).await,
        }
    }
}

/// Tries the sources once, as the attempts rule says; nothing comes back when no text is left.
async fn round(proxy: &Arc<Proxy>, endpoint: &Endpoint, mut parts: Vec<Part>, last: &mut Verdict) -> Option<End> {
    let config = &endpoint.config;
    let ends = parts.iter().map(|part| part.call.ends).max()?;
    let mut schedule = Schedule::new(config.sources.len(), &config.retry);
    // Whose attempt it was that nobody knows the end of, and whether a source has no copy running.
    let (mut lost, mut cold): (Option<&TargetState>, bool) = (None, false);
    while let Step::Try { target, wait, repeat } = schedule.next(Instant::now(), fastrand::u64(..)) {
        let (source, state) = config.sources.get(target).zip(endpoint.sources.get(target))?;
        if repeat {
            if Instant::now() + wait >= ends || !state.may_repeat(Instant::now()) {
                break;
            }
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = everyone_left(&parts) => break,
            }
        }
        let probe_timeout = Duration::from_millis(config.timeouts.first_token_ms);
        let admitted = call::has_secret(proxy, source).then(|| state.admit(Instant::now(), probe_timeout)).flatten();
        let Some(permit) = admitted else {
            if last.attempts == 0 {
                last.error = nothing_tried(&config.model, Some(&source.name));
            }
            schedule.skipped();
            continue;
        };
        if let Some(before) = lost.take() {
            parts = pay_again(proxy, endpoint, before, last, parts).await;
        }
        parts.retain(|part| !part.call.answers.is_closed());
        if parts.is_empty() {
            state.neutral(&permit);
            return Some(End::Over);
        }
        parts.iter().for_each(|part| part.call.tab.sending(part.bound(), state));
        let began = Instant::now();
        let deadline = (began + Duration::from_millis(config.timeouts.first_token_ms)).min(ends);
        let outcome = tokio::select! {
            biased;
            outcome = call::call(proxy, endpoint, source, &parts, (deadline, ends)) => Some(outcome),
            () = everyone_left(&parts) => None,
        };
        let attempt = match &outcome {
            Some(Ok(_)) => Attempt::Ok,
            Some(Err(miss)) => miss.failure.attempt,
            None => Attempt::Cancelled,
        };
        judge(state, &permit, attempt, config);
        state.meter.attempt(attempt, began.elapsed());
        last.attempts += 1;
        last.source = Some(source.name.clone());
        match outcome {
            None => {
                parts.iter().for_each(|part| part.call.tab.sent(part.bound(), Share::Bound));
                return Some(End::Over);
            }
            Some(Ok(read)) => {
                endpoint.meter.texts_sent(read.vectors.len() as u64);
                deliver(parts, read, &source.name, last.attempts);
                return Some(End::Over);
            }
            Some(Err(Miss { failure, is_lost })) => {
                if !is_lost {
                    parts.iter().for_each(|part| part.call.tab.sent(part.bound(), Share::Nothing));
                }
                lost = is_lost.then_some(state);
                tracing::debug!(endpoint = endpoint.name, source = source.name, error = %failure.error, "attempt failed");
                let retry_after = failure.error.retry_after;
                let refuses_texts = failure.stops && is_about_texts(failure.error.status);
                last.error = failure.error;
                if refuses_texts && lost.is_none() {
                    return Some(End::Refused(parts));
                }
                if failure.attempt == Attempt::NoCapacity {
                    endpoint.meter.no_capacity();
                    cold = true;
                    schedule.skipped();
                    continue;
                }
                if failure.stops {
                    break;
                }
                schedule.attempted(Instant::now(), retry_after);
            }
        }
        if !repeat {
            state.first_try(Instant::now());
        }
        if Instant::now() >= ends {
            break;
        }
    }
    if lost.is_some() {
        parts.iter().for_each(|part| part.call.tab.sent(part.bound(), Share::Bound));
    }
    // What may have been answered is not asked again in the hope of another source.
    Some(if cold && lost.is_none() { End::NoCapacity(parts) } else { End::Failed(parts) })
}

/// Another text might pass: too long, empty, malformed. Not: no such endpoint, no right to call it.
const fn is_about_texts(status: StatusCode) -> bool {
    matches!(status.as_u16(), 400 | 413 | 422)
}

fn judge(
    state: &TargetState,
    permit: &crate::circuit::Permit,
    attempt: Attempt,
    config: &tollway_core::table::Embedding,
) {
    let now = Instant::now();
    match attempt {
        Attempt::Ok | Attempt::Refused => state.succeeded(permit, now),
        Attempt::Failed | Attempt::Unreachable | Attempt::TimedOut | Attempt::Cut => {
            state.failed(permit, now, &config.circuit_breaker);
        }
        Attempt::Throttled | Attempt::Cancelled | Attempt::NoCapacity => state.neutral(permit),
    }
}

/// Resolves when no caller of the batch is left.
pub(super) async fn everyone_left(parts: &[Part]) {
    join_all(parts.iter().map(|part| part.call.answers.closed())).await;
}

/// The attempt before, at `lost`, is paid from a reservation of its own; whoever gets none has made its last.
async fn pay_again(
    proxy: &Proxy,
    endpoint: &Endpoint,
    lost: &TargetState,
    last: &Verdict,
    parts: Vec<Part>,
) -> Vec<Part> {
    // Side by side: a reservation may wait for the operator.
    let paid = parts.into_iter().map(async |part: Part| {
        let bound = part.bound();
        if part.call.answers.is_closed() {
            // It goes no further, so what it holds is enough.
            part.call.tab.sent(bound, Share::Bound);
            return None;
        }
        let worst = endpoint.config.price.worst_case(bound, 0);
        match hold(proxy, endpoint, worst, part.call.tab.user()).await {
            Ok(reservation) => {
                reservation.settle_in_full();
                lost.meter.cost(worst, true);
                part.call.tab.sent(bound, Share::PaidApart);
                Some(part)
            }
            Err(error) => {
                part.call.tab.sent(bound, Share::Bound);
                Verdict { error, source: last.source.clone(), attempts: last.attempts }.tell(&[part]);
                None
            }
        }
    });
    join_all(paid).await.into_iter().flatten().collect()
}

/// Holds the worst case of a request in every budget that binds the endpoint, at the pace that those which are nearly spent set.
pub async fn reserve(
    proxy: &Proxy,
    endpoint: &Endpoint,
    worst: Nano,
    user: Option<&str>,
) -> Result<Reservation, ApiError> {
    if let Some(serving) = proxy.live.load().as_ref() {
        let reached = proxy.ledger.reached(&endpoint.config.budgets, &serving.table);
        threshold::pace(&endpoint.paces, &reached, Instant::now())?;
    }
    hold(proxy, endpoint, worst, user).await
}

async fn hold(proxy: &Proxy, endpoint: &Endpoint, worst: Nano, user: Option<&str>) -> Result<Reservation, ApiError> {
    let config = &endpoint.config;
    let Some(serving) = proxy.live.load_full() else {
        return Err(ApiError::new(Code::NotReady, "no routing table is in force"));
    };
    let wish = Wish {
        budgets: &config.budgets,
        table: &serving.table,
        worst,
        is_free: config.price.is_free(),
        model: &config.model,
        user,
        client: None,
    };
    proxy.ledger.reserve(&wish).await.map_err(|refusal| ApiError::new(refusal.code(), refusal.to_string()))
}

/// Gives every request its vectors, and its share of the tokens.
fn deliver(parts: Vec<Part>, read: super::read::Read, source: &str, attempts: u32) {
    let all: u64 = parts.iter().map(Part::bound).fold(0, u64::saturating_add);
    let mut vectors = read.vectors.into_iter();
    for part in parts {
        let bound = part.bound();
        part.call.tab.sent(bound, read.tokens.map_or(Share::Bound, |tokens| Share::Counted(share(tokens, bound, all))));
        let mine: Vec<(usize, Bytes)> = part.items.iter().map(|item| item.index).zip(vectors.by_ref()).collect();
        let _ = part.call.answers.send(Done::Vectors { vectors: mine, source: source.to_owned(), attempts });
    }
}

/// A request's share of a batch's tokens, rounded up: never above its bound while the batch is not above its own.
fn share(tokens: u64, bound: u64, all: u64) -> u64 {
    let share = (u128::from(tokens) * u128::from(bound)).div_ceil(u128::from(all.max(1)));
    u64::try_from(share).unwrap_or(u64::MAX)
}

fn nothing_tried(model: &str, source: Option<&str>) -> ApiError {
    let why = source.map_or_else(String::new, |source| {
        format!(": the circuit of {source} is open after failures, or its Secret is missing")
    });
    ApiError::upstream(StatusCode::SERVICE_UNAVAILABLE, format!("{model:?} is not available{why}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn shares_cover_the_whole_and_none_is_above_its_bound(
            bounds in prop::collection::vec(1..100_000_u64, 1..64), part in 0..=1000_u64,
        ) {
            let all: u64 = bounds.iter().sum();
            let tokens = all * part / 1000;
            let shares: Vec<u64> = bounds.iter().map(|bound| share(tokens, *bound, all)).collect();
            prop_assert!(shares.iter().sum::<u64>() >= tokens);
            prop_assert!(shares.iter().zip(&bounds).all(|(share, bound)| share <= bound));
        }
    }
}
