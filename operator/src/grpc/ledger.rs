//! One proxy's Ledger stream: what it holds, asks, reports and closes in, to the keepers of its budgets; their answers out.

use super::{Tenure, first, not_leading};
use crate::auth::Caller;
use crate::ledger::{Books, Holder, Input, Stream, Streams};
use std::sync::Arc;
use tokio::sync::mpsc::Sender;
use tollway_core::control::{LedgerDown, LedgerUp, ledger_up::Message};
use tollway_core::spend::convert;
use tonic::{Status, Streaming};

/// Runs the stream to its end, and says why it ended if the proxy is still there to hear it.
pub(super) async fn run(
    caller: Caller,
    mut tenure: Tenure,
    mut up: Streaming<LedgerUp>,
    down: Sender<Result<LedgerDown, Status>>,
) {
    let hello = match first(&mut up).await {
        Ok(LedgerUp { message: Some(Message::Hello(hello)) }) if !hello.incarnation.is_empty() => hello,
        Ok(_) => {
            return end(&down, Status::invalid_argument("the first message must be a hello with an incarnation")).await;
        }
        Err(status) => return end(&down, status).await,
    };
    let pod = match &caller.pod {
        Some(pod) => pod.uid.clone(),
        None => format!("{}/{}", caller.account_uid, hello.incarnation),
    };
    let holder = Holder { pod, incarnation: hello.incarnation };
    let books = tenure.term.books.clone();
    let streams = books.streams(&caller.namespace);
    let place = Place { stream: streams.join(holder.clone(), hello.held, down.clone()), streams };
    books.greet(&caller.namespace, &place.stream);
    tokio::select! {
        () = tenure.ended() => end(&down, not_leading()).await,
        // The registry gave the stream up: a newer one, a dead Pod, or a proxy that does not read.
        () = place.stream.cut() => end(&down, Status::aborted("the stream was given up; connect again")).await,
        outcome = follow(&caller, &books, &holder, up, &down) => if let Err(status) = outcome {
            end(&down, status).await;
        },
    }
}

async fn end(down: &Sender<Result<LedgerDown, Status>>, status: Status) {
    // An error means that the proxy is gone; a full buffer, that it does not read.
    let _ = down.try_send(Err(status));
}

async fn follow(
    caller: &Caller,
    books: &Arc<Books>,
    holder: &Holder,
    mut up: Streaming<LedgerUp>,
    down: &Sender<Result<LedgerDown, Status>>,
) -> Result<(), Status> {
    while let Some(message) = up.message().await? {
        let (budget, input, ask) = match message.message {
            Some(Message::Hello(_)) => return Err(Status::invalid_argument("a second hello")),
            Some(Message::Ask(ask)) => (ask.budget.clone(), Input::Ask(holder.clone(), ask.clone()), Some(ask)),
            Some(Message::Report(report)) => (report.budget.clone(), Input::Report(holder.clone(), report), None),
            Some(Message::Close(close)) => (close.budget.clone(), Input::Close(holder.clone(), close), None),
            // A message of a newer version that this one does not know.
            None => continue,
        };
        let told = books.tell(&caller.namespace, &budget, input);
        if let Some(ask) = ask.filter(|_| !told) {
            let message = convert::unavailable(&holder.incarnation, &ask);
            down.send(Ok(message)).await.map_err(|_| Status::cancelled("the proxy is gone"))?;
        }
    }
    Ok(())
}

/// A proxy's place among the streams; given up when dropped.
struct Place {
    stream: Stream,
    streams: Arc<Streams>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.streams.leave(&self.stream);
    }
}
