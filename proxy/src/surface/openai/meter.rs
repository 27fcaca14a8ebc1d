//! `Meter`: the bytes of an upstream's own chat completions stream in, the bytes for the client out, usage and completeness read in passing.
//!
//! # Why lines and not events
//! Every server of this dialect writes one `data:` line an event. A line longer than `LINE` is passed on unread: the
//! usage and the done marker never come in one.

use crate::chat::{ErrorKind, UpstreamError, Usage};
use bytes::{Bytes, BytesMut};
use memchr::memchr;
use memchr::memmem::Finder;
use serde::Deserialize;
use std::sync::LazyLock;
use tollway_core::spend;

/// Bytes of one line that are kept at most.
const LINE: usize = 64 * 1024;

// Every event is looked through for these; to prepare a search costs more than to search one event.
static FINISH_REASON: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new(b"\"finish_reason\""));
static USAGE: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new(b"\"usage\""));
static ERROR: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new(b"\"error\""));

/// Reads one stream in passing.
#[derive(Debug)]
pub struct Meter {
    strip_usage: bool,
    /// The line that has begun and not ended.
    line: BytesMut,
    /// That line has outgrown `LINE` and is passed on unread.
    too_long: bool,
    /// The blank line after a line that was taken out is to be taken out too.
    after_stripped: bool,
    usage: Option<Usage>,
    finished: bool,
    done: bool,
    error: Option<UpstreamError>,
}

impl Meter {
    /// A meter for one stream; `strip_usage` when the usage chunk was asked for on our own account and not by the client.
    #[must_use]
    pub fn new(strip_usage: bool) -> Self {
        Self {
            strip_usage,
            line: BytesMut::new(),
            too_long: false,
            after_stripped: false,
            usage: None,
            finished: false,
            done: false,
            error: None,
        }
    }

    /// The last usage seen.
    #[must_use]
    pub fn usage(&self) -> Option<Usage> {
        self.usage
    }

    /// A finish reason was seen: the answer itself is complete.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.finished
    }

    /// The done marker was seen: the stream is complete.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// The error that the upstream sent inside the stream.
    #[must_use]
    pub const fn error(&self) -> Option<&UpstreamError> {
        self.error.as_ref()
    }

    /// Takes the next bytes off the upstream and gives what the client shall get now: whole lines. The line that has not
    /// ended is held back, so that an upstream that breaks off leaves the client no half line.
    pub fn feed(&mut self, chunk: &Bytes) -> Bytes {
        if !self.strip_usage && self.line.is_empty() && chunk.ends_with(b"\n") {
            self.read(chunk, &mut |_| {});
            return chunk.clone();
        }
        let mut out = BytesMut::with_capacity(self.line.len() + chunk.len());
        self.read(chunk, &mut |bytes| out.extend_from_slice(bytes));
        out.freeze()
    }

    /// What was held back when the upstream ended; a last line without its end is read too.
    pub fn end(&mut self) -> Bytes {
        let held = std::mem::take(&mut self.line);
        let keep = self.too_long || self.keeps(&held);
        if keep && !self.too_long { held.freeze() } else { Bytes::new() }
    }

    fn read(&mut self, mut rest: &[u8], pass: &mut dyn FnMut(&[u8])) {
        while let Some(at) = memchr(b'\n', rest) {
            let (line, after) = rest.split_at(at + 1);
            rest = after;
            if std::mem::take(&mut self.too_long) {
                pass(line);
            } else if self.line.is_empty() {
                if self.keeps(line) {
                    pass(line);
                }
            } else {
                let mut whole = std::mem::take(&mut self.line);
                whole.extend_from_slice(line);
                if self.keeps(&whole) {
                    pass(&whole);
                }
                whole.clear();
                self.line = whole;
            }
        }
        if self.too_long {
            pass(rest);
        } else if self.line.len() + rest.len() > LINE {
            pass(&self.line);
            pass(rest);
            self.line = BytesMut::new();
            self.too_long = true;
        } else {
            self.line.extend_from_slice(rest);
        }
    }

    /// Reads one line; false when it must not reach the client.
    fn keeps(&mut self, line: &[u8]) -> bool {
        let line = line.trim_ascii_end();
        if line.is_empty() {
            return !std::mem::take(&mut self.after_stripped);
        }
        self.after_stripped = false;
        let Some(data) = line.strip_prefix(b"data:").map(<[u8]>::trim_ascii_start) else { return true };
        if data == b"[DONE]" {
            self.done = true;
            return true;
        }
        if !self.finished && member_starts(data, &FINISH_REASON, b'"') {
            self.finished = true;
        }
        let has_usage = member_starts(data, &USAGE, b'{');
        if !has_usage && !member_starts(data, &ERROR, b'{') {
            return true;
        }
        let Ok(chunk) = serde_json::from_slice::<Chunk>(data) else { return true };
        if let Some(error) = chunk.error {
            self.error = Some(error.into());
        }
        if let Some(usage) = chunk.usage {
            self.usage = Some(usage.into());
            let only_usage = chunk.choices.is_none_or(|choices| choices.is_empty());
            self.after_stripped = self.strip_usage && only_usage;
        }
        !self.after_stripped
    }
}

/// Whether somewhere in `json` a member `key` has a value that starts with `first`. A key inside of a string has its
/// quotes escaped, so it is not found.
fn member_starts(json: &[u8], key: &Finder<'_>, first: u8) -> bool {
    key.find_iter(json).any(|at| {
        let value = json[at + key.needle().len()..].trim_ascii_start().strip_prefix(b":").map(<[u8]>::trim_ascii_start);
        value.is_some_and(|value| value.first() == Some(&first))
    })
}

/// The usage of a complete answer of the dialect, if it says any.
#[must_use]
pub fn usage_of(body: &[u8]) -> Option<Usage> {
    #[derive(Deserialize)]
    struct Answer {
        usage: Option<WireUsage>,
    }
    serde_json::from_slice::<Answer>(body).ok()?.usage.map(Usage::from)
}

#[derive(Deserialize)]
struct Chunk {
    #[serde(default)]
    choices: Option<Vec<serde::de::IgnoredAny>>,
    #[serde(default)]
    usage: Option<WireUsage>,
    #[serde(default)]
    error: Option<WireError>,
}

/// Both counts must be there: a usage without them is no statement of what was used, and charging nothing would be a gift.
#[derive(Deserialize)]
struct WireUsage {
    prompt_tokens: u64,
    completion_tokens: u64,
    #[serde(default)]
    prompt_tokens_details: Option<PromptDetails>,
    #[serde(default)]
    completion_tokens_details: Option<CompletionDetails>,
}

#[derive(Deserialize)]
struct PromptDetails {
    #[serde(default)]
    cached_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct CompletionDetails {
    #[serde(default)]
    reasoning_tokens: Option<u64>,
}

impl From<WireUsage> for Usage {
    fn from(wire: WireUsage) -> Self {
        // The dialect counts cached tokens as prompt tokens; ours are disjoint.
        let cache_read = wire.prompt_tokens_details.and_then(|d| d.cached_tokens).unwrap_or(0).min(wire.prompt_tokens);
        Self {
            tokens: spend::Usage {
                input: wire.prompt_tokens - cache_read,
                output: wire.completion_tokens,
                cache_read,
                ..spend::Usage::default()
            },
            reasoning: wire.completion_tokens_details.and_then(|d| d.reasoning_tokens).unwrap_or(0),
        }
    }
}

#[derive(Deserialize)]
struct WireError {
    #[serde(default)]
    message: String,
    #[serde(default)]
    r#type: Option<String>,
}

impl From<WireError> for UpstreamError {
    fn from(wire: WireError) -> Self {
        Self {
            kind: ErrorKind::Model,
            status: 502,
            name: wire.r#type.unwrap_or_else(|| "error".to_owned()),
            message: wire.message,
        }
    }
}
