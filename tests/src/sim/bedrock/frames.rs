//! Event-stream frames: an event's name and JSON in, the bytes of one frame out.

use crate::sim::script::Exception;
use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use bytes::Bytes;
use serde_json::{Value, json};

fn frame(kind: &'static str, name_header: &'static str, name: &str, payload: &Value) -> Bytes {
    framed(kind, name_header, name, "application/json", payload.to_string().into_bytes())
}

fn framed(kind: &'static str, name_header: &'static str, name: &str, content_type: &str, payload: Vec<u8>) -> Bytes {
    let text = |text: &str| HeaderValue::String(text.to_owned().into());
    let message = Message::new_from_parts(
        vec![
            Header::new(name_header, text(name)),
            Header::new(":content-type", text(content_type)),
            Header::new(":message-type", text(kind)),
        ],
        payload,
    );
    let mut bytes = Vec::with_capacity(256);
    write_message_to(&message, &mut bytes).expect("three short headers fit a frame");
    Bytes::from(bytes)
}

/// One event of a stream.
#[must_use]
pub fn event(name: &str, payload: &Value) -> Bytes {
    frame("event", ":event-type", name, payload)
}

/// An exception inside a stream.
#[must_use]
pub fn exception(which: Exception) -> Bytes {
    let (name, _, message) = which.wire();
    let mut payload = json!({ "message": message });
    if which == Exception::ModelStreamError {
        payload["originalStatusCode"] = json!(500);
        payload["originalMessage"] = json!("the model stopped");
    }
    frame("exception", ":exception-type", &member(name), &payload)
}

/// A part of a SageMaker container's own bytes.
#[must_use]
pub fn part(bytes: &[u8]) -> Bytes {
    framed("event", ":event-type", "PayloadPart", "application/octet-stream", bytes.to_vec())
}

/// An exception by a name that only one service has.
#[must_use]
pub fn exception_named(name: &str, payload: &Value) -> Bytes {
    frame("exception", ":exception-type", name, payload)
}

/// The name of a shape as a member: its first letter small.
fn member(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map(|c| c.to_ascii_lowercase()).into_iter().chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_smithy_eventstream::frame::{DecodedFrame, MessageFrameDecoder};
    use bytes::BytesMut;
    use proptest::prelude::*;

    fn decode(chunks: &[&[u8]]) -> Vec<(String, Value)> {
        let (mut decoder, mut buffer, mut out) = (MessageFrameDecoder::new(), BytesMut::new(), Vec::new());
        for chunk in chunks {
            buffer.extend_from_slice(chunk);
            while let DecodedFrame::Complete(message) = decoder.decode_frame(&mut buffer).unwrap() {
                let name = message.headers()[0].value().as_string().unwrap().as_str().to_owned();
                out.push((name, serde_json::from_slice(message.payload()).unwrap()));
            }
        }
        out
    }

    proptest! {
        #[test]
        fn frames_decode_under_any_chunking(texts in prop::collection::vec("\\PC{0,40}", 1..8), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12)) {
            let mut sent: Vec<(String, Value)> = texts.iter().map(|t| ("contentBlockDelta".to_owned(), json!({"delta": {"text": t}}))).collect();
            let mut bytes: Vec<u8> = sent.iter().flat_map(|(name, payload)| event(name, payload)).collect();
            bytes.extend(exception(Exception::Throttling));
            sent.push(("throttlingException".to_owned(), json!({ "message": Exception::Throttling.wire().2 })));
            let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).chain([0, bytes.len()]).collect();
            at.sort_unstable();
            let chunks: Vec<&[u8]> = at.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
            prop_assert_eq!(decode(&chunks), sent);
        }
    }
}
