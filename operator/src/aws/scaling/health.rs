//! What an EmbeddingEndpoint asks for and whether its instances run in; a tiny call now and then, and what came of it, out.
//!
//! # Why the operator calls
//! Proxies see only the endpoints that somebody uses, and each of them would call. One operator calls each endpoint once, whoever uses it.

use super::keep::{Asker, Order};
use crate::aws::Pace;
use crate::aws::runtime::{Invocation, Runtime};
use crate::ledger::Key;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tollway_core::status::{HealthSeen, Trouble};
use tollway_core::validate::milliseconds;
use tollway_crds::EmbeddingEndpointSpec;
use tollway_crds::embedding_endpoint::Payload;

/// What is embedded.
const TEXT: &str = "health";
/// Time between calls where the spec says nothing, and after a failure.
const INTERVAL: Duration = Duration::from_secs(300);
const SOON: Duration = Duration::from_secs(15);

/// The tiny call that a spec asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Time between calls; none: there are none.
    pub interval: Option<Duration>,
    /// JSON.
    pub body: String,
    /// Length of the vector that must come back.
    pub dimensions: usize,
}

impl Check {
    /// What a checked spec asks for.
    pub fn of(spec: &EmbeddingEndpointSpec) -> Check {
        let interval = spec.health_check.as_ref().and_then(|check| milliseconds(&check.interval.as_ref()?.0));
        let interval = interval.map_or(INTERVAL, Duration::from_millis);
        let body = match spec.sagemaker.payload {
            Some(Payload::OpenAI) => json!({"input": [TEXT], "model": spec.model.0}),
            None | Some(Payload::Inputs | Payload::Tei) => json!({"inputs": [TEXT]}),
        };
        Check {
            interval: (!interval.is_zero()).then_some(interval),
            body: body.to_string(),
            dimensions: usize::try_from(spec.dimensions).unwrap_or(usize::MAX),
        }
    }
}

/// Where the endpoint is, and whether anything runs there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whereabouts {
    /// Region.
    pub region: String,
    /// Instances run.
    pub runs: bool,
}

/// What to do about an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Due {
    /// There is nothing to say.
    Nothing,
    /// It is not called, and that is said.
    Say(HealthSeen),
    /// It is called.
    Call(Invocation, usize, Duration),
}

fn due(asker: Option<&Asker>, running: Option<&Whereabouts>) -> Due {
    let (Some(asker), Some(running)) = (asker, running) else { return Due::Nothing };
    let Check { interval, body, dimensions } = asker.check.clone();
    match interval {
        None => Due::Say(HealthSeen::NotChecked),
        Some(_) if !running.runs => Due::Say(HealthSeen::NoInstances),
        Some(interval) => {
            let (endpoint, variant, component) = (asker.name.clone(), asker.variant.clone(), asker.component.clone());
            let region = running.region.clone();
            Due::Call(Invocation { region, endpoint, variant, component, body }, dimensions, interval)
        }
    }
}

/// Calls one endpoint until it is dropped; `tell` hears what came of each call.
pub async fn watch<R: Runtime>(
    key: Key,
    runtime: Arc<R>,
    mut orders: watch::Receiver<Order>,
    mut running: watch::Receiver<Option<Whereabouts>>,
    tell: impl Fn(HealthSeen) + Send,
) {
    let (mut held, mut next, mut failures) = (Due::Nothing, Instant::now(), 0);
    loop {
        let now = due(orders.borrow_and_update().endpoint.as_ref(), running.borrow_and_update().as_ref());
        if now != held {
            (held, next, failures) = (now, Instant::now(), 0);
            if let Due::Say(seen) = &held {
                tell(seen.clone());
            }
        }
        let asleep = match &held {
            Due::Call(what, dimensions, interval) => {
                if next <= Instant::now() {
                    let seen = call(runtime.as_ref(), what, *dimensions).await;
                    failures = if let HealthSeen::Failed(Trouble { reason, message }) = &seen {
                        tracing::warn!(endpoint = %key, reason, "not healthy: {message}");
                        failures + 1
                    } else {
                        0
                    };
                    tell(seen);
                    next = Instant::now() + pause(*interval, failures);
                }
                Some(next)
            }
            Due::Nothing | Due::Say(_) => None,
        };
        tokio::select! {
            () = until(asleep) => {}
            changed = orders.changed() => if changed.is_err() { return },
            changed = running.changed() => if changed.is_err() { return },
        }
    }
}

fn pause(interval: Duration, failures: u32) -> Duration {
    Pace { first: SOON.min(interval), longest: interval }.after(failures)
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

async fn call<R: Runtime>(runtime: &R, what: &Invocation, dimensions: usize) -> HealthSeen {
    match runtime.invoke(what).await {
        Err(error) => HealthSeen::Failed(error.on_endpoint()),
        Ok(answer) => match width(&serde_json::from_slice(&answer).unwrap_or_default()) {
            Some(width) if width == dimensions => HealthSeen::Answered,
            Some(width) => HealthSeen::Failed(Trouble {
                reason: "WrongDimensions",
                message: format!(
                    "the endpoint gives vectors of {width} numbers, and spec.dimensions is {dimensions}: correct it, or the endpoint"
                ),
            }),
            None => HealthSeen::Failed(Trouble {
                reason: "BadAnswer",
                message: format!(
                    "no vector is in the endpoint's answer to {}: check spec.sagemaker.payload and the container",
                    what.body
                ),
            }),
        },
    }
}

/// The length of the first row of numbers, in any of the forms that containers answer in.
fn width(answer: &Value) -> Option<usize> {
    match answer {
        Value::Object(fields) => ["embeddings", "data", "embedding"].iter().find_map(|name| width(fields.get(*name)?)),
        Value::Array(numbers) if !numbers.is_empty() && numbers.iter().all(Value::is_number) => Some(numbers.len()),
        Value::Array(rows) => width(rows.first()?),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
