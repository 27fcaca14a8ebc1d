//! Cumulative figures of every target in, the `Observe` stream to the leader out: when something changed, once a second at most,
//! and once more at the end: what a proxy served last, which is all that a short-lived Pod ever serves, counts too.

use crate::metrics::Metrics;
use crate::operator::{Backoff, Operator};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tollway_core::control::Observation;

const PERIOD: Duration = Duration::from_secs(1);
/// How long the last word may take; the process ends without it otherwise.
const LAST: Duration = Duration::from_secs(2);

/// Follows the leader and tells it what this proxy saw, until `stop` is true and the last of it is told.
pub async fn run(
    metrics: Arc<Metrics>,
    incarnation: String,
    mut leader: watch::Receiver<Option<Operator>>,
    mut stop: watch::Receiver<bool>,
) {
    let mut backoff = Backoff::default();
    loop {
        let found = tokio::select! {
            found = leader.wait_for(Option::is_some) => found.map(|found| found.clone()),
            _ = stop.wait_for(|stop| *stop) => return,
        };
        let Ok(operator) = found else { return };
        let Some(operator) = operator else { continue };
        let outcome = stream(&metrics, &incarnation, operator, &mut stop).await;
        if *stop.borrow() {
            return;
        }
        if let Err(status) = outcome {
            tracing::debug!(%status, "the observation stream ended");
        }
        tokio::time::sleep(backoff.pause()).await;
        if leader.has_changed().unwrap_or(true) {
            backoff.reset();
        }
    }
}

async fn stream(
    metrics: &Metrics,
    incarnation: &str,
    mut operator: Operator,
    stop: &mut watch::Receiver<bool>,
) -> Result<(), tonic::Status> {
    let (up, messages) = mpsc::channel(1);
    let call = operator.client.observe(ReceiverStream::new(messages));
    tokio::pin!(call);
    let mut last = (Vec::new(), Vec::new());
    let mut tick = tokio::time::interval(PERIOD);
    let news = |last: &(Vec<_>, Vec<_>)| {
        let seen = (metrics.observations(), metrics.endpoints());
        let is_news = seen != *last;
        let (targets, endpoints) = seen;
        is_news.then(|| Observation { incarnation: incarnation.to_owned(), targets, endpoints })
    };
    loop {
        tokio::select! {
            done = &mut call => return done.map(|_| ()),
            _ = stop.wait_for(|stop| *stop) => break,
            _ = tick.tick() => {}
        }
        if let Some(observation) = news(&last) {
            let told = (observation.targets.clone(), observation.endpoints.clone());
            if up.try_send(observation).is_ok() {
                last = told;
            }
        }
    }
    let end = async {
        if let Some(observation) = news(&last) {
            tokio::select! {
                done = &mut call => return done.map(|_| ()),
                // The channel's end cannot be gone while the call lasts.
                _ = up.send(observation) => {}
            }
        }
        drop(up);
        call.await.map(|_| ())
    };
    let late = |_| Err(tonic::Status::deadline_exceeded("the operator did not take the last observation"));
    tokio::time::timeout(LAST, end).await.unwrap_or_else(late)
}
