//! Cumulative figures of every target in, the `Observe` stream to the leader out: when something changed, once a second at most.

use crate::metrics::Metrics;
use crate::operator::{Backoff, Operator};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tollway_core::control::Observation;

const PERIOD: Duration = Duration::from_secs(1);

/// Follows the leader and tells it what this proxy saw, for as long as the process lives.
pub async fn run(metrics: Arc<Metrics>, incarnation: String, mut leader: watch::Receiver<Option<Operator>>) {
    let mut backoff = Backoff::default();
    loop {
        let Ok(operator) = leader.wait_for(Option::is_some).await.map(|found| found.clone()) else { return };
        let Some(operator) = operator else { continue };
        if let Err(status) = stream(&metrics, &incarnation, operator).await {
            tracing::debug!(%status, "the observation stream ended");
        }
        tokio::time::sleep(backoff.pause()).await;
        if leader.has_changed().unwrap_or(true) {
            backoff.reset();
        }
    }
}

async fn stream(metrics: &Metrics, incarnation: &str, mut operator: Operator) -> Result<(), tonic::Status> {
    let (up, messages) = mpsc::channel(1);
    let call = operator.client.observe(ReceiverStream::new(messages));
    tokio::pin!(call);
    let mut last = Vec::new();
    let mut tick = tokio::time::interval(PERIOD);
    loop {
        tokio::select! {
            done = &mut call => return done.map(|_| ()),
            _ = tick.tick() => {}
        }
        let targets = metrics.observations();
        if targets == last {
            continue;
        }
        let observation = Observation { incarnation: incarnation.to_owned(), targets: targets.clone() };
        if up.try_send(observation).is_ok() {
            last = targets;
        }
    }
}
