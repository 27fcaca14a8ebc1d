//! In: what a program posts to `/v1/traces`. Out: its spans, read by OpenTelemetry's own messages in Python. A collector for tests that can
//! be slow, or refuse.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::{python, scratch, wait};

/// A collector on loopback.
#[derive(Debug)]
pub struct Collector {
    address: SocketAddr,
    state: Arc<State>,
    serving: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct State {
    taken: Mutex<Vec<(HeaderMap, Bytes)>>,
    /// Answers of the next requests, before it takes any.
    refusals: Mutex<Vec<StatusCode>>,
}

impl Collector {
    pub async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(State::default());
        let serving = tokio::spawn(serve(listener, Arc::clone(&state)));
        Self { address, state, serving }
    }

    /// For `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Answers the next request with `status`, and does not take it.
    pub fn refuse(&self, status: StatusCode) {
        self.state.refusals.lock().unwrap_or_else(PoisonError::into_inner).push(status);
    }

    /// Headers of the requests taken so far.
    pub fn headers(&self) -> Vec<HeaderMap> {
        let taken = self.state.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.iter().map(|(headers, _)| headers.clone()).collect()
    }

    /// Every span taken so far, as soon as there are `count`.
    pub async fn spans(&self, count: usize) -> Vec<Value> {
        wait::until(&format!("{count} spans"), async || {
            let bodies: Vec<Bytes> = {
                let taken = self.state.taken.lock().unwrap_or_else(PoisonError::into_inner);
                taken.iter().map(|(_, body)| body.clone()).collect()
            };
            if bodies.is_empty() {
                tokio::time::sleep(Duration::from_millis(50)).await;
                return None;
            }
            let spans = tokio::task::spawn_blocking(move || read(&bodies)).await.expect("the Python program");
            (spans.len() >= count).then_some(spans)
        })
        .await
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn read(bodies: &[Bytes]) -> Vec<Value> {
    let folder = scratch::folder("spans");
    for (number, body) in bodies.iter().enumerate() {
        std::fs::write(folder.join(number.to_string()), body).expect("a file in the test run's folder");
    }
    let output = python::script("read_spans.py").arg(&folder).output();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

async fn serve(listener: TcpListener, state: Arc<State>) {
    loop {
        let Ok((socket, _)) = listener.accept().await else { return };
        let state = Arc::clone(&state);
        let service = service_fn(move |request| take(request, Arc::clone(&state)));
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(socket), service));
    }
}

async fn take(request: Request<Incoming>, state: Arc<State>) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let mut response = Response::new(Full::default());
    let refusal = state.refusals.lock().unwrap_or_else(PoisonError::into_inner).pop();
    if let Some(status) = refusal {
        *response.status_mut() = status;
    } else if head.uri.path() == "/v1/traces" {
        state.taken.lock().unwrap_or_else(PoisonError::into_inner).push((head.headers, body));
    } else {
        *response.status_mut() = StatusCode::NOT_FOUND;
    }
    Ok(response)
}
