//! The port: connections in, each request handed to its wire by path; a gate opens, refuses or closes.

use super::book::{Book, Surface};
use super::config::Config;
use super::script::Script;
use super::serve::{Body, Cut, whole};
use super::{admin, anthropic, bedrock, embedder, hosted, openai, queued};
use anyhow::Context;
use http::{Request, Response};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Whether the port takes connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gate {
    Open,
    Refusing,
    Closed,
}

/// Everything one simulator knows.
pub(super) struct State {
    pub config: Config,
    pub book: Arc<Book>,
    script: Mutex<Script>,
    gate: watch::Sender<Gate>,
    /// Results of asynchronous invocations are held back.
    pub holding: watch::Sender<bool>,
    listening: watch::Sender<bool>,
    /// Counts the calls of `Sim::release`.
    pub releases: watch::Sender<u64>,
}

/// Larger than anything the services take.
const MOST_BODY: usize = 32 << 20;

impl State {
    pub(super) fn new(config: Config) -> Arc<Self> {
        Arc::new(Self {
            book: Book::new(config.keep_requests),
            config,
            script: Mutex::default(),
            gate: watch::Sender::new(Gate::Open),
            holding: watch::Sender::new(false),
            listening: watch::Sender::new(false),
            releases: watch::Sender::new(0),
        })
    }

    pub(super) fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closed is final.
    pub(super) fn set_gate(&self, to: Gate) {
        self.gate.send_if_modified(|gate| {
            let change = *gate != Gate::Closed && *gate != to;
            if change {
                *gate = to;
            }
            change
        });
    }

    pub(super) async fn listening(&self, wanted: bool) {
        // The sender lives in `self`, so the wait cannot fail.
        let _ = self.listening.subscribe().wait_for(|now| *now == wanted).await;
    }

    /// Refuses now and opens again after `span`.
    pub(super) fn refuse_for(self: &Arc<Self>, span: Duration) {
        self.set_gate(Gate::Refusing);
        let state = Arc::clone(self);
        tokio::spawn(async move {
            tokio::time::sleep(span).await;
            state.set_gate(Gate::Open);
        });
    }
}

/// Binds and serves until the gate is closed.
pub(super) async fn start(state: Arc<State>) -> anyhow::Result<(SocketAddr, JoinHandle<()>)> {
    let asked = state.config.listen;
    let listener = TcpListener::bind(asked).await.with_context(|| format!("cannot listen on {asked}"))?;
    let address = listener.local_addr()?;
    state.listening.send_replace(true);
    let accepting = tokio::spawn(accept(state, listener, address));
    Ok((address, accepting))
}

async fn accept(state: Arc<State>, first: TcpListener, address: SocketAddr) {
    let mut gate = state.gate.subscribe();
    let mut listener = Some(first);
    loop {
        let now = *gate.borrow_and_update();
        match (now, listener.take()) {
            (Gate::Closed, _) => break,
            (Gate::Refusing, open) => {
                drop(open);
                state.listening.send_replace(false);
                if gate.changed().await.is_err() {
                    break;
                }
            }
            (Gate::Open, None) => match TcpListener::bind(address).await {
                Ok(bound) => {
                    listener = Some(bound);
                    state.listening.send_replace(true);
                }
                // Somebody else took the port for a moment.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
            (Gate::Open, Some(bound)) => {
                tokio::select! {
                    accepted = bound.accept() => {
                        if let Ok((stream, _)) = accepted {
                            tokio::spawn(connection(Arc::clone(&state), stream, state.gate.subscribe()));
                        }
                    }
                    changed = gate.changed() => {
                        if changed.is_err() {
                            break;
                        }
                    }
                }
                listener = Some(bound);
            }
        }
    }
    state.listening.send_replace(false);
}

async fn connection(state: Arc<State>, stream: TcpStream, mut gate: watch::Receiver<Gate>) {
    // Without it each small event would wait for the acknowledgement of the one before.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let state = Arc::clone(&state);
        async move { handle(&state, request).await }
    });
    let serving = http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
    tokio::pin!(serving);
    loop {
        let now = *gate.borrow_and_update();
        match now {
            Gate::Closed => return,
            Gate::Refusing => serving.as_mut().graceful_shutdown(),
            Gate::Open => {}
        }
        tokio::select! {
            // A connection that ends badly was cut by its client or by the script: the book has it.
            _ = &mut serving => return,
            changed = gate.changed() => {
                if changed.is_err() {
                    return;
                }
            }
        }
    }
}

async fn handle(state: &Arc<State>, request: Request<Incoming>) -> Result<Response<Body>, Cut> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path();
    let body = match Limited::new(body, MOST_BODY).collect().await {
        Ok(body) => body.to_bytes(),
        Err(e) if e.is::<http_body_util::LengthLimitError>() => {
            return Ok(whole(413, "application/json", r#"{"message":"Request body is too large."}"#));
        }
        Err(_) => return Err(Cut),
    };
    if path.starts_with("/_sim/") {
        return Ok(admin::handle(state, &parts, &body));
    }
    if path.starts_with("/model/") {
        let flight = state.book.open(Surface::Bedrock, &parts, body.clone());
        return bedrock::handle(state, flight, &parts, &body).await;
    }
    if path.starts_with("/runtimes/") {
        let flight = state.book.open(Surface::AgentCore, &parts, body.clone());
        return hosted::handle(state, flight, &parts, &body).await;
    }
    if path.starts_with("/endpoints/") {
        let flight = state.book.open(Surface::SageMaker, &parts, body.clone());
        return if path.ends_with(queued::SUFFIX) {
            queued::invoke(state, flight, &parts, &body).await
        } else if hosted::chats(&body) {
            hosted::handle(state, flight, &parts, &body).await
        } else {
            embedder::invoke(state, flight, &parts, &body).await
        };
    }
    if path == "/v1/embeddings" {
        let flight = state.book.open(Surface::Openai, &parts, body.clone());
        return embedder::openai(state, flight, &body).await;
    }
    if path.starts_with("/v1/messages") {
        let flight = state.book.open(Surface::Anthropic, &parts, body.clone());
        return anthropic::handle(state, flight, &parts, &body).await;
    }
    let flight = state.book.open(Surface::Openai, &parts, body.clone());
    openai::handle(state, flight, &parts, &body).await
}
