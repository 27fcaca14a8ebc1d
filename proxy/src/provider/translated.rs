//! A stream in another dialect in, the client's own out: decoded into events, rendered from events.

use super::{Decoder, Step};
use crate::chat::{ErrorKind, StreamEvent, UpstreamError};
use crate::surface::Renderer;
use bytes::Bytes;
use http_body::Body as _;
use hyper::body::Incoming;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tollway_core::spend::Usage;

/// An answer on its way.
pub struct Translated {
    body: Incoming,
    decoder: Decoder,
    renderer: Renderer,
    /// Rendered and not yet given: until the model says something, another target may still answer.
    held: Vec<u8>,
    /// The upstream failed; what was rendered before goes first.
    failed: Option<UpstreamError>,
    completed: bool,
}

impl fmt::Debug for Translated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Translated").field("completed", &self.completed).finish_non_exhaustive()
    }
}

impl Translated {
    #[must_use]
    pub fn new(body: Incoming, decoder: Decoder, renderer: Renderer) -> Self {
        Self { body, decoder, renderer, held: Vec::new(), failed: None, completed: false }
    }

    pub fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        loop {
            if let Some(error) = self.failed.take() {
                return Poll::Ready(Step::Failed(error));
            }
            let spoke = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    let events = frame.into_data().map(|data| self.decoder.feed(&data)).unwrap_or_default();
                    self.render(events)
                }
                Some(Err(_)) | None if self.completed => return Poll::Ready(Step::End),
                Some(Err(error)) => {
                    let message = format!("the answer broke off: {error}");
                    let (kind, status, name) = (ErrorKind::Truncated, 502, "truncated".to_owned());
                    self.failed = Some(UpstreamError { kind, status, name, message });
                    false
                }
                None => {
                    let events = self.decoder.end();
                    if events.is_empty() {
                        return Poll::Ready(Step::End);
                    }
                    self.render(events)
                }
            };
            if self.decoder.is_complete() && !self.completed {
                self.completed = true;
                self.renderer.end(&mut self.held);
            }
            if (spoke || self.completed) && !self.held.is_empty() {
                return Poll::Ready(Step::Bytes(Bytes::from(std::mem::take(&mut self.held))));
            }
        }
    }

    /// Whether the model said anything.
    fn render(&mut self, events: Vec<StreamEvent>) -> bool {
        let mut spoke = false;
        for event in events {
            if let StreamEvent::Error(error) = event {
                self.failed = Some(error);
                break;
            }
            spoke |= !matches!(event, StreamEvent::Start { .. });
            self.renderer.event(&event, &mut self.held);
        }
        spoke
    }

    #[must_use]
    pub fn events(&self) -> u64 {
        self.renderer.events()
    }

    #[must_use]
    pub fn usage(&self) -> Option<Usage> {
        self.renderer.usage().map(|usage| usage.tokens)
    }

    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.completed
    }
}
