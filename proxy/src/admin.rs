//! The admin port: probes, metrics, and to loopback callers the status page and the table.

mod page;

use crate::ledger::Ledger;
use crate::metrics::Metrics;
use crate::source::{Health, Live};
use crate::status::{self, Process};
use crate::store::Store;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
const HTML: &str = "text/html; charset=utf-8";

/// What the pages are made from.
#[derive(Debug)]
pub struct Admin {
    pub process: Process,
    pub live: Live,
    pub metrics: Arc<Metrics>,
    pub ledger: Ledger,
    pub health: watch::Receiver<Health>,
    pub store: Option<Arc<Store>>,
}

/// Answers until the process ends.
pub async fn serve(listener: TcpListener, admin: Arc<Admin>) {
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "the admin port could not accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let admin = Arc::clone(&admin);
        tokio::spawn(async move {
            let answer = service_fn(|request: Request<Incoming>| {
                let answer = admin.answer(request.method(), request.uri().path(), request.headers(), peer);
                async move { Ok::<_, std::convert::Infallible>(answer) }
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(Duration::from_secs(10))
                .serve_connection(TokioIo::new(stream), answer);
            if let Err(error) = connection.await {
                tracing::debug!(%error, "an admin connection broke off");
            }
        });
    }
}

impl Admin {
    fn answer(&self, method: &Method, path: &str, headers: &HeaderMap, peer: SocketAddr) -> Response<Full<Bytes>> {
        if method != Method::GET && method != Method::HEAD {
            return reply(StatusCode::METHOD_NOT_ALLOWED, TEXT, "the admin port only answers GET\n");
        }
        match path {
            "/livez" => reply(StatusCode::OK, TEXT, "ok\n"),
            "/readyz" if self.live.load().is_some() => reply(StatusCode::OK, TEXT, "ok\n"),
            "/readyz" => reply(StatusCode::SERVICE_UNAVAILABLE, TEXT, "no table yet\n"),
            "/metrics" => self.metrics_text(),
            "/status" | "/table" | "/" if !peer.ip().to_canonical().is_loopback() => reply(
                StatusCode::FORBIDDEN,
                TEXT,
                "only loopback callers may read this: use kubectl port-forward or exec\n",
            ),
            "/status" | "/" if wants_html(headers) => reply(StatusCode::OK, HTML, page::render(&self.status())),
            "/status" | "/" => json(&self.status()),
            "/table" => match self.live.load().as_ref() {
                Some(serving) => json(&serving.table),
                None => reply(StatusCode::SERVICE_UNAVAILABLE, TEXT, "no table yet\n"),
            },
            _ => reply(StatusCode::NOT_FOUND, TEXT, "here are /livez, /readyz, /metrics, /status and /table\n"),
        }
    }

    fn status(&self) -> status::Page {
        let live = self.live.load();
        let store = self.store.as_deref();
        let budgets = self.ledger.budgets();
        status::gather(&self.process, live.as_deref(), &self.metrics, &budgets, &self.health.borrow(), store)
    }

    fn metrics_text(&self) -> Response<Full<Bytes>> {
        let live = self.live.load();
        match self.metrics.encode(live.as_deref(), &self.ledger.budgets()) {
            Ok(text) => reply(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", text),
            Err(error) => reply(StatusCode::INTERNAL_SERVER_ERROR, TEXT, format!("{error}\n")),
        }
    }
}

fn wants_html(headers: &HeaderMap) -> bool {
    headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("text/html"))
}

fn json(value: &impl serde::Serialize) -> Response<Full<Bytes>> {
    match serde_json::to_vec_pretty(value) {
        Ok(mut text) => {
            text.push(b'\n');
            reply(StatusCode::OK, JSON, text)
        }
        Err(error) => reply(StatusCode::INTERNAL_SERVER_ERROR, TEXT, format!("{error}\n")),
    }
}

fn reply(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, header::HeaderValue::from_static("nosniff"));
    response
}

#[cfg(test)]
mod tests;
