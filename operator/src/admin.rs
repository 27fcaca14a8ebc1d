//! Probes and scrapes in; /livez, /readyz and /metrics out, and to loopback callers the status page.

mod overview;
mod page;

use crate::admission::Current;
use crate::leader::Role;
use crate::metrics::Metrics;
use axum::Json;
use axum::Router;
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
pub use overview::Reader;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::watch;

#[derive(Clone)]
struct Admin {
    metrics: Arc<Metrics>,
    role: watch::Receiver<Role>,
    webhook: Option<Arc<Current>>,
    reader: Arc<Reader>,
}

/// Serves until `stop` turns true.
pub async fn serve(
    listener: TcpListener,
    metrics: Arc<Metrics>,
    role: watch::Receiver<Role>,
    webhook: Option<Arc<Current>>,
    reader: Arc<Reader>,
    mut stop: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let router = Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(scrape))
        .route("/status", get(status))
        .route("/", get(status))
        .with_state(Admin { metrics, role, webhook, reader });
    axum::serve(listener, router.into_make_service_with_connect_info::<SocketAddr>())
        .with_graceful_shutdown(async move {
            // An error means that the process is going down anyway.
            let _ = stop.wait_for(|stop| *stop).await;
        })
        .await
}

/// A replica that the API server may ask must be able to answer. A standby is ready: it takes over, and its answer UNAVAILABLE sends proxies on to the leader.
async fn readyz(State(admin): State<Admin>) -> Response {
    if admin.webhook.is_some_and(|current| !current.is_held()) {
        return (StatusCode::SERVICE_UNAVAILABLE, "the webhook has no certificate yet\n").into_response();
    }
    let role = *admin.role.borrow();
    match role {
        Role::Leader => "ok: leading\n".into_response(),
        Role::Standby => "ok: standing by\n".into_response(),
        Role::Unknown => {
            (StatusCode::SERVICE_UNAVAILABLE, "the Kubernetes API has not been reached yet\n").into_response()
        }
    }
}

/// Names and amounts of every namespace are nobody's business who can merely reach the port.
async fn status(
    State(admin): State<Admin>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
) -> Response {
    if !peer.ip().to_canonical().is_loopback() {
        return (StatusCode::FORBIDDEN, "only loopback callers may read this: use kubectl port-forward\n")
            .into_response();
    }
    let overview = admin.reader.read().await;
    let accepts = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let fresh = [(header::CACHE_CONTROL, "no-store"), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")];
    if accepts.contains("text/html") {
        let role = *admin.role.borrow();
        let html = [(header::CONTENT_TYPE, "text/html; charset=utf-8")];
        return (fresh, html, page::render(role, &overview)).into_response();
    }
    (fresh, Json(overview)).into_response()
}

async fn scrape(State(admin): State<Admin>) -> Response {
    match admin.metrics.render() {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
