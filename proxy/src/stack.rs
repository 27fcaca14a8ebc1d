//! One request in, one response out, through every layer in order; each stands here with its reason.

use crate::access::Entry;
use crate::body::Body;
use crate::dialect::{self, Dialect};
use crate::error::{ApiError, Code};
use crate::ledger::Ledger;
use crate::metrics::{Metrics, Outcome};
use crate::source::{Live, Serving};
use crate::targets::Targets;
use crate::upstream::{Policy, Upstream};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use serde_json::json;
use std::sync::Arc;
use tokio::time::Instant;

/// Everything that outlives a request.
#[derive(Debug)]
pub struct Proxy {
    pub live: Live,
    pub ledger: Arc<Ledger>,
    pub metrics: Arc<Metrics>,
    pub targets: Targets,
    pub upstream: Upstream,
    pub options: Options,
}

/// What the command line says about serving.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Most bytes of a request's body.
    pub body_limit: usize,
    /// What targets without `loopback: true` may reach: `Guarded` in a cluster, `Loopback` in standalone.
    pub policy: Policy,
}

impl Default for Options {
    fn default() -> Self {
        Self { body_limit: 20 * 1024 * 1024, policy: Policy::Guarded }
    }
}

impl Proxy {
    #[must_use]
    pub fn new(live: Live, ledger: Arc<Ledger>, metrics: Arc<Metrics>, options: Options) -> Arc<Self> {
        let targets = Targets::new(Arc::clone(&live), Arc::clone(&metrics));
        Arc::new(Self { live, ledger, metrics, targets, upstream: Upstream::default(), options })
    }
}

/// Serves one request; never fails.
pub async fn handle(proxy: &Arc<Proxy>, request: Request<Incoming>) -> Response<Body> {
    let entry = Entry::new(request_id(), Instant::now());
    match serve(proxy, &request) {
        Ok(response) => response,
        Err(error) => rescue(&error, Dialect::OpenAi, entry),
    }
}

fn serve(proxy: &Arc<Proxy>, request: &Request<Incoming>) -> Result<Response<Body>, ApiError> {
    let serving = proxy.live.load_full().ok_or_else(not_ready)?;
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/v1/models") => Ok(models(&serving)),
        (method, path) => Err(no_such_path(method, path)),
    }
}

/// Every name a client may send, without the wildcard.
fn models(serving: &Serving) -> Response<Body> {
    let names = serving.table.models.keys().filter(|name| *name != "*");
    let data: Vec<_> =
        names.map(|name| json!({"id": name, "object": "model", "created": 0, "owned_by": "tollway"})).collect();
    let mut response = Response::new(Body::bytes(json!({"object": "list", "data": data}).to_string().into()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn not_ready() -> ApiError {
    ApiError::new(Code::NotReady, "no routing table has arrived yet; try again in a moment")
}

fn no_such_path(method: &Method, path: &str) -> ApiError {
    ApiError::invalid(format!("nothing is served at {method} {path}")).status(StatusCode::NOT_FOUND)
}

/// The one place where an error becomes a response.
fn rescue(error: &ApiError, dialect: Dialect, mut entry: Entry) -> Response<Body> {
    (entry.status, entry.code, entry.outcome) = (error.status, Some(error.code), Outcome::Refused);
    let mut response = Response::new(Body::bytes(dialect.error(error)));
    *response.status_mut() = error.status;
    dialect::explain(response.headers_mut(), error);
    response
}

fn request_id() -> String {
    format!("req_{:016x}{:08x}", fastrand::u64(..), fastrand::u32(..))
}
