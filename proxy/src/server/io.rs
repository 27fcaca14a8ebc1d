//! A client's connection in, the same connection out that gives up on whoever is too slow: to send a head, or to read.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// A head is complete this long after its first byte, and the first one this long after the connection.
const HEAD: Duration = Duration::from_secs(10);
/// A connection without a request is kept this long.
const IDLE: Duration = Duration::from_secs(600);
/// A reader makes some progress in this time.
const READER: Duration = Duration::from_secs(120);

/// Counts a connection's requests: those under way, bodies included, and all that ever began.
#[derive(Clone, Debug, Default)]
pub struct Activity(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    under_way: AtomicU32,
    begun: AtomicU32,
}

/// One request under way; over when dropped.
#[derive(Debug)]
pub struct Busy(Activity);

impl Activity {
    pub fn begin(&self) -> Busy {
        self.0.under_way.fetch_add(1, Relaxed);
        self.0.begun.fetch_add(1, Relaxed);
        Busy(self.clone())
    }

    fn is_idle(&self) -> bool {
        self.0.under_way.load(Relaxed) == 0
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.0.under_way.fetch_sub(1, Relaxed);
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
    protocol: Protocol,
    reading: Deadline,
    /// Bytes of a head have come, and it is not complete.
    in_head: bool,
    /// Requests that had begun when last looked.
    begun: u32,
    writing: Deadline,
}

impl<S> Watched<S> {
    pub fn new(stream: S, activity: Activity) -> Self {
        let (reading, writing) = (Deadline::default(), Deadline::default());
        Self { stream, activity, protocol: Protocol::Unknown, reading, in_head: true, begun: 0, writing }
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
                this.reading.poll(cx, if waits_for_head { HEAD } else { IDLE }, "no request came in time")
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
            Poll::Pending => {
                self.writing.poll(cx, READER, "the client read nothing for too long").map(|late| late.and_then(never))
            }
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
