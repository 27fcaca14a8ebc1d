//! `SseReader`: bytes of a server-sent event stream in, whatever way they are cut; whole events out.

use bytes::{Bytes, BytesMut};
use memchr::memchr;

/// Bytes of one event that are kept at most.
const LONGEST: usize = 16 * 1024 * 1024;

/// Collects bytes until an event is whole.
#[derive(Debug, Default)]
pub struct SseReader {
    buffer: BytesMut,
    /// Where the line that has not ended begins.
    line: usize,
}

/// One event: its own bytes with the blank line, and what they say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SseEvent {
    /// As it came.
    pub bytes: Bytes,
    /// What the `event:` line says.
    pub name: String,
    /// The `data:` lines, joined.
    pub data: String,
}

impl SseReader {
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Bytes of an event that is not whole.
    #[must_use]
    pub fn has_rest(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// What has come of an event that is not whole, as if it were: some servers forget the last blank line.
    pub fn take_rest(&mut self) -> Option<SseEvent> {
        self.line = 0;
        let bytes = self.buffer.split().freeze();
        (!bytes.trim_ascii().is_empty()).then(|| event(bytes))
    }

    /// The next whole event; an error when the bytes outgrow what an event may have.
    ///
    /// # Errors
    /// What is wrong with the stream.
    pub fn next_event(&mut self) -> Result<Option<SseEvent>, String> {
        while let Some(at) = memchr(b'\n', &self.buffer[self.line..]) {
            let blank = self.buffer[self.line..self.line + at].trim_ascii().is_empty();
            self.line += at + 1;
            if blank {
                let bytes = self.buffer.split_to(self.line).freeze();
                self.line = 0;
                if !bytes.trim_ascii().is_empty() {
                    return Ok(Some(event(bytes)));
                }
            }
        }
        if self.buffer.len() > LONGEST {
            return Err(format!("an event of more than {LONGEST} bytes cannot be"));
        }
        Ok(None)
    }
}

fn event(bytes: Bytes) -> SseEvent {
    let (mut name, mut data) = (String::new(), String::new());
    for line in bytes.split(|b| *b == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let (field, value) = match memchr(b':', line) {
            Some(at) => (&line[..at], line[at + 1..].strip_prefix(b" ").unwrap_or(&line[at + 1..])),
            None => (line, &b""[..]),
        };
        match field {
            b"event" => name = String::from_utf8_lossy(value).into_owned(),
            b"data" => {
                if !data.is_empty() {
                    data.push('\n');
                }
                data.push_str(&String::from_utf8_lossy(value));
            }
            _ => {}
        }
    }
    SseEvent { bytes, name, data }
}
