//! Bytes of an AWS event stream in, whatever way they are cut; whole frames out, checksums verified.

use aws_smithy_eventstream::frame::read_message_from;
use aws_smithy_types::event_stream::Message;
use bytes::{Buf, BytesMut};

/// Bytes of the longest frame that AWS sends.
const LONGEST: usize = 16 * 1024 * 1024;
/// Bytes of a frame without headers and payload: two lengths and two checksums.
const SHORTEST: usize = 16;

/// Collects bytes until a frame is whole.
#[derive(Debug, Default)]
pub struct Frames {
    buffer: BytesMut,
}

/// One frame, by what it says about itself.
#[derive(Debug)]
pub enum Frame {
    /// A step of the answer.
    Event { kind: String, payload: bytes::Bytes },
    /// The answer failed.
    Exception { kind: String, payload: bytes::Bytes },
    /// The transport of the answer failed.
    Error { code: String, message: String },
}

impl Frames {
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Bytes of a frame that is not whole.
    pub fn has_rest(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// The next whole frame.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, String> {
        Ok(self.next_whole()?.map(|(_, frame)| frame))
    }

    /// The next whole frame with its bytes; an error when the bytes are not an event stream, and then for good.
    pub fn next_whole(&mut self) -> Result<Option<(bytes::Bytes, Frame)>, String> {
        let Some(prelude) = self.buffer.first_chunk::<4>() else { return Ok(None) };
        let length = u32::from_be_bytes(*prelude) as usize;
        if !(SHORTEST..=LONGEST).contains(&length) {
            return Err(format!("a frame of {length} bytes cannot be"));
        }
        if self.buffer.len() < length {
            return Ok(None);
        }
        let whole = self.buffer.split_to(length).freeze();
        let message = read_message_from(whole.chunk()).map_err(|e| format!("a frame is damaged: {e}"))?;
        frame(&message).map(|frame| Some((whole, frame)))
    }
}

fn frame(message: &Message) -> Result<Frame, String> {
    let header = |name: &str| {
        let found = message.headers().iter().find(|header| header.name().as_str() == name)?;
        found.value().as_string().ok().map(|text| text.as_str().to_owned())
    };
    let need = |name: &str| header(name).ok_or_else(|| format!("a frame has no {name}"));
    let payload = message.payload().clone();
    match need(":message-type")?.as_str() {
        "event" => Ok(Frame::Event { kind: need(":event-type")?, payload }),
        "exception" => Ok(Frame::Exception { kind: need(":exception-type")?, payload }),
        "error" => {
            Ok(Frame::Error { code: need(":error-code")?, message: header(":error-message").unwrap_or_default() })
        }
        other => Err(format!("a frame is of the unknown type {other:?}")),
    }
}
