//! `build`: the internal form and a model in, the bytes of a Messages request and what bounds its cost out.

use super::content::{Conversation, Translator, cache_control};
use super::wire::{Messages, Metadata, Thinking, Tool, ToolChoice as Choice};
use crate::chat::{ChatRequest, Effort, Json, ResponseFormat, Size, ToolChoice};
use crate::error::ApiError;
use crate::provider::names::ToolNames;
use bytes::Bytes;
use serde_json::json;
use std::borrow::Cow;
use tollway_core::table::Defaults;

/// A Messages request.
#[derive(Clone, Debug)]
pub struct MessagesRequest {
    /// The JSON body.
    pub body: Bytes,
    /// How large it is, for the bound on what it can cost.
    pub size: Size,
    /// What the answer's tool names mean; needed to read the answer.
    pub names: ToolNames,
}

/// Tokens a model may think at least.
const LEAST_THOUGHT: u32 = 1024;

/// Translates `request` for `model`. `max_tokens` is the output bound that money was reserved for; `defaults` fill what
/// the client left open.
pub fn build(
    request: &ChatRequest,
    model: &str,
    defaults: &Defaults,
    max_tokens: u32,
) -> Result<MessagesRequest, ApiError> {
    if let Some(name) = request.dialect_only.keys().next() {
        return Err(ApiError::unsupported(name, format!("{name} has no translation for this model; leave it out")));
    }
    if request.n > 1 {
        return Err(ApiError::unsupported("n", "n: this model gives one completion a request; leave it out"));
    }
    let mut names = ToolNames::default();
    // The client's own tools first, so that they keep their names whatever the conversation mentions.
    for tool in &request.tools {
        names.upstream(&tool.name);
    }
    let mut translator = Translator::new(&mut names);
    let Conversation { system, messages } = translator.conversation(&request.system, &request.messages)?;
    let Translator { mut size, picture_bytes, called, .. } = translator;
    let thinking = thinking(request, max_tokens)?;
    let (tools, tool_choice) = tools(request, &called, &mut names);
    let (temperature, top_p) = sampling(request, defaults, thinking.is_some())?;
    size.tools = u32::try_from(tools.len()).unwrap_or(u32::MAX);
    let messages = Messages {
        model,
        max_tokens,
        system,
        messages,
        tools,
        tool_choice,
        temperature,
        top_p,
        top_k: request.sampling.top_k.or(defaults.top_k.filter(|_| thinking.is_none())),
        stop_sequences: if request.stop.is_empty() { &defaults.stop } else { &request.stop },
        thinking,
        metadata: request.user.as_deref().map(|user_id| Metadata { user_id }),
        stream: request.stream,
    };
    let body = serde_json::to_vec(&messages)
        .map_err(|e| ApiError::invalid(format!("the request cannot be written for this model: {e}")))?;
    size.text_bytes = (body.len() as u64).saturating_sub(picture_bytes);
    Ok(MessagesRequest { body: Bytes::from(body), size, names })
}

/// Temperature and top-p. A model that thinks does so at its own temperature, and newer ones take one of the two only: a
/// default never stands in the way of what the client asked for, nor of another default.
fn sampling(request: &ChatRequest, defaults: &Defaults, thinks: bool) -> Result<(Option<f64>, Option<f64>), ApiError> {
    let sampling = &request.sampling;
    let penalties =
        [("frequency_penalty", sampling.frequency_penalty), ("presence_penalty", sampling.presence_penalty)];
    for (name, penalty) in penalties {
        if penalty.is_some_and(|value| value != 0.0) {
            return Err(ApiError::unsupported(name, format!("{name}: this model has no such penalty; leave it out")));
        }
    }
    let (mut temperature, mut top_p) = (sampling.temperature, sampling.top_p);
    if !thinks && top_p.is_none() {
        temperature = temperature.or(defaults.temperature);
    }
    if !thinks && temperature.is_none() {
        top_p = top_p.or(defaults.top_p);
    }
    if temperature.is_some_and(|value| value > 1.0) {
        return Err(ApiError::unsupported("temperature", "temperature: this model takes 0 to 1"));
    }
    Ok((temperature, top_p))
}

fn thinking(request: &ChatRequest, max_tokens: u32) -> Result<Option<Thinking>, ApiError> {
    let Some(effort) = request.effort.filter(|effort| *effort != Effort::Off) else { return Ok(None) };
    if request.response_format != ResponseFormat::Text {
        return Err(ApiError::unsupported(
            "response_format",
            "response_format: this model cannot think and be held to JSON; leave out one of the two",
        ));
    }
    let wanted = match effort {
        Effort::Off | Effort::Minimal | Effort::Low => LEAST_THOUGHT,
        Effort::Medium => 2 * LEAST_THOUGHT,
        Effort::High => 4 * LEAST_THOUGHT,
        // The client's own number stands, as long as it leaves something for the answer.
        Effort::Tokens(tokens) => tokens.min(max_tokens.saturating_sub(1)),
    };
    if max_tokens <= LEAST_THOUGHT {
        return Err(ApiError::unsupported(
            "reasoning_effort",
            "reasoning_effort: this model thinks only with a max_tokens above 1024; raise it",
        ));
    }
    let half = if matches!(effort, Effort::Tokens(_)) { wanted } else { max_tokens / 2 };
    let budget_tokens = wanted.min(half).max(LEAST_THOUGHT);
    Ok(Some(Thinking { r#type: "enabled", budget_tokens }))
}

fn tools<'a>(request: &'a ChatRequest, called: &[String], names: &mut ToolNames) -> (Vec<Tool<'a>>, Option<Choice>) {
    let mut tools = Vec::with_capacity(request.tools.len() + 1);
    for tool in &request.tools {
        tools.push(Tool {
            name: names.upstream(&tool.name),
            description: tool.description.as_deref().filter(|text| !text.trim().is_empty()),
            input_schema: Cow::Borrowed(&tool.schema),
            cache_control: tool.cache_point.map(cache_control),
        });
    }
    // A conversation with calls must declare what it calls.
    for name in called.iter().filter(|name| !request.tools.iter().any(|tool| tool.name == **name)) {
        let input_schema = Cow::Owned(any_object());
        tools.push(Tool { name: names.upstream(name), description: None, input_schema, cache_control: None });
    }
    let may_call = !request.tools.is_empty() && request.tool_choice != Some(ToolChoice::Never);
    let mut choice = match request.tool_choice.as_ref() {
        None => None,
        Some(_) if tools.is_empty() => None,
        Some(ToolChoice::Auto) => Some(("auto", None)),
        Some(ToolChoice::Never) => Some(("none", None)),
        Some(ToolChoice::Required) => Some(("any", None)),
        Some(ToolChoice::Named(name)) => Some(("tool", Some(names.upstream(name)))),
    };
    let must_call = matches!(choice, Some(("any" | "tool", _)));
    let wanted = match &request.response_format {
        ResponseFormat::Text => None,
        _ if must_call => None,
        ResponseFormat::JsonObject => Some((None, Cow::Owned(any_object()))),
        ResponseFormat::JsonSchema { description, schema, .. } => {
            let description = description.as_deref().filter(|text| !text.trim().is_empty());
            Some((description, Cow::Borrowed(schema)))
        }
    };
    if let Some((description, input_schema)) = wanted {
        const DESCRIPTION: &str = "Gives the final answer to the user. Call it with the whole answer.";
        let name = names.add_answer();
        let description = Some(description.unwrap_or(DESCRIPTION));
        tools.push(Tool { name: name.clone(), description, input_schema, cache_control: None });
        // With other tools on offer the model may call one of them before it answers.
        choice = Some(if may_call { ("any", None) } else { ("tool", Some(name)) });
    } else if !may_call && !tools.is_empty() {
        choice = Some(("none", None));
    }
    let single = request.parallel_tool_calls == Some(false) && may_call;
    if single && choice.is_none() {
        choice = Some(("auto", None));
    }
    let choice =
        choice.map(|(kind, name)| Choice { r#type: kind, name, disable_parallel_tool_use: single && kind != "none" });
    (tools, choice)
}

fn any_object() -> Json {
    Json::from(json!({"type": "object"}))
}
