//! Sampling, output bound and effort in, Converse's inference configuration and the family's additional fields out.

use super::family::Family;
use super::wire::Inference;
use crate::chat::{ChatRequest, Effort, ResponseFormat};
use crate::error::ApiError;
use serde_json::{Map, Value, json};
use tollway_core::table::Defaults;

/// How tokens are drawn. `max_tokens` is the bound that money was reserved for.
pub(super) fn inference<'a>(
    request: &'a ChatRequest,
    defaults: &'a Defaults,
    family: Family,
    max_tokens: u32,
    additional: &mut Map<String, Value>,
) -> Result<Inference<'a>, ApiError> {
    let sampling = &request.sampling;
    let penalties =
        [("frequency_penalty", sampling.frequency_penalty), ("presence_penalty", sampling.presence_penalty)];
    for (name, penalty) in penalties {
        if penalty.is_some_and(|value| value != 0.0) {
            return Err(ApiError::unsupported(name, format!("{name}: this model has no such penalty; leave it out")));
        }
    }
    let thinks = effort(request, family, max_tokens, additional)?;
    let claude = family == Family::Claude;
    // Claude thinks only at its own temperature, and its newer models take temperature or top_p, not both: a default
    // never stands in the way of what the client asked for, nor of another default.
    let (mut temperature, mut top_p) = (sampling.temperature, sampling.top_p);
    if !(claude && (thinks || top_p.is_some())) {
        temperature = temperature.or(defaults.temperature);
    }
    if !(claude && (thinks || temperature.is_some())) {
        top_p = top_p.or(defaults.top_p);
    }
    if temperature.is_some_and(|value| value > 1.0) {
        return Err(ApiError::unsupported("temperature", "temperature: this model takes 0 to 1"));
    }
    match (sampling.top_k, defaults.top_k) {
        (Some(k), _) if !top_k(family, k, additional) => {
            return Err(ApiError::unsupported("top_k", "top_k: this model has no such parameter; leave it out"));
        }
        // A route's default applies where the target has it.
        (None, Some(k)) if !(claude && thinks) => {
            top_k(family, k, additional);
        }
        _ => {}
    }
    let stop_sequences = if request.stop.is_empty() { &defaults.stop } else { &request.stop };
    Ok(Inference { max_tokens, temperature, top_p, stop_sequences })
}

/// Writes top-k where the family reads it; false when it has none.
fn top_k(family: Family, k: u32, additional: &mut Map<String, Value>) -> bool {
    let Some((name, value)) = family.top_k(k) else { return false };
    additional.insert(name.to_owned(), value);
    true
}

/// Writes how long the model may think; true when it thinks.
fn effort(
    request: &ChatRequest,
    family: Family,
    max_tokens: u32,
    additional: &mut Map<String, Value>,
) -> Result<bool, ApiError> {
    let unsupported = |why: &str| Err(ApiError::unsupported("reasoning_effort", format!("reasoning_effort: {why}")));
    let Some(effort) = request.effort.filter(|effort| *effort != Effort::Off) else { return Ok(false) };
    match family {
        Family::Claude => {
            if request.response_format != ResponseFormat::Text {
                return Err(ApiError::unsupported(
                    "response_format",
                    "response_format: this model cannot think and be held to JSON; leave out one of the two",
                ));
            }
            let Some(budget) = claude_budget(effort, max_tokens) else {
                return unsupported("this model thinks only with a max_tokens above 1024; raise it");
            };
            additional.insert("thinking".to_owned(), json!({"type": "enabled", "budget_tokens": budget}));
        }
        Family::Nova2 => {
            let level = match effort {
                Effort::Off | Effort::Minimal | Effort::Low => "low",
                Effort::Medium => "medium",
                // The model then takes no output bound, and without one there is no cap.
                Effort::High | Effort::Tokens(_) => return unsupported("this model takes low and medium"),
            };
            additional.insert("reasoningConfig".to_owned(), json!({"type": "enabled", "maxReasoningEffort": level}));
        }
        Family::GptOss => {
            let level = match effort {
                Effort::Off | Effort::Minimal | Effort::Low => "low",
                Effort::Medium => "medium",
                Effort::High => "high",
                Effort::Tokens(_) => return unsupported("this model takes low, medium and high"),
            };
            additional.insert("reasoning_effort".to_owned(), json!(level));
        }
        Family::Nova | Family::Mistral | Family::Cohere | Family::Other | Family::Unknown => {
            return unsupported("this model has no such setting; leave it out");
        }
    }
    Ok(true)
}

/// Tokens Claude may think: at least 1024, and less than the bound, of which the answer needs some too.
fn claude_budget(effort: Effort, max_tokens: u32) -> Option<u32> {
    const LEAST: u32 = 1024;
    let wanted = match effort {
        Effort::Off | Effort::Minimal | Effort::Low => LEAST,
        Effort::Medium => 2 * LEAST,
        Effort::High => 4 * LEAST,
        // The client's own number stands, as long as it leaves something for the answer.
        Effort::Tokens(tokens) => return (LEAST..max_tokens).contains(&tokens).then_some(tokens),
    };
    (max_tokens > LEAST).then(|| wanted.min(max_tokens / 2).max(LEAST))
}
