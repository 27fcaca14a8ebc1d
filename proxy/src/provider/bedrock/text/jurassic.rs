//! Jurassic-2: turns in, a prompt with its parameters out; completions in, one piece out. It does not stream.

use super::counts;
use crate::chat::{ChatRequest, FinishReason, UpstreamError};
use crate::error::ApiError;
use crate::provider::bedrock::error::malformed;
use crate::provider::prompt::{Turns, within, without};
use crate::provider::text::Piece;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use tollway_core::table::Defaults;

pub(super) fn body(
    request: &ChatRequest,
    turns: &Turns,
    defaults: &Defaults,
    max_tokens: u32,
) -> Result<Value, ApiError> {
    let sampling = &request.sampling;
    without(&[("top_k", sampling.top_k.is_some())])?;
    let mut body = json!({ "prompt": turns.dialogue("User", "Assistant"), "maxTokens": max_tokens });
    if let Some(temperature) = within("temperature", sampling.temperature, defaults.temperature, 1.0)? {
        body["temperature"] = json!(temperature);
    }
    if let Some(top_p) = within("top_p", sampling.top_p, defaults.top_p, 1.0)? {
        body["topP"] = json!(top_p);
    }
    for (field, name, penalty) in [
        ("frequency_penalty", "frequencyPenalty", sampling.frequency_penalty),
        ("presence_penalty", "presencePenalty", sampling.presence_penalty),
    ] {
        match penalty {
            Some(penalty) if penalty < 0.0 => {
                return Err(ApiError::unsupported(field, format!("{field}: this model takes none below 0")));
            }
            Some(penalty) => body[name] = json!({ "scale": penalty }),
            None => {}
        }
    }
    let stop = if request.stop.is_empty() { &defaults.stop } else { &request.stop };
    if !stop.is_empty() {
        body["stopSequences"] = json!(stop);
    }
    Ok(body)
}

#[derive(Deserialize)]
pub(super) struct Whole {
    #[serde(default)]
    prompt: Prompt,
    completions: Vec<Completion>,
}

#[derive(Default, Deserialize)]
struct Prompt {
    #[serde(default)]
    tokens: Option<Vec<IgnoredAny>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Completion {
    data: Data,
    #[serde(default)]
    finish_reason: Option<Reason>,
}

#[derive(Deserialize)]
struct Data {
    text: String,
    #[serde(default)]
    tokens: Option<Vec<IgnoredAny>>,
}

#[derive(Deserialize)]
struct Reason {
    #[serde(default)]
    reason: String,
}

pub(super) fn whole(answer: Whole) -> Result<Piece, UpstreamError> {
    let Whole { prompt, completions } = answer;
    let Completion { data, finish_reason } =
        completions.into_iter().next().ok_or_else(|| malformed("the answer has no completions"))?;
    let count = |tokens: Option<Vec<IgnoredAny>>| tokens.map(|tokens| tokens.len() as u64);
    let finish = match finish_reason.as_ref().map(|finish| finish.reason.as_str()) {
        Some("length") => FinishReason::Length,
        Some("stop") => FinishReason::StopSequence,
        _ => FinishReason::Stop,
    };
    let text = data.text.trim_start().to_owned();
    Ok(Piece { text, finish: Some(finish), usage: counts(count(prompt.tokens), count(data.tokens)) })
}
