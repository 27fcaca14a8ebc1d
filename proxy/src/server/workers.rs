//! A number in, so many threads out, each with a runtime of its own; connections are dealt to them in turn and stay where they are.
//!
//! # Why not one runtime with several threads
//! A request is a dozen short waits, and in a shared runtime each may go on on another thread. Here a connection, its requests and their
//! upstream connections stay on one: a tenth less CPU time for plain requests, two fifths less where the request is translated and signed.
//! What is shared between threads (ledger, circuits, rates, cache) is so anyway.

use std::future::Future;
use std::io;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// Threads that serve connections; they end when this is dropped, and with them whatever still runs there.
#[derive(Debug)]
pub struct Workers {
    /// Never empty.
    handles: Vec<Handle>,
    next: AtomicUsize,
    _running: Vec<oneshot::Sender<()>>,
}

impl Workers {
    /// Starts the threads.
    ///
    /// # Errors
    /// The system gives no further thread.
    pub fn start(count: NonZeroUsize) -> io::Result<Self> {
        let (mut handles, mut running) = (Vec::new(), Vec::new());
        for number in 0..count.get() {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            handles.push(runtime.handle().clone());
            let (stay, stop) = oneshot::channel::<()>();
            running.push(stay);
            let serve = move || {
                // Ends when the other half is dropped.
                let _ = runtime.block_on(stop);
                runtime.shutdown_background();
            };
            std::thread::Builder::new().name(format!("serve-{number}")).spawn(serve)?;
        }
        Ok(Self { handles, next: AtomicUsize::new(0), _running: running })
    }

    /// Serves in the runtime that this is called in.
    #[cfg(test)]
    pub fn here() -> Self {
        Self { handles: vec![Handle::current()], next: AtomicUsize::new(0), _running: Vec::new() }
    }

    /// Hands a connection to the next thread. It has to be made ready there: `serve` gets the socket without its runtime.
    pub fn deal<F>(
        &self,
        stream: tokio::net::TcpStream,
        serve: impl FnOnce(tokio::net::TcpStream) -> F + Send + 'static,
    ) -> io::Result<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let stream = stream.into_std()?;
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.handles.len().max(1);
        if let Some(handle) = self.handles.get(turn) {
            handle.spawn(async move {
                match tokio::net::TcpStream::from_std(stream) {
                    Ok(stream) => serve(stream).await,
                    Err(error) => tracing::warn!(%error, "a connection cannot be served"),
                }
            });
        }
        Ok(())
    }
}
