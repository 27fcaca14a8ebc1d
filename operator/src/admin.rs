//! Probes and scrapes in; /livez, /readyz and /metrics out.

use crate::admission::Current;
use crate::leader::Role;
use crate::metrics::Metrics;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::watch;

#[derive(Clone)]
struct Admin {
    metrics: Arc<Metrics>,
    role: watch::Receiver<Role>,
    webhook: Option<Arc<Current>>,
}

/// Serves until `stop` turns true.
pub async fn serve(
    listener: TcpListener,
    metrics: Arc<Metrics>,
    role: watch::Receiver<Role>,
    webhook: Option<Arc<Current>>,
    mut stop: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let router = Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(scrape))
        .with_state(Admin { metrics, role, webhook });
    axum::serve(listener, router)
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

async fn scrape(State(admin): State<Admin>) -> Response {
    match admin.metrics.render() {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
