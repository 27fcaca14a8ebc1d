//! The response body that clients get: nothing, bytes, pieces of an answer, a relayed stream, lines of vectors or the pages of a job's result; polled by the server, without a task or channel of its own.

mod relay;

pub use relay::{KEEP_ALIVE, Pace, Relay, Running};

use crate::embed::Lines;
use crate::embed::jobs::Pages;
use crate::server::Busy;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

/// A response body.
#[derive(Debug)]
pub struct Body {
    content: Content,
    /// The connection counts as busy until the body is done.
    busy: Option<Busy>,
}

#[derive(Debug)]
enum Content {
    Bytes(Bytes),
    /// Complete, in several pieces, and how many bytes of them are left.
    Pieces(std::vec::IntoIter<Bytes>, u64),
    Stream(Box<Relay>),
    Lines(Box<Lines>),
    Pages(Pages),
}

impl Body {
    #[must_use]
    pub const fn bytes(bytes: Bytes) -> Self {
        Self { content: Content::Bytes(bytes), busy: None }
    }

    #[must_use]
    pub fn pieces(pieces: Vec<Bytes>) -> Self {
        let length = pieces.iter().map(|piece| piece.len() as u64).sum();
        Self { content: Content::Pieces(pieces.into_iter(), length), busy: None }
    }

    #[must_use]
    pub fn stream(relay: Relay) -> Self {
        Self { content: Content::Stream(Box::new(relay)), busy: None }
    }

    #[must_use]
    pub const fn lines(lines: Box<Lines>) -> Self {
        Self { content: Content::Lines(lines), busy: None }
    }

    #[must_use]
    pub const fn pages(pages: Pages) -> Self {
        Self { content: Content::Pages(pages), busy: None }
    }

    /// The same body, keeping the connection busy while it lasts.
    #[must_use]
    pub fn holding(self, busy: Busy) -> Self {
        Self { busy: Some(busy), ..self }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        if let Some(busy) = &this.busy {
            busy.asked();
        }
        match &mut this.content {
            Content::Bytes(bytes) if bytes.is_empty() => Poll::Ready(None),
            Content::Bytes(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Content::Pieces(pieces, left) => {
                let piece = pieces.next();
                *left -= piece.as_ref().map_or(0, |piece| piece.len() as u64);
                Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
            }
            Content::Stream(relay) => relay.poll_next(cx).map(|next| next.map(Ok)),
            Content::Lines(lines) => lines.poll_next(cx).map(|next| next.map(|bytes| Ok(Frame::data(bytes)))),
            Content::Pages(pages) => pages.poll_next(cx).map(|next| next.map(|bytes| Ok(Frame::data(bytes)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Bytes(bytes) => bytes.is_empty(),
            Content::Pieces(_, left) => *left == 0,
            Content::Stream(_) | Content::Lines(_) | Content::Pages(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Bytes(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Content::Pieces(_, left) => SizeHint::with_exact(*left),
            Content::Stream(_) | Content::Lines(_) | Content::Pages(_) => SizeHint::default(),
        }
    }
}
