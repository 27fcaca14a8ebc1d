//! A client's connection in, the same connection out that gives up on whoever is too slow: to send a head, or to read.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// How long a client is waited for.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// A head is complete this long after its first byte, and the first one this long after the connection.
    pub head: Duration,
    /// A connection without a request is kept this long.
    pub idle: Duration,
    /// A reader makes some progress in this time.
    pub reader: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        let (head, idle, reader) = (Duration::from_secs(10), Duration::from_secs(600), Duration::from_secs(120));
        Self { head, idle, reader }
    }
}

/// Counts a connection's requests: those under way, bodies included, and all that ever began.
#[derive(Clone, Debug)]
pub struct Activity(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    under_way: AtomicU32,
    begun: AtomicU32,
    since: Instant,
    bodies: Mutex<Vec<Arc<AtomicU64>>>,
}

impl Default for Activity {
    fn default() -> Self {
        let (under_way, begun) = (AtomicU32::new(0), AtomicU32::new(0));
        Self(Arc::new(Counts { under_way, begun, since: Instant::now(), bodies: Mutex::default() }))
    }
}

/// One request under way; over when dropped.
#[derive(Debug)]
pub struct Busy {
    activity: Activity,
    /// When the body was last asked for more, in milliseconds of the connection's life; 0: never yet.
    asked: Arc<AtomicU64>,
}

impl Busy {
    /// The client has room for more of the body.
    pub fn asked(&self) {
        self.asked.store(self.activity.millis(), Relaxed);
    }
}

impl Activity {
    pub fn begin(&self) -> Busy {
        self.0.under_way.fetch_add(1, Relaxed);
        self.0.begun.fetch_add(1, Relaxed);
        let asked = Arc::new(AtomicU64::new(0));
        self.bodies().push(Arc::clone(&asked));
        Busy { activity: self.clone(), asked }
    }

    /// Whether a client has left no room for one of its bodies for this long. A body that the client would take is asked
    /// for more at every keep-alive at least; on HTTP/2 nothing else tells a reader that has stopped.
    pub fn is_stalled(&self, patience: Duration) -> bool {
        let limit = u64::try_from(patience.as_millis()).unwrap_or(u64::MAX);
        let now = self.millis();
        self.bodies()
            .iter()
            .map(|asked| asked.load(Relaxed))
            .any(|asked| asked > 0 && now.saturating_sub(asked) > limit)
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.0.since.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
    }

    fn bodies(&self) -> MutexGuard<'_, Vec<Arc<AtomicU64>>> {
        self.0.bodies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_idle(&self) -> bool {
        self.0.under_way.load(Relaxed) == 0
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.activity.0.under_way.fetch_sub(1, Relaxed);
        let mut bodies = self.activity.bodies();
        if let Some(at) = bodies.iter().position(|asked| Arc::ptr_eq(asked, &self.asked)) {
            bodies.swap_remove(at);
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Unknown,
    Http1,
    Http2,
}

/// A connection that is watched for progress.
#[derive(Debug)]
pub struct Watched<S> {
    stream: S,
    activity: Activity,
    patience: Patience,
    protocol: Protocol,
    reading: Deadline,
    /// Bytes of a head have come, and it is not complete.
    in_head: bool,
    /// Requests that had begun when last looked.
    begun: u32,
    writing: Deadline,
}

impl<S> Watched<S> {
    pub fn new(stream: S, activity: Activity, patience: Patience) -> Self {
        let (reading, writing) = (Deadline::default(), Deadline::default());
        Self { stream, activity, patience, protocol: Protocol::Unknown, reading, in_head: true, begun: 0, writing }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        match Pin::new(&mut this.stream).poll_read(cx, buf) {
            Poll::Ready(done) => {
                let read = buf.filled().get(before..).unwrap_or_default();
                if this.protocol == Protocol::Unknown && !read.is_empty() {
                    this.protocol = if read.starts_with(b"PRI") { Protocol::Http2 } else { Protocol::Http1 };
                }
                if this.activity.is_idle() && !this.in_head {
                    this.in_head = true;
                    this.reading.clear();
                }
                Poll::Ready(done)
            }
            Poll::Pending => {
                let begun = this.activity.0.begun.load(Relaxed);
                if begun != this.begun {
                    (this.begun, this.in_head) = (begun, false);
                    this.reading.clear();
                }
                if !this.activity.is_idle() {
                    return Poll::Pending;
                }
                // HTTP/2 frames between requests are no heads; its pings watch over an idle connection.
                let waits_for_head = this.in_head && this.protocol != Protocol::Http2;
                this.reading.poll(
                    cx,
                    if waits_for_head { this.patience.head } else { this.patience.idle },
                    "no request came in time",
                )
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> Watched<S> {
    fn watch_write<T>(&mut self, cx: &mut Context<'_>, wrote: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match wrote {
            Poll::Ready(done) => {
                self.writing.clear();
                Poll::Ready(done)
            }
            Poll::Pending => self
                .writing
                .poll(cx, self.patience.reader, "the client read nothing for too long")
                .map(|late| late.and_then(never)),
        }
    }
}

fn never<T>((): ()) -> io::Result<T> {
    Err(io::ErrorKind::TimedOut.into())
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let wrote = Pin::new(&mut this.stream).poll_write(cx, buf);
        this.watch_write(cx, wrote)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let wrote = Pin::new(&mut this.stream).poll_write_vectored(cx, bufs);
        this.watch_write(cx, wrote)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

/// A time-out that costs nothing until something waits.
#[derive(Debug, Default)]
struct Deadline {
    at: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Deadline {
    fn clear(&mut self) {
        self.at = None;
    }

    /// Pending until `after` has passed since the first call after `clear`; then an error.
    fn poll(&mut self, cx: &mut Context<'_>, after: Duration, why: &'static str) -> Poll<io::Result<()>> {
        let at = *self.at.get_or_insert_with(|| Instant::now() + after);
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
        if sleep.deadline() != at {
            sleep.as_mut().reset(at);
        }
        sleep.as_mut().poll(cx).map(|()| Err(io::Error::new(io::ErrorKind::TimedOut, why)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    /// Waits in vain are an hour long; the one that a test is about is short.
    const HOUR: Duration = Duration::from_secs(3600);
    const SOON: Duration = Duration::from_millis(20);
    const PATIENCE: Patience = Patience { head: HOUR, idle: HOUR, reader: HOUR };

    #[tokio::test]
    async fn a_head_that_never_ends_is_given_up() {
        let (mut client, server) = duplex(64);
        let mut server = Watched::new(server, Activity::default(), Patience { head: SOON, ..PATIENCE });
        client.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        let mut read = Vec::new();
        let error = server.read_to_end(&mut read).await.unwrap_err();
        assert_eq!((error.kind(), read.len()), (io::ErrorKind::TimedOut, 16));
    }

    #[tokio::test]
    async fn a_request_under_way_may_take_its_time_and_then_an_idle_connection_too() {
        let (mut client, server) = duplex(64);
        let activity = Activity::default();
        let mut server = Watched::new(server, activity.clone(), Patience { head: SOON, ..PATIENCE });
        client.write_all(b"GET").await.unwrap();
        let mut buffer = [0; 3];
        server.read_exact(&mut buffer).await.unwrap();
        let busy = activity.begin();
        let mut late = [0; 1];
        assert!(tokio::time::timeout(SOON * 3, server.read_exact(&mut late)).await.is_err());
        drop(busy);
        assert!(tokio::time::timeout(SOON * 3, server.read_exact(&mut late)).await.is_err());
        // The first byte of the next head starts its time.
        client.write_all(b"G").await.unwrap();
        server.read_exact(&mut late).await.unwrap();
        let error = server.read_exact(&mut late).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_reader_without_progress_is_cut_and_a_slow_one_is_not() {
        let (mut client, server) = duplex(8);
        let mut server = Watched::new(server, Activity::default(), Patience { reader: SOON, ..PATIENCE });
        let error = server.write_all(&[0; 64]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        let mut some = [0; 8];
        client.read_exact(&mut some).await.unwrap();
        server.write_all(&[0; 8]).await.unwrap();
    }

    #[tokio::test]
    async fn a_body_nobody_asks_for_is_stalled_and_one_not_begun_is_not() {
        let activity = Activity::default();
        let (busy, _waiting) = (activity.begin(), activity.begin());
        assert!(!activity.is_stalled(Duration::ZERO));
        busy.asked();
        while !activity.is_stalled(Duration::ZERO) {
            tokio::task::yield_now().await;
        }
        assert!(!activity.is_stalled(HOUR));
        drop(busy);
        assert!(!activity.is_stalled(Duration::ZERO));
    }
}
