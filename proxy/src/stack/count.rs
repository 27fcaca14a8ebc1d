//! A request to count tokens in; the target's own count, or an estimate where it has none, out.
//!
//! # Why nothing is reserved
//! Counting costs nothing at Anthropic, and an estimate asks nobody.

use super::Proxy;
use crate::attempt::failure::Failure;
use crate::attempt::{Job, read};
use crate::error::ApiError;
use crate::provider::{anthropic, openai};
use crate::surface::anthropic::estimate;
use crate::targets::RouteState;
use bytes::Bytes;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};
use tollway_core::table::{Anthropic, Provider, Route};

/// Most bytes of a count.
const LIMIT: usize = 64 * 1024;

/// The first target decides; one that counts and cannot be reached hands over to the next.
///
/// # Errors
/// What a target found wrong with the request.
pub async fn count(
    proxy: &Proxy,
    job: &Job<'_>,
    route: &Route,
    state: &RouteState,
    order: &[&str],
) -> Result<Bytes, ApiError> {
    for name in order {
        let Some((name, target)) = route.targets.get_key_value(*name) else { continue };
        let Provider::Anthropic(anthropic) = &target.provider else { break };
        if state.target(name).is_none_or(|state| state.is_open(Instant::now())) {
            continue;
        }
        match ask(proxy, job, route, name, anthropic).await {
            Ok(counted) => return Ok(counted),
            Err(Some(failure)) if failure.stops => return Err(failure.error),
            Err(_) => {}
        }
    }
    Ok(estimate(&job.peek.size))
}

/// Asks one target; its own refusal where it gave one.
async fn ask(
    proxy: &Proxy,
    job: &Job<'_>,
    route: &Route,
    name: &str,
    target: &Anthropic,
) -> Result<Bytes, Option<Failure>> {
    let request = anthropic::count(job, target).map_err(|_| None)?;
    let connect = Duration::from_millis(route.timeouts.connect_ms);
    let until = (Instant::now() + Duration::from_millis(route.timeouts.first_token_ms)).min(job.ends);
    let sent = timeout_at(until, proxy.upstream.send(request, job.policy(target.loopback), connect)).await;
    let (head, body) = sent.map_err(|_| None)?.map_err(|_| None)?.into_parts();
    let body = read::whole(body, LIMIT, connect, until).await.map_err(|_| None)?;
    if head.status.is_success() && read::is_json(&body) {
        return Ok(body);
    }
    Err(Some(Failure::status(name, &head, &openai::read_error(&body))))
}
