//! Requests to targets in, responses out: one pooled client behind an address guard.
//!
//! # Why several pools
//! A connection made under one policy must not serve a request of a stricter one, and the time a connect may take belongs to the
//! connector. So there is one pool for each pair of policy and connect time-out in use; in practice one or two. Each thread that
//! serves has pools of its own, so that a request and its upstream connection never wait for another thread.

mod connect;
mod guard;

pub use connect::ConnectError;
pub use guard::Policy;

use bytes::Bytes;
use connect::Connector;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::error::Error as _;
use std::time::Duration;
use thread_local::ThreadLocal;

type Pool = Client<Connector, Full<Bytes>>;
type Pools = BTreeMap<(Policy, Duration), Pool>;

/// Shorter than the keep-alive of most servers, so that few requests meet a connection that is just being closed.
const IDLE: Duration = Duration::from_secs(30);
/// Connect time-outs come from the table; past this many distinct pools the unused ones go.
const MOST_POOLS: usize = 16;

/// The one way out of the proxy.
#[derive(Debug, Default)]
pub struct Upstream {
    pools: ThreadLocal<RefCell<Pools>>,
    tls: connect::Tls,
}

/// Why no response head came.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// No connection, so nothing was sent.
    #[error("{0}")]
    Connect(String),
    /// The connection broke after the request may have been read.
    #[error("connection broke before the answer: {0}")]
    Broken(#[source] hyper_util::client::legacy::Error),
}

impl Upstream {
    /// Sends one request and waits for the head of its response. Dropping the future, or the body, cancels the request.
    ///
    /// # Errors
    /// What kept the head from coming, and whether anything was sent.
    pub async fn send(
        &self,
        request: Request<Full<Bytes>>,
        policy: Policy,
        connect_timeout: Duration,
    ) -> Result<Response<Incoming>, SendError> {
        let response = self.pool(policy, connect_timeout).request(request);
        response.await.map_err(|error| {
            if error.is_connect() {
                let reason = error.source().map_or_else(|| error.to_string(), ToString::to_string);
                SendError::Connect(reason)
            } else {
                SendError::Broken(error)
            }
        })
    }

    fn pool(&self, policy: Policy, connect_timeout: Duration) -> Pool {
        let key = (policy, connect_timeout);
        let mut pools = self.pools.get_or_default().borrow_mut();
        if let Some(pool) = pools.get(&key) {
            return pool.clone();
        }
        if pools.len() >= MOST_POOLS {
            pools.clear();
        }
        let pool = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .http1_max_buf_size(256 * 1024)
            .http2_initial_stream_window_size(256 * 1024)
            .http2_initial_connection_window_size(8 * 1024 * 1024)
            .http2_max_header_list_size(64 * 1024)
            .http2_keep_alive_interval(Duration::from_secs(30))
            .http2_keep_alive_timeout(Duration::from_secs(10))
            .build(Connector::new(policy, connect_timeout, self.tls.clone()));
        pools.insert(key, pool.clone());
        pool
    }
}

#[cfg(test)]
mod tests;
