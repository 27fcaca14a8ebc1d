//! Titan Text: turns in, `inputText` with its configuration out; results and chunks in, pieces out.

use super::counts;
use crate::chat::{ChatRequest, FinishReason, UpstreamError};
use crate::error::ApiError;
use crate::provider::bedrock::error::malformed;
use crate::provider::prompt::{Turns, within, without};
use crate::provider::text::Piece;
use serde::Deserialize;
use serde_json::{Value, json};
use tollway_core::table::Defaults;

pub(super) fn body(
    request: &ChatRequest,
    turns: &Turns,
    defaults: &Defaults,
    max_tokens: u32,
) -> Result<Value, ApiError> {
    let sampling = &request.sampling;
    without(&[
        ("top_k", sampling.top_k.is_some()),
        ("frequency_penalty", sampling.frequency_penalty.is_some_and(|penalty| penalty != 0.0)),
        ("presence_penalty", sampling.presence_penalty.is_some_and(|penalty| penalty != 0.0)),
    ])?;
    let mut config = json!({ "maxTokenCount": max_tokens });
    if let Some(temperature) = within("temperature", sampling.temperature, defaults.temperature, 1.0)? {
        config["temperature"] = json!(temperature);
    }
    if let Some(top_p) = within("top_p", sampling.top_p, defaults.top_p, 1.0)? {
        config["topP"] = json!(top_p);
    }
    let stop = if request.stop.is_empty() { &defaults.stop } else { &request.stop };
    if !stop.is_empty() {
        config["stopSequences"] = json!(stop);
    }
    Ok(json!({ "inputText": turns.dialogue("User", "Bot"), "textGenerationConfig": config }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Whole {
    #[serde(default)]
    input_text_token_count: Option<u64>,
    results: Vec<Outcome>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Outcome {
    #[serde(default)]
    token_count: Option<u64>,
    output_text: String,
    #[serde(default)]
    completion_reason: Option<String>,
}

pub(super) fn whole(answer: Whole) -> Result<Piece, UpstreamError> {
    let Whole { input_text_token_count, results } = answer;
    let Outcome { token_count, output_text, completion_reason } =
        results.into_iter().next().ok_or_else(|| malformed("the answer has no results"))?;
    let text = output_text.strip_prefix('\n').unwrap_or(&output_text).to_owned();
    let finish = Some(reason(completion_reason.as_deref().unwrap_or_default()));
    Ok(Piece { text, finish, usage: counts(input_text_token_count, token_count) })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Chunk {
    #[serde(default)]
    output_text: String,
    #[serde(default)]
    completion_reason: Option<String>,
    #[serde(default)]
    input_text_token_count: Option<u64>,
    #[serde(default)]
    total_output_text_token_count: Option<u64>,
}

pub(super) fn chunk(chunk: Chunk) -> Piece {
    let Chunk { output_text, completion_reason, input_text_token_count, total_output_text_token_count } = chunk;
    Piece {
        text: output_text,
        finish: completion_reason.as_deref().map(reason),
        usage: counts(input_text_token_count, total_output_text_token_count),
    }
}

fn reason(said: &str) -> FinishReason {
    match said {
        "LENGTH" => FinishReason::Length,
        "CONTENT_FILTERED" => FinishReason::ContentFilter,
        "STOP_CRITERIA_MET" => FinishReason::StopSequence,
        _ => FinishReason::Stop,
    }
}
