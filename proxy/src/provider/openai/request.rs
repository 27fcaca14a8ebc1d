//! `build`: the internal form and a target in, the bytes of a chat completions request and what bounds its cost out.

use super::message::Translator;
use crate::chat::{ChatRequest, Effort, Json, ResponseFormat, Size, Tool, ToolChoice};
use crate::error::ApiError;
use crate::provider::names::ToolNames;
use bytes::Bytes;
use serde::Serialize;
use serde_json::{Value, json};
use tollway_core::table::Defaults;

/// A chat completions request.
#[derive(Clone, Debug)]
pub struct CompletionRequest {
    /// The JSON body.
    pub body: Bytes,
    /// How large it is, for the bound on what it can cost.
    pub size: Size,
    /// What the answer's tool names mean; needed to read the answer.
    pub names: ToolNames,
}

/// What of a server's habits a request depends on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Habits {
    /// It is OpenAI's own: it takes the output bound as `max_completion_tokens` only, and has no top-k.
    pub strict: bool,
}

/// The request as it is written: every shape that we send and nothing else. Schemas stay text: their order matters.
#[derive(Serialize)]
struct Completion<'a> {
    model: &'a str,
    messages: Vec<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frequency_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    presence_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    n: Option<u32>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stop: &'a [String],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<WireTool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parallel_tool_calls: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<Format<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_effort: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_options: Option<StreamOptions>,
}

#[derive(Serialize)]
struct WireTool<'a> {
    r#type: &'static str,
    function: Function<'a>,
}

#[derive(Serialize)]
struct Function<'a> {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    parameters: &'a Json,
    #[serde(skip_serializing_if = "Option::is_none")]
    strict: Option<bool>,
}

#[derive(Serialize)]
struct Format<'a> {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    json_schema: Option<Schema<'a>>,
}

#[derive(Serialize)]
struct Schema<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    schema: &'a Json,
    strict: bool,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

/// Translates `request` for `model`. `max_tokens` is the output bound that money was reserved for; `defaults` fill what
/// the client left open.
pub fn build(
    request: &ChatRequest,
    model: &str,
    habits: Habits,
    defaults: &Defaults,
    max_tokens: u32,
) -> Result<CompletionRequest, ApiError> {
    if let Some(name) = request.dialect_only.keys().next() {
        return Err(ApiError::unsupported(name, format!("{name} has no translation for this model; leave it out")));
    }
    let mut names = ToolNames::default();
    for tool in &request.tools {
        names.upstream(&tool.name);
    }
    let mut translator = Translator::new(&mut names);
    let messages = translator.conversation(&request.system, &request.messages)?;
    let Translator { mut size, picture_bytes, .. } = translator;
    size.tools = u32::try_from(request.tools.len()).unwrap_or(u32::MAX);
    let sampling = &request.sampling;
    if habits.strict && sampling.top_k.is_some() {
        return Err(ApiError::unsupported("top_k", "top_k: this model has no such parameter; leave it out"));
    }
    let stop = if request.stop.is_empty() { &defaults.stop } else { &request.stop };
    if stop.len() > 4 {
        return Err(ApiError::unsupported("stop", "stop: this model takes at most 4 stop sequences"));
    }
    let offers = !request.tools.is_empty();
    let choice = request.tool_choice.as_ref().filter(|_| offers).map(|choice| match choice {
        ToolChoice::Auto => json!("auto"),
        ToolChoice::Never => json!("none"),
        ToolChoice::Required => json!("required"),
        ToolChoice::Named(name) => json!({"type": "function", "function": {"name": names.upstream(name)}}),
    });
    let completion = Completion {
        model,
        messages,
        max_tokens: (!habits.strict).then_some(max_tokens),
        max_completion_tokens: habits.strict.then_some(max_tokens),
        temperature: sampling.temperature.or(defaults.temperature),
        top_p: sampling.top_p.or(defaults.top_p),
        // A server that is not OpenAI's own reads it or leaves it; a route's default goes only where the dialect has it.
        top_k: sampling.top_k,
        frequency_penalty: sampling.frequency_penalty,
        presence_penalty: sampling.presence_penalty,
        seed: sampling.seed,
        n: (request.n > 1).then_some(request.n),
        stop,
        tools: request.tools.iter().map(|tool| self::tool(tool, &mut names)).collect(),
        tool_choice: choice,
        parallel_tool_calls: request.parallel_tool_calls.filter(|_| offers),
        response_format: response_format(&request.response_format),
        reasoning_effort: request.effort.and_then(reasoning_effort),
        user: request.user.as_deref(),
        stream: request.stream,
        stream_options: request.stream.then_some(StreamOptions { include_usage: true }),
    };
    let body = serde_json::to_vec(&completion)
        .map_err(|e| ApiError::invalid(format!("the request cannot be written for this model: {e}")))?;
    size.text_bytes = (body.len() as u64).saturating_sub(picture_bytes);
    Ok(CompletionRequest { body: Bytes::from(body), size, names })
}

fn tool<'a>(tool: &'a Tool, names: &mut ToolNames) -> WireTool<'a> {
    let function = Function {
        name: names.upstream(&tool.name),
        description: tool.description.as_deref().filter(|text| !text.trim().is_empty()),
        parameters: &tool.schema,
        strict: tool.strict,
    };
    WireTool { r#type: "function", function }
}

fn response_format(format: &ResponseFormat) -> Option<Format<'_>> {
    match format {
        ResponseFormat::Text => None,
        ResponseFormat::JsonObject => Some(Format { r#type: "json_object", json_schema: None }),
        ResponseFormat::JsonSchema { name, description, schema, strict } => {
            let json_schema = Schema { name, description: description.as_deref(), schema, strict: *strict };
            Some(Format { r#type: "json_schema", json_schema: Some(json_schema) })
        }
    }
}

/// The word for an effort; tokens become the least word that stands for as many elsewhere.
const fn reasoning_effort(effort: Effort) -> Option<&'static str> {
    Some(match effort {
        // To not think at all is what a model does that is asked for nothing, or what it cannot do.
        Effort::Off => return None,
        Effort::Minimal => "minimal",
        Effort::Low | Effort::Tokens(0..=1024) => "low",
        Effort::Medium | Effort::Tokens(1025..=2048) => "medium",
        Effort::High | Effort::Tokens(_) => "high",
    })
}
