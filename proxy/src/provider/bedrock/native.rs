//! Clients that speak the target's own dialect: their bytes pass through, both ways, and the usage is read in passing.

use super::error::{decode_exception, malformed, transport_error};
use super::frame::{Frame, Frames};
use super::response::WireUsage;
use crate::attempt::{Job, Skip};
use crate::chat::{self, ErrorKind, UpstreamError};
use crate::error::ApiError;
use crate::provider::{Call, Prepared, Step, shape};
use crate::surface::Form;
use crate::surface::bedrock::{Api, Splice, splice, splice_invoke};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::Body as _;
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::Value;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tollway_core::spend::Usage;
use tollway_core::table::{Bedrock, Route};

const GUARDRAIL: HeaderName = HeaderName::from_static("x-amzn-bedrock-guardrailidentifier");
const GUARDRAIL_VERSION: HeaderName = HeaderName::from_static("x-amzn-bedrock-guardrailversion");
const METADATA: HeaderName = HeaderName::from_static("x-amzn-bedrock-request-metadata");
const TRACE: HeaderName = HeaderName::from_static("x-amzn-bedrock-trace");
/// By which InvokeModel asks for dearer service, and the words that are no such ask.
const SERVICE: [(HeaderName, &str); 2] = [
    (HeaderName::from_static("x-amzn-bedrock-performanceconfig-latency"), "standard"),
    (HeaderName::from_static("x-amzn-bedrock-service-tier"), "default"),
];

/// Splices what must change; nothing has been reserved or sent.
///
/// # Errors
/// Why this target is passed over.
pub fn prepare(job: &Job<'_>, route: &Route, target: &Bedrock, output: u32) -> Result<Prepared, Skip> {
    let mut headers = HeaderMap::new();
    let (api, body) = match &job.peek.form {
        Form::Converse(spans) => {
            let change = Splice { max_tokens: output, target, defaults: &route.defaults };
            (Api::Converse, splice(job.body, spans, &change))
        }
        Form::Invoke(invoke) => {
            headers = invoke_headers(job.headers, target).map_err(Skip::Inexpressible)?;
            (Api::Invoke, splice_invoke(job.body, invoke, target.known_as(), output))
        }
        Form::ChatCompletions(_) | Form::Messages(_) | Form::Responses(_) | Form::Embeddings(_) | Form::Invocation => {
            return Err(Skip::NotHere);
        }
    };
    let body = body.map_err(Skip::Inexpressible)?;
    let mut shape = shape(&job.peek.size);
    shape.bytes += (body.len() as u64).saturating_sub(job.body.len() as u64);
    Ok(Prepared { shape, call: Call::Native { api, headers, body } })
}

/// InvokeModel says in headers what Converse says in the body: the route's guardrail, else the client's.
fn invoke_headers(client: &HeaderMap, target: &Bedrock) -> Result<HeaderMap, ApiError> {
    for (name, ordinary) in SERVICE {
        if client.get(&name).is_some_and(|value| value.as_bytes() != ordinary.as_bytes()) {
            let why = format!("{name}: only {ordinary:?} has the price of this route's targets; leave it out");
            return Err(ApiError::unsupported(name.as_str(), why));
        }
    }
    let mut headers = HeaderMap::new();
    for name in [TRACE, METADATA, GUARDRAIL, GUARDRAIL_VERSION] {
        headers.extend(client.get(&name).map(|value| (name, value.clone())));
    }
    guardrail(&mut headers, target)?;
    Ok(headers)
}

/// The route's guardrail, as InvokeModel is told of it.
///
/// # Errors
/// Its name is no header text.
pub fn guardrail(headers: &mut HeaderMap, target: &Bedrock) -> Result<(), ApiError> {
    let Some(guardrail) = &target.guardrail else { return Ok(()) };
    for (name, value) in [(GUARDRAIL, &guardrail.id), (GUARDRAIL_VERSION, &guardrail.version)] {
        let value = HeaderValue::from_str(value)
            .map_err(|_| ApiError::unsupported("guardrail", "the target's guardrail is no header text"))?;
        headers.insert(name, value);
    }
    Ok(())
}

/// The usage of a complete answer, as far as it says any.
#[must_use]
pub fn usage_of(api: Api, headers: &HeaderMap, body: &[u8]) -> Option<Usage> {
    #[derive(Deserialize)]
    struct Answer {
        usage: Option<WireUsage>,
    }
    match api {
        Api::Converse => {
            serde_json::from_slice::<Answer>(body).ok()?.usage.map(|usage| chat::Usage::from(usage).tokens)
        }
        Api::Invoke => {
            let said = serde_json::from_slice::<Value>(body).ok();
            said.as_ref().and_then(|body| said_in(&body["usage"])).or_else(|| counted(headers))
        }
    }
}

/// Families that say what of the input was cached say it in a `usage` of their own words.
fn said_in(usage: &Value) -> Option<Usage> {
    let count = |names: [&str; 2]| names.iter().find_map(|name| usage[*name].as_u64());
    let (input, output) = (count(["input_tokens", "inputTokens"])?, count(["output_tokens", "outputTokens"])?);
    let written = count(["cache_creation_input_tokens", "cacheWriteInputTokenCount"]).unwrap_or(0);
    let for_an_hour = usage["cache_creation"]["ephemeral_1h_input_tokens"].as_u64().unwrap_or(0).min(written);
    Some(Usage {
        input,
        output,
        cache_read: count(["cache_read_input_tokens", "cacheReadInputTokenCount"]).unwrap_or(0),
        cache_write: written - for_an_hour,
        cache_write_1h: for_an_hour,
    })
}

/// What the service itself counted.
#[must_use]
pub fn counted(headers: &HeaderMap) -> Option<Usage> {
    let count = |what: &str| {
        let value = headers.get(format!("x-amzn-bedrock-{what}-token-count"))?;
        value.to_str().ok()?.trim().parse::<u64>().ok()
    };
    Some(Usage {
        input: count("input")?,
        output: count("output")?,
        cache_read: count("cache-read-input").unwrap_or(0),
        cache_write: count("cache-write-input").unwrap_or(0),
        cache_write_1h: 0,
    })
}

/// A stream that passes through.
#[derive(Debug)]
pub struct Passed {
    api: Api,
    body: Incoming,
    frames: Frames,
    /// The frame that says nothing but that the answer begins: until another comes, another target may still answer.
    held: BytesMut,
    usage: Option<Usage>,
    for_an_hour: u64,
    finished: bool,
    complete: bool,
    failed: Option<UpstreamError>,
}

impl Passed {
    #[must_use]
    pub fn new(api: Api, body: Incoming) -> Self {
        let (frames, held) = (Frames::default(), BytesMut::new());
        Self { api, body, frames, held, usage: None, for_an_hour: 0, finished: false, complete: false, failed: None }
    }

    pub fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        loop {
            if let Some(error) = self.failed.take() {
                return Poll::Ready(Step::Failed(error));
            }
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    let Ok(data) = frame.into_data() else { continue };
                    if let Some(bytes) = self.feed(&data) {
                        return Poll::Ready(Step::Bytes(bytes));
                    }
                }
                Some(Err(_)) | None if self.complete => return Poll::Ready(Step::End),
                Some(Err(error)) => return Poll::Ready(Step::Failed(truncated(&error.to_string()))),
                None => return Poll::Ready(Step::Failed(truncated("the stream ended before the answer was complete"))),
            }
        }
    }

    /// Whole frames for the client; what follows an error is not read.
    fn feed(&mut self, data: &[u8]) -> Option<Bytes> {
        self.frames.push(data);
        let mut speaks = false;
        while self.failed.is_none() {
            match self.frames.next_whole() {
                Ok(None) => break,
                Ok(Some((whole, Frame::Event { kind, payload }))) => {
                    self.read(&kind, &payload);
                    speaks |= kind != "messageStart";
                    self.held.extend_from_slice(&whole);
                }
                Ok(Some((_, Frame::Exception { kind, payload }))) => {
                    self.failed = Some(decode_exception(&kind, &payload));
                }
                Ok(Some((_, Frame::Error { code, message }))) => {
                    self.failed = Some(transport_error(code, message));
                }
                Err(what) => self.failed = Some(malformed(what)),
            }
        }
        (speaks && !self.held.is_empty()).then(|| self.held.split().freeze())
    }

    fn read(&mut self, kind: &str, payload: &[u8]) {
        match (self.api, kind) {
            (Api::Converse, "messageStop") => self.finished = true,
            (Api::Converse, "metadata") => {
                self.usage = usage_of(Api::Converse, &HeaderMap::new(), payload);
                self.complete = self.finished;
            }
            (Api::Invoke, "chunk") => {
                let Some(said) = chunk(payload) else { return };
                // Only the model's own words say how long what was written into its cache stays.
                self.for_an_hour = self.for_an_hour.max(said.for_an_hour);
                if let Some(metrics) = said.metrics {
                    self.usage = metrics.usage(self.for_an_hour);
                    self.complete = true;
                }
            }
            _ => {}
        }
    }

    #[must_use]
    pub const fn usage(&self) -> Option<Usage> {
        self.usage
    }

    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.complete
    }
}

fn truncated(why: &str) -> UpstreamError {
    UpstreamError {
        kind: ErrorKind::Truncated,
        status: 502,
        name: "TruncatedStream".to_owned(),
        message: why.to_owned(),
    }
}

/// What the service counted; it comes with the last chunk of every family.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metrics {
    #[serde(default)]
    input_token_count: Option<u64>,
    #[serde(default)]
    output_token_count: Option<u64>,
    #[serde(default)]
    cache_read_input_token_count: Option<u64>,
    #[serde(default)]
    cache_write_input_token_count: Option<u64>,
}

impl Metrics {
    fn usage(&self, for_an_hour: u64) -> Option<Usage> {
        let written = self.cache_write_input_token_count.unwrap_or(0);
        let cache_write_1h = for_an_hour.min(written);
        Some(Usage {
            input: self.input_token_count?,
            output: self.output_token_count?,
            cache_read: self.cache_read_input_token_count.unwrap_or(0),
            cache_write: written - cache_write_1h,
            cache_write_1h,
        })
    }
}

/// What one chunk says about the usage.
#[derive(Default)]
struct Said {
    metrics: Option<Metrics>,
    for_an_hour: u64,
}

fn chunk(payload: &[u8]) -> Option<Said> {
    #[derive(Deserialize)]
    struct Chunk<'a> {
        #[serde(borrow)]
        bytes: &'a str,
    }
    #[derive(Deserialize)]
    struct Last {
        #[serde(rename = "amazon-bedrock-invocationMetrics")]
        metrics: Metrics,
    }
    let chunk: Chunk<'_> = serde_json::from_slice(payload).ok()?;
    let json = STANDARD.decode(chunk.bytes).ok()?;
    // Most chunks are only words of the model: the names are looked for before anything is built.
    let has = |name: &str| memchr::memmem::find(&json, name.as_bytes()).is_some();
    let mut said = Said::default();
    if has("ephemeral_1h_input_tokens") {
        let words: Value = serde_json::from_slice(&json).ok()?;
        let written = &words["message"]["usage"]["cache_creation"]["ephemeral_1h_input_tokens"];
        said.for_an_hour = written.as_u64().unwrap_or(0);
    }
    if has("amazon-bedrock-invocationMetrics") {
        said.metrics = serde_json::from_slice::<Last>(&json).ok().map(|last| last.metrics);
    }
    Some(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tier_of_the_cache_is_read_in_the_words_of_each_api() {
        let expected = Usage { input: 5, output: 7, cache_read: 11, cache_write: 13, cache_write_1h: 17 };
        let converse = br#"{"usage": {"inputTokens": 5, "outputTokens": 7, "totalTokens": 53, "cacheReadInputTokens": 11,
            "cacheWriteInputTokens": 30, "cacheDetails": [{"ttl": "5m", "inputTokens": 13}, {"ttl": "1h", "inputTokens": 17}]}}"#;
        assert_eq!(usage_of(Api::Converse, &HeaderMap::new(), converse), Some(expected));
        let claude = br#"{"usage": {"input_tokens": 5, "output_tokens": 7, "cache_read_input_tokens": 11, "cache_creation_input_tokens": 30,
            "cache_creation": {"ephemeral_5m_input_tokens": 13, "ephemeral_1h_input_tokens": 17}}}"#;
        assert_eq!(usage_of(Api::Invoke, &HeaderMap::new(), claude), Some(expected));
        let nova = br#"{"usage": {"inputTokens": 5, "outputTokens": 7, "cacheReadInputTokenCount": 11, "cacheWriteInputTokenCount": 30}}"#;
        let without_ages = Usage { cache_write: 30, cache_write_1h: 0, ..expected };
        assert_eq!(usage_of(Api::Invoke, &HeaderMap::new(), nova), Some(without_ages));
        assert_eq!(usage_of(Api::Converse, &HeaderMap::new(), b"{}"), None, "no statement is no usage");
    }
}
