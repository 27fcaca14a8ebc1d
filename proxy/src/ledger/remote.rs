//! The operator as the ledger: due messages of every purse up, grants, denials, recalls and budget state down.

use super::{Ledger, now_ms};
use crate::operator::{Backoff, Operator};
use crate::source::Live;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tollway_core::control::ledger_up::Message as Up;
use tollway_core::control::{LedgerHello, LedgerUp};
use tollway_core::spend::convert;

/// How often purses are asked for what is due when nothing wakes the driver.
const TICK: Duration = Duration::from_millis(250);
/// How long the operator may be gone before requests are refused at once instead of waiting for it.
const PATIENCE: Duration = Duration::from_secs(5);

/// Keeps the purses filled by the leader, for as long as the process lives.
/// Once told to stop it gives every grant back, and ends when the leader has taken them.
pub async fn run(
    ledger: Ledger,
    live: Live,
    incarnation: String,
    mut leader: watch::Receiver<Option<Operator>>,
    mut stop: watch::Receiver<bool>,
) {
    let mut backoff = Backoff::default();
    loop {
        if *stop.borrow() && ledger.accounts().is_empty() {
            return;
        }
        let soon = tokio::time::timeout(PATIENCE, leader.wait_for(Option::is_some)).await.is_ok();
        ledger.shared.reachable.store(soon, Ordering::Relaxed);
        let Ok(operator) = leader.wait_for(Option::is_some).await.map(|found| found.clone()) else { return };
        let Some(operator) = operator else { continue };
        ledger.shared.reachable.store(true, Ordering::Relaxed);
        match stream(&ledger, &live, &incarnation, operator, &mut stop).await {
            Ok(()) => backoff.reset(),
            Err(status) => tracing::warn!(%status, "the ledger stream ended; held grants go on being spent"),
        }
        tokio::time::sleep(backoff.pause()).await;
    }
}

/// One stream to its end. The way up is not bounded, or both ends could wait for each other; the purses say little: each grant once a second.
async fn stream(
    ledger: &Ledger,
    live: &Live,
    incarnation: &str,
    mut operator: Operator,
    stop: &mut watch::Receiver<bool>,
) -> Result<(), tonic::Status> {
    let (up, messages) = mpsc::unbounded_channel::<LedgerUp>();
    let shown = ledger.accounts().hello();
    let held = shown.into_iter().map(|(budget, ledger, grant)| convert::held(&budget, ledger, grant)).collect();
    let hello = Up::Hello(LedgerHello { incarnation: incarnation.to_owned(), held });
    if up.send(LedgerUp { message: Some(hello) }).is_err() {
        return Ok(());
    }
    let mut down = operator.client.ledger(UnboundedReceiverStream::new(messages)).await?.into_inner();
    let mut tick = tokio::time::interval(TICK);
    loop {
        tokio::select! {
            message = down.message() => {
                let Some(message) = message? else { return Ok(()) };
                if let Some((budget, subject, message)) = convert::taken(message)
                    && ledger.accounts().take(now_ms(), &budget, subject, message)
                {
                    ledger.shared.changed.notify_waiters();
                }
            }
            () = ledger.shared.due.notified() => {}
            Ok(()) = stop.changed() => {}
            _ = tick.tick() => {
                if let Some(serving) = live.load().as_ref() {
                    ledger.accounts().keep_only(&serving.table);
                }
            }
        }
        if *stop.borrow() {
            ledger.accounts().retire();
            if ledger.accounts().is_empty() {
                return Ok(());
            }
        }
        let due = ledger.accounts().poll(now_ms());
        for (budget, out) in due {
            if up.send(convert::up(&budget, out)).is_err() {
                return Ok(());
            }
        }
    }
}
