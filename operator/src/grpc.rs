//! Calls of proxies in; authenticated streams over the leader's state out. Replicas that do not lead answer UNAVAILABLE.

mod ledger;
mod observe;
mod watch;

/// The server half that `build.rs` generates.
mod stub {
    #![allow(missing_docs, clippy::all, clippy::pedantic)]
    tonic::include_proto!("tollway.control.v1");
}

use crate::auth::{Auth, Caller};
use crate::metrics::Metrics;
use crate::term::Term;
use std::sync::Arc;
use std::time::Duration;
use stub::control_server::{self, ControlServer};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tollway_core::control::{LedgerDown, LedgerUp, Observation, ObserveDone, WatchDown, WatchUp};
use tonic::transport::{Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status, Streaming};

/// The first message of a stream must come within this time.
const HELLO: Duration = Duration::from_secs(10);
/// Messages that wait for one slow proxy; one that falls further behind is disconnected and begins again.
const BUFFER: usize = 256;
/// A message of a proxy is small; the largest is the hello of a ledger stream.
const MESSAGE: usize = 4 << 20;

/// What each call needs.
pub struct Control {
    auth: Arc<Auth>,
    term: tokio::sync::watch::Receiver<Option<Arc<Term>>>,
    metrics: Arc<Metrics>,
}

/// The leader's state as one stream holds it: ends with the term.
#[derive(Clone)]
pub(crate) struct Tenure {
    pub(crate) term: Arc<Term>,
    current: tokio::sync::watch::Receiver<Option<Arc<Term>>>,
}

impl Tenure {
    /// Returns when this replica no longer leads in the term that the stream began in.
    pub(crate) async fn ended(&mut self) {
        let term = self.term.clone();
        // An error means that the process stops.
        let _ = self.current.wait_for(|now| now.as_ref().is_none_or(|now| !Arc::ptr_eq(now, &term))).await;
    }
}

pub(crate) fn not_leading() -> Status {
    Status::unavailable("this replica does not lead; try another address of the operator")
}

impl Control {
    /// Serves whatever term is current.
    pub fn new(
        auth: Arc<Auth>,
        term: tokio::sync::watch::Receiver<Option<Arc<Term>>>,
        metrics: Arc<Metrics>,
    ) -> Control {
        Control { auth, term, metrics }
    }

    async fn admit<M>(&self, request: &Request<M>) -> Result<(Caller, Tenure), Status> {
        let term = self.term.borrow().clone().ok_or_else(not_leading)?;
        let caller = self.auth.caller(request.metadata()).await.inspect_err(|status| {
            if status.code() == tonic::Code::Unauthenticated {
                self.metrics.unauthenticated.inc();
                tracing::info!(reason = status.message(), peer = ?request.remote_addr(), "call turned away");
            }
        })?;
        term.serves(&caller.namespace)?;
        Ok((caller, Tenure { term, current: self.term.clone() }))
    }
}

#[tonic::async_trait]
impl control_server::Control for Control {
    type WatchStream = ReceiverStream<Result<WatchDown, Status>>;
    type LedgerStream = ReceiverStream<Result<LedgerDown, Status>>;

    async fn watch(&self, request: Request<Streaming<WatchUp>>) -> Result<Response<Self::WatchStream>, Status> {
        let (caller, tenure) = self.admit(&request).await?;
        // Small: a table waits here only while the one before it is being read.
        let (down, stream) = mpsc::channel(4);
        let metrics = self.metrics.clone();
        tokio::spawn(watch::run(caller, tenure, request.into_inner(), down, metrics));
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn ledger(&self, request: Request<Streaming<LedgerUp>>) -> Result<Response<Self::LedgerStream>, Status> {
        let (caller, tenure) = self.admit(&request).await?;
        let (down, stream) = mpsc::channel(BUFFER);
        tokio::spawn(ledger::run(caller, tenure, request.into_inner(), down));
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn observe(&self, request: Request<Streaming<Observation>>) -> Result<Response<ObserveDone>, Status> {
        let (caller, tenure) = self.admit(&request).await?;
        observe::run(caller, tenure, request.into_inner()).await.map(|()| Response::new(ObserveDone {}))
    }
}

/// Serves until `stop` turns true; open streams end with their term.
pub async fn serve(
    listener: TcpListener,
    identity: Identity,
    control: Control,
    mut stop: tokio::sync::watch::Receiver<bool>,
) -> Result<(), tonic::transport::Error> {
    Server::builder()
        .tls_config(ServerTlsConfig::new().identity(identity))?
        // A proxy whose machine vanished sends no FIN: its place is given up after 10 s.
        .http2_keepalive_interval(Some(Duration::from_secs(5)))
        .http2_keepalive_timeout(Some(Duration::from_secs(5)))
        .max_concurrent_streams(Some(64))
        .add_service(ControlServer::new(control).max_decoding_message_size(MESSAGE))
        .serve_with_incoming_shutdown(TcpListenerStream::new(listener), async move {
            // An error means that the process is going down anyway.
            let _ = stop.wait_for(|stop| *stop).await;
        })
        .await
}

/// The first message of a stream, or the status that ends it.
async fn first<M>(up: &mut Streaming<M>) -> Result<M, Status> {
    match tokio::time::timeout(HELLO, up.message()).await {
        Ok(Ok(Some(message))) => Ok(message),
        Ok(Ok(None)) => Err(Status::invalid_argument("the stream ended before its hello")),
        Ok(Err(status)) => Err(status),
        Err(_) => Err(Status::deadline_exceeded("no hello within 10 s")),
    }
}
