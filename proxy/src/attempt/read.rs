//! An upstream's body in, all of it out, within limits on size and silence.

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Body;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// A plain answer larger than this is no answer.
pub const ANSWER_LIMIT: usize = 64 * 1024 * 1024;
/// What is kept of an error's body.
pub const ERROR_LIMIT: usize = 64 * 1024;
/// An error's body is complete this long after its head.
pub const ERROR_WITHIN: Duration = Duration::from_secs(10);

/// Why a body could not be read.
#[derive(Debug)]
pub enum Unread {
    Late,
    Broken(String),
}

/// Reads a body to its end.
pub async fn whole<B>(mut body: B, limit: usize, idle: Duration, ends: Instant) -> Result<Bytes, Unread>
where
    B: Body<Data = Bytes, Error: std::fmt::Display> + Unpin,
{
    let announced = body.size_hint().exact().and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    loop {
        let until = (Instant::now() + idle).min(ends);
        let frame = timeout_at(until, body.frame()).await.map_err(|_| Unread::Late)?;
        let Some(frame) = frame else { break };
        let Ok(data) = frame.map_err(|error| Unread::Broken(error.to_string()))?.into_data() else { continue };
        if first.len() + rest.len() + data.len() > limit {
            return Err(Unread::Broken(format!("its body is larger than {limit} bytes")));
        }
        // Most answers come in one piece, which is then not copied.
        if first.is_empty() && rest.is_empty() {
            first = data;
        } else {
            if rest.is_empty() {
                // Once for all of it: growing would copy it several times.
                rest.reserve(announced.min(limit));
                rest.extend_from_slice(&first);
                first = Bytes::from_static(&[]);
            }
            rest.extend_from_slice(&data);
        }
    }
    Ok(if rest.is_empty() { first } else { rest.freeze() })
}

/// Whether the bytes are one JSON value.
#[must_use]
pub fn is_json(body: &[u8]) -> bool {
    serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::StreamBody;
    use hyper::body::Frame;
    use std::convert::Infallible;

    async fn read(pieces: &[&'static [u8]], limit: usize) -> Result<Bytes, Unread> {
        let frames = pieces.iter().map(|piece| Ok::<_, Infallible>(Frame::data(Bytes::from_static(piece))));
        let body = StreamBody::new(futures_util::stream::iter(frames.collect::<Vec<_>>()));
        let second = Duration::from_secs(1);
        whole(body, limit, second, Instant::now() + second).await
    }

    #[tokio::test]
    async fn every_piece_is_there_and_in_its_place() {
        for count in 0..8 {
            let pieces = &[b"one ".as_slice(), b"two ", b"", b"three ", b"four ", b"", b"five"][..count.min(7)];
            assert_eq!(read(pieces, 100).await.ok(), Some(pieces.concat().into()), "{count}");
        }
        assert!(matches!(read(&[b"too ", b"much"], 7).await, Err(Unread::Broken(_))));
    }
}
