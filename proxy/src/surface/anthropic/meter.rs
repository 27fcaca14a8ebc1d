//! `Meter`: the bytes of an upstream's own Messages stream in, the bytes for the client out, usage and completeness read in passing.
//!
//! # Why whole events, and why the first is held
//! An upstream that breaks off leaves the client no half event. What comes before the first content (`message_start`,
//! `ping`) says nothing yet: held back, it leaves the way to another target open.

use super::sse::{SseEvent, SseReader};
use super::usage::WireUsage;
use crate::chat::{ErrorKind, UpstreamError, Usage};
use crate::provider::anthropic::decode_error;
use bytes::{Bytes, BytesMut};
use serde::Deserialize;

/// Reads one stream in passing.
#[derive(Debug, Default)]
pub struct Meter {
    reader: SseReader,
    /// Events that wait for the first content.
    held: BytesMut,
    speaks: bool,
    usage: WireUsage,
    done: bool,
    error: Option<UpstreamError>,
}

#[derive(Deserialize)]
struct Event {
    #[serde(default)]
    message: Option<Started>,
    #[serde(default)]
    usage: Option<WireUsage>,
    #[serde(default)]
    error: Option<WireError>,
}

#[derive(Deserialize)]
struct Started {
    #[serde(default)]
    usage: Option<WireUsage>,
}

#[derive(Default, Deserialize)]
struct WireError {
    #[serde(default)]
    r#type: String,
    #[serde(default)]
    message: String,
}

impl Meter {
    /// The usage said so far; none before the end of the answer says it.
    #[must_use]
    pub fn usage(&self) -> Option<Usage> {
        self.usage.said().filter(|_| self.done)
    }

    /// The stop marker was seen: the stream is complete.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        self.done
    }

    /// The error that the upstream sent inside the stream.
    #[must_use]
    pub const fn error(&self) -> Option<&UpstreamError> {
        self.error.as_ref()
    }

    /// Takes the next bytes off the upstream and gives what the client shall get now: whole events.
    pub fn feed(&mut self, chunk: &[u8]) -> Bytes {
        self.reader.push(chunk);
        loop {
            match self.reader.next_event() {
                Ok(None) => break,
                Ok(Some(event)) => self.read(&event),
                Err(what) => self.fail(what),
            }
            if self.error.is_some() {
                break;
            }
        }
        if self.speaks { std::mem::take(&mut self.held).freeze() } else { Bytes::new() }
    }

    /// The upstream ended: a last event without its blank line is read too.
    pub fn end(&mut self) -> Bytes {
        if let Some(event) =
            self.reader.take_rest().filter(|event| event.name == "message_stop" && event.data.ends_with('}'))
        {
            self.read(&event);
            self.held.extend_from_slice(b"\n\n");
        }
        if self.speaks { std::mem::take(&mut self.held).freeze() } else { Bytes::new() }
    }

    fn read(&mut self, event: &SseEvent) {
        match event.name.as_str() {
            "message_start" | "message_delta" | "error" => {
                let Ok(said) = serde_json::from_str::<Event>(&event.data) else {
                    return self.fail(format!("its {} is not JSON", event.name));
                };
                for usage in [said.message.and_then(|message| message.usage), said.usage].into_iter().flatten() {
                    self.usage.update(usage);
                }
                if event.name == "error" {
                    let WireError { r#type, message } = said.error.unwrap_or_default();
                    self.error = Some(decode_error(&r#type, &message));
                    return;
                }
            }
            "message_stop" => self.done = true,
            _ => {}
        }
        self.speaks |= !matches!(event.name.as_str(), "message_start" | "ping" | "");
        self.held.extend_from_slice(&event.bytes);
    }

    fn fail(&mut self, message: String) {
        let (kind, name) = (ErrorKind::Malformed, "malformed_stream".to_owned());
        self.error = Some(UpstreamError { kind, status: 502, name, message });
    }
}

/// The usage of a complete answer of the dialect, if it says any.
#[must_use]
pub fn usage_of(body: &[u8]) -> Option<Usage> {
    serde_json::from_slice::<Started>(body).ok()?.usage?.said()
}
