//! Llama 2: turns in, its prompt and parameters out; a whole answer or a chunk of one, which look alike, in, a piece out.

use super::counts;
use crate::chat::{ChatRequest, FinishReason};
use crate::error::ApiError;
use crate::provider::prompt::{Turns, within, without};
use crate::provider::text::Piece;
use serde::Deserialize;
use serde_json::{Value, json};
use tollway_core::table::{Defaults, Template};

pub(super) fn body(
    request: &ChatRequest,
    turns: &Turns,
    defaults: &Defaults,
    max_tokens: u32,
) -> Result<Value, ApiError> {
    let sampling = &request.sampling;
    without(&[
        ("stop", !request.stop.is_empty()),
        ("top_k", sampling.top_k.is_some()),
        ("frequency_penalty", sampling.frequency_penalty.is_some_and(|penalty| penalty != 0.0)),
        ("presence_penalty", sampling.presence_penalty.is_some_and(|penalty| penalty != 0.0)),
    ])?;
    let mut body = json!({ "prompt": turns.prompt(Template::Llama2), "max_gen_len": max_tokens });
    if let Some(temperature) = within("temperature", sampling.temperature, defaults.temperature, 1.0)? {
        body["temperature"] = json!(temperature);
    }
    if let Some(top_p) = within("top_p", sampling.top_p, defaults.top_p, 1.0)? {
        body["top_p"] = json!(top_p);
    }
    Ok(body)
}

#[derive(Deserialize)]
pub(super) struct Answer {
    #[serde(default)]
    generation: String,
    #[serde(default)]
    prompt_token_count: Option<u64>,
    #[serde(default)]
    generation_token_count: Option<u64>,
    #[serde(default)]
    stop_reason: Option<String>,
}

pub(super) fn piece(answer: Answer) -> Piece {
    let Answer { generation, prompt_token_count, generation_token_count, stop_reason } = answer;
    let finish = stop_reason.map(|reason| match reason.as_str() {
        "length" => FinishReason::Length,
        _ => FinishReason::Stop,
    });
    Piece { text: generation, finish, usage: counts(prompt_token_count, generation_token_count) }
}
