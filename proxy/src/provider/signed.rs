//! Targets behind AWS's signature whose clients never speak their dialect: how a request goes out, and how its answer is read.

use super::bedrock::{self, Destination, Frame, Frames, TextFamily};
use super::sagemaker::tgi;
use super::text::{self, TextStream};
use super::{ToolNames, agent_core, openai};
use crate::chat::{ChatResponse, FinishReason, StreamEvent, UpstreamError, Usage};
use crate::surface::anthropic::SseReader;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use serde::Deserialize;
use tollway_core::spend;
use tollway_core::table::Provider;

/// A request, all but its signature.
#[derive(Debug)]
pub struct Signed {
    /// Path and query, encoded.
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub reading: Reading,
}

/// How an answer is read.
#[derive(Clone, Debug)]
pub struct Reading {
    pub format: Format,
    /// A streamed answer comes in AWS's frames.
    pub framed: bool,
}

/// What an answer is written in.
#[derive(Clone, Debug)]
pub enum Format {
    /// OpenAI chat completions.
    Completions(ToolNames),
    /// Text Generation Inference.
    Tgi,
    /// A family of Bedrock's with a body of its own.
    Text(TextFamily),
    /// Whatever an agent says.
    Agent,
}

/// Where the requests of a provider go; none: it takes no signature.
#[must_use]
pub fn destination<'a>(provider: &'a Provider, path: &'a str) -> Option<Destination<'a>> {
    let (service, region, role) = match provider {
        Provider::Bedrock(target) => (bedrock::BEDROCK, target.region.as_deref(), target.role_arn.as_deref()),
        Provider::SageMaker(target) => (bedrock::SAGEMAKER, target.region.as_deref(), None),
        Provider::AgentCore(target) => (bedrock::AGENT_CORE, Some(target.region.as_str()), None),
        Provider::OpenAi(_) | Provider::Anthropic(_) | Provider::Simulated(_) => return None,
    };
    Some(Destination { service, region, role, path })
}

fn is_events(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    kind.trim_start().to_ascii_lowercase().starts_with("text/event-stream")
}

impl Reading {
    /// Reads a complete answer.
    ///
    /// # Errors
    /// It is none.
    pub fn decode(&self, headers: &HeaderMap, body: &[u8]) -> Result<ChatResponse, UpstreamError> {
        match &self.format {
            Format::Completions(names) => openai::decode(body, names),
            Format::Tgi => tgi::decode(body),
            Format::Text(family) => family.decode(body, bedrock::counted(headers).map(charged)),
            Format::Agent => agent_core::decode(body, is_events(headers)),
        }
    }

    /// What reads a streamed answer with this head.
    #[must_use]
    pub fn decoder(self, headers: &HeaderMap) -> Decoder {
        let frames = self.framed.then(Frames::default);
        let words = match self.format {
            Format::Completions(names) => Words::Completions(openai::Decoder::new(names)),
            Format::Tgi => Words::Tgi(SseReader::default(), TextStream::default()),
            Format::Text(family) if family.streams() => Words::Text(family, TextStream::default()),
            Format::Agent if is_events(headers) => {
                Words::Agent(SseReader::default(), agent_core::AgentStream::default(), TextStream::default())
            }
            format @ (Format::Text(_) | Format::Agent) => {
                let (reading, headers) = (Reading { format, framed: false }, headers.clone());
                Words::Whole { reading, headers, body: BytesMut::new(), complete: false }
            }
        };
        Decoder { frames, words, failed: false }
    }
}

/// Reads one streamed answer.
#[derive(Debug)]
pub struct Decoder {
    frames: Option<Frames>,
    words: Words,
    failed: bool,
}

#[derive(Debug)]
enum Words {
    Completions(openai::Decoder),
    Tgi(SseReader, TextStream),
    Text(TextFamily, TextStream),
    Agent(SseReader, agent_core::AgentStream, TextStream),
    /// What does not stream is read whole, and said at once.
    Whole {
        reading: Reading,
        headers: HeaderMap,
        body: BytesMut,
        complete: bool,
    },
}

/// Bytes of a whole answer at most.
const LONGEST: usize = 64 * 1024 * 1024;

impl Decoder {
    /// Takes the next bytes; gives what they say. After an error nothing more is said.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<StreamEvent> {
        let mut out = Vec::new();
        if self.failed {
            return out;
        }
        let read = match self.frames.take() {
            None => self.words.feed(bytes, &mut out),
            Some(mut frames) => {
                frames.push(bytes);
                let read = self.unwrap(&mut frames, &mut out);
                self.frames = Some(frames);
                read
            }
        };
        if let Err(error) = read {
            self.failed = true;
            out.push(StreamEvent::Error(error));
        }
        self.failed |= matches!(out.last(), Some(StreamEvent::Error(_)));
        out
    }

    fn unwrap(&mut self, frames: &mut Frames, out: &mut Vec<StreamEvent>) -> Result<(), UpstreamError> {
        while let Some(frame) = frames.next_frame().map_err(bedrock::malformed)? {
            match frame {
                // Bedrock's parts are base64 in JSON, SageMaker's are the container's own bytes.
                Frame::Event { kind, payload } if kind == "chunk" => self.words.feed(&chunk(&payload)?, out)?,
                Frame::Event { kind, payload } if kind == "PayloadPart" => self.words.feed(&payload, out)?,
                Frame::Event { .. } => {}
                Frame::Exception { kind, payload } => return Err(bedrock::decode_exception(&kind, &payload)),
                Frame::Error { code, message } => return Err(bedrock::transport_error(code, message)),
            }
        }
        Ok(())
    }

    /// The upstream has ended: nothing when everything had come, else the error that it had not.
    pub fn end(&mut self) -> Vec<StreamEvent> {
        let mut out = Vec::new();
        if self.failed || self.is_complete() {
            return out;
        }
        if self.frames.as_ref().is_some_and(Frames::has_rest) {
            out.push(StreamEvent::Error(text::truncated()));
        } else if let Err(error) = self.words.end(&mut out) {
            out.push(StreamEvent::Error(error));
        }
        self.failed = matches!(out.last(), Some(StreamEvent::Error(_)));
        out
    }

    /// Whether everything has come: the stream may end now.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        match &self.words {
            Words::Completions(decoder) => decoder.is_complete(),
            Words::Tgi(_, stream) | Words::Text(_, stream) | Words::Agent(_, _, stream) => stream.is_complete(),
            Words::Whole { complete, .. } => *complete,
        }
    }
}

impl Words {
    fn feed(&mut self, bytes: &[u8], out: &mut Vec<StreamEvent>) -> Result<(), UpstreamError> {
        match self {
            Self::Completions(decoder) => out.extend(decoder.feed(bytes)),
            Self::Tgi(reader, stream) => {
                reader.push(bytes);
                while let Some(event) = reader.next_event().map_err(bedrock::malformed)? {
                    stream.push(tgi::event(&event.data)?, out);
                }
                if stream.is_finished() {
                    stream.end(out);
                }
            }
            Self::Text(family, stream) => {
                let mut piece = family.chunk(bytes)?;
                piece.usage = metrics(bytes).or(piece.usage);
                stream.push(piece, out);
                // What the service counted comes with the last words or after them.
                if stream.is_finished() && metrics(bytes).is_some() {
                    stream.end(out);
                }
            }
            Self::Agent(reader, state, stream) => {
                reader.push(bytes);
                while let Some(event) = reader.next_event().map_err(bedrock::malformed)? {
                    stream.push(state.event(&event.data)?, out);
                }
            }
            Self::Whole { body, .. } => {
                body.extend_from_slice(bytes);
                if body.len() > LONGEST {
                    return Err(bedrock::malformed(format!("an answer of more than {LONGEST} bytes")));
                }
            }
        }
        Ok(())
    }

    fn end(&mut self, out: &mut Vec<StreamEvent>) -> Result<(), UpstreamError> {
        match self {
            Self::Completions(decoder) => out.extend(decoder.end()),
            Self::Tgi(reader, stream) => {
                if let Some(event) = reader.take_rest() {
                    stream.push(tgi::event(&event.data)?, out);
                }
                stream.end(out);
            }
            Self::Text(_, stream) => stream.end(out),
            Self::Agent(reader, state, stream) => {
                if let Some(event) = reader.take_rest() {
                    stream.push(state.event(&event.data)?, out);
                }
                // An agent has no word for the end but the end itself.
                let finish = Some(FinishReason::Stop);
                stream.push(text::Piece { finish, ..text::Piece::default() }, out);
                stream.end(out);
            }
            Self::Whole { reading, headers, body, complete } => {
                out.extend(text::events(reading.decode(headers, body)?));
                *complete = true;
            }
        }
        Ok(())
    }
}

/// The bytes inside one of Bedrock's chunks.
fn chunk(payload: &[u8]) -> Result<Vec<u8>, UpstreamError> {
    #[derive(Deserialize)]
    struct Chunk<'a> {
        #[serde(borrow)]
        bytes: &'a str,
    }
    let damaged = |what: String| bedrock::malformed(format!("a chunk is damaged: {what}"));
    let chunk: Chunk<'_> = serde_json::from_slice(payload).map_err(|e| damaged(e.to_string()))?;
    STANDARD.decode(chunk.bytes).map_err(|e| damaged(e.to_string()))
}

/// What the service counted, which is what it charges.
fn metrics(json: &[u8]) -> Option<Usage> {
    #[derive(Deserialize)]
    struct Last {
        #[serde(rename = "amazon-bedrock-invocationMetrics")]
        metrics: Counted,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Counted {
        input_token_count: u64,
        output_token_count: u64,
    }
    let Last { metrics } = serde_json::from_slice(json).ok()?;
    let Counted { input_token_count: input, output_token_count: output } = metrics;
    Some(charged(spend::Usage { input, output, ..Default::default() }))
}

const fn charged(tokens: spend::Usage) -> Usage {
    Usage { tokens, reasoning: 0 }
}
