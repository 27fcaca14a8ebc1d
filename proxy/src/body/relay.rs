//! A running answer in, the client's stream out: chunks as they come, keep-alives in silence, one error event when it breaks, and the
//! settlement at whatever end it comes to.
//!
//! # Why a burst goes out as one write
//! Upstreams send tokens in bursts, and hyper hands them over one by one, each of which would be a write: the dearest thing a stream does.
//! So what came is held while the upstream's connection has its turn, and goes out with what that brings, a few chunks at most. Nothing
//! waits for time to pass: when there is no more at hand, it goes at once.

use crate::access::Entry;
use crate::cache::Recording;
use crate::dialect::{COST, Dialect};
use crate::error::ApiError;
use crate::meter::{Metered, Money};
use crate::metrics::{Attempt, Outcome};
use crate::provider::{Source, Step};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, StatusCode};
use http_body::Frame;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, Sleep};

/// Silence after which the client hears that the answer still runs.
pub const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Chunks that go out in one write at most, and the bytes from which on nothing is added to them.
const BURST: usize = 8;
const BURST_BYTES: usize = 16 * 1024;
/// How often a body is asked in vain before a burst is taken for whole: the server asks twice a turn, and the upstream has its turn after
/// the first.
const ASKED: usize = 3;

/// How long the end of an upstream is waited for when its answer is complete: its connection serves again after that.
const LINGER: Duration = Duration::from_secs(1);

/// How long a stream may take.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Silence after which the client hears that the answer still runs.
    pub keep_alive: Duration,
    /// Silence of the upstream.
    pub idle: Duration,
    /// When the whole request is over.
    pub ends: Instant,
    /// How long it is read on for its usage when the client has left.
    pub drain: Duration,
}

/// A stream on its way to the client.
#[derive(Debug)]
pub struct Relay {
    running: Option<Running>,
    dialect: Dialect,
    pace: Pace,
    /// Bytes to send before anything else.
    ready: Option<Bytes>,
    burst: Burst,
    /// The client takes trailers, and the stream has ended: they come last.
    trailers: Option<HeaderMap>,
    wants_trailers: bool,
    /// Since when the upstream says nothing.
    waiting: Option<Instant>,
    /// Since when the client hears nothing.
    quiet: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
}

/// Chunks that go out together.
#[derive(Debug, Default)]
struct Burst {
    first: Bytes,
    rest: BytesMut,
    chunks: usize,
    /// How often more was asked for in vain since the last chunk.
    asked: usize,
}

impl Burst {
    fn add(&mut self, bytes: Bytes) {
        self.asked = 0;
        self.chunks += 1;
        if self.chunks == 1 {
            self.first = bytes;
            return;
        }
        if self.chunks == 2 {
            self.rest.extend_from_slice(&std::mem::take(&mut self.first));
        }
        self.rest.extend_from_slice(&bytes);
    }

    /// Nothing was at hand; whether it is worth to ask again.
    fn waits(&mut self) -> bool {
        self.asked += 1;
        self.chunks > 0 && self.asked < ASKED
    }

    fn is_full(&self) -> bool {
        self.chunks >= BURST || self.first.len() + self.rest.len() >= BURST_BYTES
    }

    /// All of it; `None` when there is nothing.
    fn take(&mut self) -> Option<Bytes> {
        let chunks = std::mem::take(&mut self.chunks);
        match chunks {
            0 => None,
            1 => Some(std::mem::take(&mut self.first)),
            _ => Some(self.rest.split().freeze()),
        }
    }
}

/// What ends with the stream.
#[derive(Debug)]
pub struct Running {
    pub source: Box<Source>,
    pub metered: Metered,
    pub entry: Entry,
    /// Where the route keeps answers.
    pub recording: Option<Recording>,
}

impl Relay {
    /// `first` was read before the response head went out.
    #[must_use]
    pub fn new(running: Running, first: Bytes, dialect: Dialect, pace: Pace, wants_trailers: bool) -> Self {
        let ready = Some(first);
        let (waiting, quiet, sleep, trailers) = (None, None, None, None);
        let burst = Burst::default();
        Self { running: Some(running), dialect, pace, ready, burst, trailers, wants_trailers, waiting, quiet, sleep }
    }

    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Frame<Bytes>>> {
        if let Some(bytes) = self.ready.take() {
            return Poll::Ready(Some(Frame::data(bytes)));
        }
        loop {
            let Some(running) = &mut self.running else {
                return Poll::Ready(self.trailers.take().map(Frame::trailers));
            };
            let bytes = match running.source.poll_step(cx) {
                Poll::Ready(Step::Bytes(bytes)) => {
                    (self.waiting, self.quiet) = (None, None);
                    if let Some(recording) = &mut running.recording {
                        recording.push(&bytes);
                    }
                    self.burst.add(bytes);
                    if !self.burst.is_full() {
                        // The upstream's connection has its turn before this has one again.
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                    None
                }
                Poll::Ready(Step::Failed(error)) if !running.source.is_complete() => {
                    Some(self.cut(Attempt::Cut, &error.into()))
                }
                Poll::Ready(Step::End | Step::Failed(_)) => {
                    self.complete();
                    None
                }
                Poll::Pending if self.burst.waits() => {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Poll::Pending if self.burst.chunks > 0 => None,
                Poll::Pending => {
                    let said = ready!(self.poll_time(cx));
                    if said.is_none() {
                        self.complete();
                    }
                    said
                }
            };
            // What came before an end or an error goes out before it.
            if let Some(burst) = self.burst.take() {
                self.ready = bytes;
                return Poll::Ready(Some(Frame::data(burst)));
            }
            if let Some(bytes) = bytes {
                return Poll::Ready(Some(Frame::data(bytes)));
            }
        }
    }

    /// Ready with what the passing of time makes us say: a keep-alive, or the error that ends the stream. `None` when
    /// the answer is complete and its upstream forgets to end it.
    fn poll_time(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let is_complete = self.running.as_ref().is_some_and(|running| running.source.is_complete());
        let idle = if is_complete { LINGER.min(self.pace.idle) } else { self.pace.idle };
        loop {
            let now = Instant::now();
            let idle_at = *self.waiting.get_or_insert(now) + idle;
            let keep_alive = self.dialect.keep_alive();
            let speak_at = *self.quiet.get_or_insert(now) + self.pace.keep_alive;
            let late = |what: &str| ApiError::upstream(StatusCode::GATEWAY_TIMEOUT, what);
            if is_complete && (now >= idle_at || now >= self.pace.ends) {
                return Poll::Ready(None);
            }
            if now >= idle_at {
                let error = late("the target fell silent in the middle of its answer");
                return Poll::Ready(Some(self.cut(Attempt::TimedOut, &error)));
            }
            if now >= self.pace.ends {
                let error = late("the answer took longer than the route's total time-out");
                return Poll::Ready(Some(self.cut(Attempt::TimedOut, &error)));
            }
            let mut next = idle_at.min(self.pace.ends);
            if let Some(keep_alive) = keep_alive {
                if now >= speak_at {
                    self.quiet = Some(now);
                    return Poll::Ready(Some(keep_alive));
                }
                next = next.min(speak_at);
            }
            let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(next)));
            // An early alarm is cheaper than setting it anew for every chunk.
            if sleep.is_elapsed() || sleep.deadline() > next {
                sleep.as_mut().reset(next);
            }
            ready!(sleep.as_mut().poll(cx));
        }
    }

    /// The answer is complete: charge what it used.
    fn complete(&mut self) {
        let Some(Running { source, metered, mut entry, recording }) = self.running.take() else { return };
        // Its last bytes are on their way: the answer is whole.
        recording.map(Recording::keep).unwrap_or_default();
        entry.usage = source.usage();
        entry.cost = metered.end(Attempt::Ok, entry.usage.map_or(Money::InFull, Money::Used));
        entry.outcome = Outcome::Ok;
        if let Some(cost) = entry.cost.filter(|_| self.wants_trailers) {
            let value = HeaderValue::from_str(&cost.to_string());
            self.trailers = value.ok().map(|value| HeaderMap::from_iter([(COST, value)]));
        }
    }

    /// The answer broke: one error event, no done marker, charged in full.
    fn cut(&mut self, attempt: Attempt, error: &ApiError) -> Bytes {
        let (mut event, mut events) = (Vec::new(), 0);
        if let Some(Running { source, metered, mut entry, recording: _ }) = self.running.take() {
            events = source.events();
            if !source.is_between_events() {
                event.push(b'\n');
            }
            entry.cost = metered.end(attempt, Money::InFull);
            (entry.outcome, entry.code) = (Outcome::Cut, Some(error.code));
        }
        event.extend_from_slice(&self.dialect.stream_error(error, events));
        event.into()
    }
}

/// The client left. The upstream is cancelled by dropping it, or read on for the usage where the route asks for that.
impl Drop for Relay {
    fn drop(&mut self) {
        let Some(Running { mut source, metered, entry, recording }) = self.running.take() else { return };
        // Clients close as soon as they have seen the done marker: then nothing is left to cancel.
        let mut entry = entry;
        if source.is_complete() {
            recording.map(Recording::keep).unwrap_or_default();
            entry.usage = source.usage();
            entry.cost = metered.end(Attempt::Ok, entry.usage.map_or(Money::InFull, Money::Used));
            entry.outcome = Outcome::Ok;
            return;
        }
        let runtime = tokio::runtime::Handle::try_current().ok().filter(|_| !self.pace.drain.is_zero());
        let Some(runtime) = runtime else {
            entry.cost = metered.end(Attempt::Cancelled, Money::InFull);
            return;
        };
        let until = (Instant::now() + self.pace.drain).min(self.pace.ends);
        runtime.spawn(async move {
            let mut entry = entry;
            let drained = tokio::time::timeout_at(until, source.drain()).await;
            entry.usage = drained.ok().flatten();
            entry.cost = metered.end(Attempt::Cancelled, entry.usage.map_or(Money::InFull, Money::Used));
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn added(chunks: &[&'static [u8]]) -> Burst {
        let mut burst = Burst::default();
        chunks.iter().for_each(|chunk| burst.add(Bytes::from_static(chunk)));
        burst
    }

    #[test]
    fn a_burst_is_its_chunks_in_order_and_is_taken_once() {
        let mut burst = added(&[b"a", b"bc", b"d"]);
        assert_eq!(burst.take().as_deref(), Some(b"abcd".as_slice()));
        assert_eq!(burst.take(), None);
        burst.add(Bytes::from_static(b"e"));
        assert_eq!(burst.take().as_deref(), Some(b"e".as_slice()));
    }

    #[test]
    fn a_burst_is_full_by_its_chunks_or_by_its_bytes() {
        assert!(!added(&[b"x".as_slice(); BURST - 1]).is_full());
        assert!(added(&[b"x".as_slice(); BURST]).is_full());
        assert!(added(&[&[0; BURST_BYTES]]).is_full());
        assert!(added(&[&[0; BURST_BYTES / 2], &[0; BURST_BYTES / 2]]).is_full());
    }
}
