//! Connections in, requests handed to the stack; HTTP/1.1 and HTTP/2 on one port, with limits on whoever is slow, and a drain.

mod io;
mod tls;
mod workers;

pub use io::Busy;
pub use tls::{Tls, TlsError, TlsFiles};
pub use workers::Workers;

use crate::stack::{self, Proxy};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use io::{Activity, Patience, Watched};
use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::watch;

/// Most bytes of a request's head.
const HEADER_LIMIT: usize = 64 * 1024;
/// Streams that one HTTP/2 connection may have open.
const STREAMS: u32 = 1_000;

/// Serves until `stop` resolves, then accepts no more and lets what is under way finish for at most `drain`.
/// Returns the number of connections that were cut off when that time was over.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    proxy: Arc<Proxy>,
    workers: Workers,
    stop: impl Future<Output = ()>,
    drain: Duration,
) -> usize {
    let builder = Arc::new(builder());
    let (stopping, stopped) = watch::channel(false);
    let mut stop = pin!(stop);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stop => break,
        };
        match accepted {
            Ok((stream, _)) => {
                // A token is worth more than a full segment.
                if stream.set_nodelay(true).is_err() {
                    continue;
                }
                let (builder, proxy, stopped) = (Arc::clone(&builder), Arc::clone(&proxy), stopped.clone());
                let tls = tls.clone();
                let dealt = workers.deal(stream, |stream| async move {
                    match tls {
                        None => connection(stream, builder, proxy, stopped).await,
                        Some(tls) => {
                            if let Some(stream) = tls.accept(stream).await {
                                connection(stream, builder, proxy, stopped).await;
                            }
                        }
                    }
                });
                if let Err(error) = dealt {
                    tracing::warn!(%error, "a connection cannot be served");
                }
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection; trying again");
                // Out of file descriptors: some come back when a request ends.
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    drop((listener, stopped));
    stopping.send_replace(true);
    if tokio::time::timeout(drain, stopping.closed()).await.is_err() {
        return stopping.receiver_count();
    }
    0
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    // `Watched` holds the time-out for heads: hyper's own would also close idle connections under clients that keep them.
    builder.http1().timer(TokioTimer::new()).header_read_timeout(None).max_buf_size(HEADER_LIMIT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(HEADER_LIMIT).unwrap_or(u32::MAX))
        .max_concurrent_streams(STREAMS)
        .initial_stream_window_size(256 * 1024)
        .initial_connection_window_size(4 * 1024 * 1024)
        .max_send_buf_size(64 * 1024)
        .keep_alive_interval(Duration::from_secs(60))
        .keep_alive_timeout(Duration::from_secs(20));
    builder
}

async fn connection<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
    stream: S,
    builder: Arc<Builder<TokioExecutor>>,
    proxy: Arc<Proxy>,
    mut stopped: watch::Receiver<bool>,
) {
    let activity = Activity::default();
    let patience = Patience::default();
    let io = TokioIo::new(Watched::new(stream, activity.clone(), patience));
    let requests = activity.clone();
    let service = service_fn(move |request| {
        let (proxy, busy) = (Arc::clone(&proxy), requests.begin());
        async move { Ok::<_, Infallible>(stack::handle(&proxy, request).await.map(|body| body.holding(busy))) }
    });
    let mut serving = pin!(builder.serve_connection(io, service));
    let mut look = tokio::time::interval(patience.reader / 4);
    let mut stopping = false;
    let ended = loop {
        tokio::select! {
            ended = serving.as_mut() => break ended,
            () = told(&mut stopped), if !stopping => {
                stopping = true;
                serving.as_mut().graceful_shutdown();
            }
            _ = look.tick() => {
                if activity.is_stalled(patience.reader) {
                    tracing::debug!("connection cut: its client takes no more of a stream");
                    return;
                }
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(error, "connection ended early");
    }
}

async fn told(stopped: &mut watch::Receiver<bool>) {
    // An error says that the sender is gone, which comes to the same.
    let _ = stopped.wait_for(|stopped| *stopped).await.map(|_| ());
}
