//! A stream in the client's own dialect in, the same bytes out, read in passing for usage, completeness and errors.

use super::Step;
use crate::chat::{ErrorKind, UpstreamError};
use crate::surface::{anthropic, openai};
use bytes::Bytes;
use http_body::Body as _;
use hyper::body::Incoming;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tollway_core::spend::Usage;

/// Reads one dialect's stream in passing.
#[derive(Debug)]
pub enum PassedMeter {
    Completions(openai::Meter),
    Messages(anthropic::Meter),
}

impl PassedMeter {
    fn feed(&mut self, chunk: &Bytes) -> Bytes {
        match self {
            Self::Completions(meter) => meter.feed(chunk),
            Self::Messages(meter) => meter.feed(chunk),
        }
    }

    fn end(&mut self) -> Bytes {
        match self {
            Self::Completions(meter) => meter.end(),
            Self::Messages(meter) => meter.end(),
        }
    }

    const fn error(&self) -> Option<&UpstreamError> {
        match self {
            Self::Completions(meter) => meter.error(),
            Self::Messages(meter) => meter.error(),
        }
    }

    /// Whether the answer itself is complete, with or without the marker: some servers close without it.
    fn is_finished(&self) -> bool {
        match self {
            Self::Completions(meter) => meter.is_done() || meter.is_finished(),
            Self::Messages(meter) => meter.is_done(),
        }
    }

    fn is_done(&self) -> bool {
        match self {
            Self::Completions(meter) => meter.is_done(),
            Self::Messages(meter) => meter.is_done(),
        }
    }

    fn usage(&self) -> Option<Usage> {
        let usage = match self {
            Self::Completions(meter) => meter.usage(),
            Self::Messages(meter) => meter.usage(),
        };
        usage.map(|usage| usage.tokens)
    }

    /// Whether bytes that came together with an error say something before it.
    const fn speaks_before_error(&self) -> bool {
        matches!(self, Self::Messages(_))
    }
}

/// A stream that passes through.
#[derive(Debug)]
pub struct Passed {
    body: Incoming,
    meter: PassedMeter,
    ended: bool,
    /// What the client got ends where an event ends.
    between_events: bool,
}

impl Passed {
    #[must_use]
    pub const fn new(body: Incoming, meter: PassedMeter) -> Self {
        Self { body, meter, ended: false, between_events: true }
    }

    pub fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        loop {
            if let Some(error) = self.meter.error() {
                return Poll::Ready(Step::Failed(error.clone()));
            }
            if self.ended {
                break;
            }
            let bytes = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => frame.into_data().map(|data| self.meter.feed(&data)).unwrap_or_default(),
                Some(Err(error)) => return Poll::Ready(Step::Failed(truncated(&error.to_string()))),
                None => {
                    self.ended = true;
                    self.meter.end()
                }
            };
            if !bytes.is_empty() && (self.meter.error().is_none() || self.meter.speaks_before_error()) {
                self.between_events = bytes.ends_with(b"\n\n") || bytes.ends_with(b"\r\n\r\n");
                return Poll::Ready(Step::Bytes(bytes));
            }
        }
        let why = "it ended without a finish reason";
        Poll::Ready(if self.meter.is_finished() { Step::End } else { Step::Failed(truncated(why)) })
    }

    #[must_use]
    pub const fn is_between_events(&self) -> bool {
        self.between_events
    }

    #[must_use]
    pub fn usage(&self) -> Option<Usage> {
        self.meter.usage()
    }

    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.meter.is_done()
    }
}

fn truncated(why: &str) -> UpstreamError {
    UpstreamError {
        kind: ErrorKind::Truncated,
        status: 502,
        name: "truncated".to_owned(),
        message: format!("the answer broke off: {why}"),
    }
}
