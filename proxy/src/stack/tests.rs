//! The stack as clients see it: a running proxy on loopback, in front of upstreams that misbehave.

mod answers;
mod budgets;
mod caches;
mod classes;
mod faults;
mod limits;
mod money;
mod prompts;
mod rates;
mod shared;
mod streams;
mod vectors;

use crate::fixture::{Act, Running, Upstream, assistant, completion, openai, simulated, table};
use http::StatusCode;
use tollway_core::table::Target;

/// A proxy whose `assistant` tries these targets in order.
async fn over(targets: Vec<(&str, Target)>) -> Running {
    Running::start(table(assistant(targets))).await
}

/// A proxy in front of one upstream.
async fn over_one(acts: Vec<Act>) -> (Running, Upstream) {
    let upstream = Upstream::start(acts).await;
    (over(vec![("first", openai(&upstream))]).await, upstream)
}

/// A proxy in front of an upstream and a simulated target that always answers.
async fn over_two(acts: Vec<Act>) -> (Running, Upstream) {
    let upstream = Upstream::start(acts).await;
    (over(vec![("first", openai(&upstream)), ("second", simulated("from the second"))]).await, upstream)
}

fn ok() -> Act {
    Act::Json(completion("hello"))
}

const OK: StatusCode = StatusCode::OK;
