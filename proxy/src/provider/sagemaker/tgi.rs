//! Text Generation Inference: a chat in, one prompt with its parameters out; its whole answer, or the events of its stream, in, pieces out.

use crate::chat::{ChatRequest, ChatResponse, ErrorKind, FinishReason, Size, UpstreamError, Usage};
use crate::error::ApiError;
use crate::provider::prompt::{Turns, without};
use crate::provider::text::{self, Piece};
use bytes::Bytes;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;
use tollway_core::table::{Defaults, Template};

/// Translates `request`; `max_tokens` is the output bound that money was reserved for.
///
/// # Errors
/// The first field that a prompt cannot say.
pub fn build(
    request: &ChatRequest,
    template: Template,
    defaults: &Defaults,
    max_tokens: u32,
) -> Result<(Bytes, Size), ApiError> {
    let turns = Turns::of(request)?;
    let sampling = &request.sampling;
    without(&[
        ("frequency_penalty", sampling.frequency_penalty.is_some_and(|penalty| penalty != 0.0)),
        ("presence_penalty", sampling.presence_penalty.is_some_and(|penalty| penalty != 0.0)),
    ])?;
    let mut parameters = json!({ "max_new_tokens": max_tokens, "return_full_text": false, "details": true });
    if !request.stream {
        // The tokens of the prompt, by which its price goes; a stream says their number by itself, if its server is new enough.
        parameters["decoder_input_details"] = json!(true);
    }
    // It refuses the ends of both ranges: 0 is to take the likeliest token, and 1 is to leave none out.
    match sampling.temperature.or(defaults.temperature) {
        Some(temperature) if temperature > 0.0 => {
            parameters["temperature"] = json!(temperature);
            parameters["do_sample"] = json!(true);
        }
        Some(_) => parameters["do_sample"] = json!(false),
        None => {}
    }
    match sampling.top_p {
        Some(top_p) if top_p <= 0.0 => {
            return Err(ApiError::unsupported("top_p", "top_p: this model takes none of 0"));
        }
        asked => {
            if let Some(top_p) = asked.or(defaults.top_p).filter(|top_p| *top_p > 0.0 && *top_p < 1.0) {
                parameters["top_p"] = json!(top_p);
            }
        }
    }
    if let Some(top_k) = sampling.top_k.or(defaults.top_k).filter(|top_k| *top_k > 0) {
        parameters["top_k"] = json!(top_k);
    }
    if let Some(seed) = sampling.seed.and_then(|seed| u64::try_from(seed).ok()) {
        parameters["seed"] = json!(seed);
    }
    let stop = if request.stop.is_empty() { &defaults.stop } else { &request.stop };
    if !stop.is_empty() {
        parameters["stop"] = json!(stop);
    }
    let mut body = json!({ "inputs": turns.prompt(template), "parameters": parameters });
    if request.stream {
        body["stream"] = json!(true);
    }
    let body = Bytes::from(body.to_string());
    let messages = u32::try_from(turns.turns.len() + 1).unwrap_or(u32::MAX);
    let size = Size { text_bytes: body.len() as u64, messages, ..Size::default() };
    Ok((body, size))
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Whole {
    List(Vec<Generated>),
    One(Generated),
}

#[derive(Deserialize)]
struct Generated {
    generated_text: String,
    #[serde(default)]
    details: Option<Details>,
}

#[derive(Deserialize)]
struct Details {
    #[serde(default)]
    finish_reason: Option<String>,
    #[serde(default)]
    generated_tokens: Option<u64>,
    #[serde(default)]
    input_length: Option<u64>,
    #[serde(default)]
    prefill: Option<Vec<IgnoredAny>>,
}

impl Details {
    fn finish(&self) -> FinishReason {
        match self.finish_reason.as_deref() {
            Some("length") => FinishReason::Length,
            Some("stop_sequence") => FinishReason::StopSequence,
            _ => FinishReason::Stop,
        }
    }

    fn usage(&self) -> Option<Usage> {
        let read = self.prefill.as_ref().map(|tokens| tokens.len() as u64).filter(|tokens| *tokens > 0);
        let input = self.input_length.or(read)?;
        let tokens = tollway_core::spend::Usage { input, output: self.generated_tokens?, ..Default::default() };
        Some(Usage { tokens, reasoning: 0 })
    }
}

/// Reads a complete answer.
///
/// # Errors
/// It is none.
pub fn decode(body: &[u8]) -> Result<ChatResponse, UpstreamError> {
    let generated = match serde_json::from_slice(body) {
        Ok(Whole::One(generated)) => Some(generated),
        Ok(Whole::List(list)) => list.into_iter().next(),
        Err(_) => None,
    };
    let Generated { generated_text, details } =
        generated.ok_or_else(|| malformed("the answer has no generated_text"))?;
    let finish = details.as_ref().map_or(FinishReason::Stop, Details::finish);
    let usage = details.as_ref().and_then(Details::usage);
    Ok(text::whole(generated_text.trim_start().to_owned(), finish, usage))
}

#[derive(Deserialize)]
struct Event {
    #[serde(default)]
    token: Option<Token>,
    #[serde(default)]
    generated_text: Option<String>,
    #[serde(default)]
    details: Option<Details>,
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    error_type: Option<String>,
}

#[derive(Deserialize)]
struct Token {
    #[serde(default)]
    text: String,
    #[serde(default)]
    special: bool,
}

/// Reads one event of a stream.
///
/// # Errors
/// It is none, or says how the server failed.
pub fn event(data: &str) -> Result<Piece, UpstreamError> {
    let event: Event =
        serde_json::from_str(data).map_err(|e| malformed(format!("an event is not of a generation: {e}")))?;
    let Event { token, generated_text, details, error, error_type } = event;
    if let Some(message) = error {
        let kind = if error_type.as_deref() == Some("overloaded") { ErrorKind::Throttled } else { ErrorKind::Model };
        let status = if kind == ErrorKind::Throttled { 429 } else { 424 };
        return Err(UpstreamError { kind, status, name: error_type.unwrap_or_else(|| "error".to_owned()), message });
    }
    let text = token.filter(|token| !token.special).map(|token| token.text).unwrap_or_default();
    let ended = generated_text.is_some() || details.is_some();
    let finish = ended.then(|| details.as_ref().map_or(FinishReason::Stop, Details::finish));
    Ok(Piece { text, finish, usage: details.as_ref().and_then(Details::usage) })
}

fn malformed(what: impl Into<String>) -> UpstreamError {
    UpstreamError { kind: ErrorKind::Malformed, status: 502, name: "malformed_answer".to_owned(), message: what.into() }
}
