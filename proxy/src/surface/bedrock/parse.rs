//! `parse`: the bytes of a Converse request in, the internal form out, or one error that names the field.

use super::content::{CachePoint, System, Turn, messages};
use super::edit::Object;
use super::peek::text;
use crate::chat::{ChatRequest, Effort, Json, ResponseFormat, Sampling, StreamOptions, Tool, ToolChoice};
use crate::error::ApiError;
use crate::surface::{Form, Peek};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use std::collections::BTreeMap;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    #[serde(default)]
    messages: Vec<Turn>,
    #[serde(default)]
    system: Vec<System>,
    #[serde(default)]
    inference_config: Option<Inference>,
    #[serde(default)]
    tool_config: Option<ToolConfig>,
    #[serde(default)]
    output_config: Option<OutputConfig>,
    #[serde(default)]
    additional_model_request_fields: Option<BTreeMap<String, Json>>,
    #[serde(default)]
    request_metadata: Option<BTreeMap<String, String>>,
}

/// Fields that are translated, or that concern only how fast the answer is made; `peek` has seen to their price.
const KNOWN: [&str; 9] = [
    "messages",
    "system",
    "inferenceConfig",
    "toolConfig",
    "outputConfig",
    "additionalModelRequestFields",
    "requestMetadata",
    "performanceConfig",
    "serviceTier",
];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Inference {
    #[serde(default)]
    max_tokens: Option<u32>,
    #[serde(default)]
    temperature: Option<f64>,
    #[serde(default)]
    top_p: Option<f64>,
    #[serde(default)]
    stop_sequences: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ToolConfig {
    tools: Vec<WireTool>,
    #[serde(default)]
    tool_choice: Option<WireChoice>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WireTool {
    #[serde(default)]
    tool_spec: Option<ToolSpec>,
    #[serde(default)]
    cache_point: Option<CachePoint>,
    #[serde(default)]
    system_tool: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ToolSpec {
    name: String,
    #[serde(default)]
    description: Option<String>,
    input_schema: Schema,
    #[serde(default)]
    strict: Option<bool>,
}

#[derive(Deserialize)]
struct Schema {
    json: Json,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WireChoice {
    #[serde(default)]
    auto: Option<IgnoredAny>,
    #[serde(default)]
    any: Option<IgnoredAny>,
    #[serde(default)]
    tool: Option<Named>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct OutputConfig {
    #[serde(default)]
    text_format: Option<TextFormat>,
    #[serde(default)]
    effort: Option<String>,
}

#[derive(Deserialize)]
struct TextFormat {
    structure: Structure,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Structure {
    json_schema: JsonSchema,
}

#[derive(Deserialize)]
struct JsonSchema {
    schema: String,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    description: Option<String>,
}

/// Reads a whole request for translation; `peek` is what was read of it before.
pub fn parse(body: &[u8], peek: &Peek) -> Result<ChatRequest, ApiError> {
    if let Form::Invoke(_) = peek.form {
        let why = "InvokeModel's bodies are in the words of one model family and are passed only to it; use Converse";
        return Err(ApiError::invalid(why));
    }
    let read: Request =
        serde_json::from_str(text(body)?).map_err(|e| ApiError::invalid(format!("the request is malformed: {e}")))?;
    let mut request = ChatRequest {
        model: peek.model.clone(),
        messages: messages(read.system, read.messages)?,
        n: 1,
        stream: peek.stream,
        stream_options: StreamOptions { include_usage: true },
        metadata: read.request_metadata.unwrap_or_default(),
        ..ChatRequest::default()
    };
    if let Some(Inference { max_tokens, temperature, top_p, stop_sequences }) = read.inference_config {
        request.max_tokens = max_tokens;
        request.sampling = Sampling { temperature, top_p, ..Sampling::default() };
        request.stop = stop_sequences.unwrap_or_default();
    }
    if let Some(config) = read.tool_config {
        tools(config, &mut request)?;
    }
    if let Some(OutputConfig { text_format, effort: said }) = read.output_config {
        request.response_format = text_format.map(response_format).transpose()?.unwrap_or_default();
        if let Some(said) = said {
            let why = format!("outputConfig.effort: {said:?} has no translation; it can be low, medium or high");
            let unknown = || ApiError::unsupported("outputConfig.effort", why);
            request.effort = Some(effort(&said).ok_or_else(unknown)?);
        }
    }
    for (name, value) in read.additional_model_request_fields.unwrap_or_default() {
        additional(&name, value, &mut request)?;
    }
    let top = Object::read(text(body)?, "the body")?;
    for (name, value) in top.members().filter(|(name, value)| !KNOWN.contains(name) && *value != "null") {
        let value = Json::parse(value).map_err(|e| ApiError::invalid(format!("{name}: {e}")).param(name))?;
        request.keep_dialect_only(name, value);
    }
    Ok(request)
}

fn tools(config: ToolConfig, request: &mut ChatRequest) -> Result<(), ApiError> {
    for (at, tool) in config.tools.into_iter().enumerate() {
        match (tool.tool_spec, tool.cache_point, tool.system_tool) {
            (Some(ToolSpec { name, description, input_schema, strict }), None, None) => {
                let schema = input_schema.json;
                request.tools.push(Tool { name, description, schema, strict, cache_point: None });
            }
            (None, Some(point), None) => {
                if let Some(tool) = request.tools.last_mut() {
                    tool.cache_point = Some(point.lives());
                }
            }
            _ => {
                let place = format!("toolConfig.tools[{at}]");
                let why = format!("{place}: only toolSpec and cachePoint can be translated for this model");
                return Err(ApiError::unsupported(place.as_str(), why));
            }
        }
    }
    let choice = config.tool_choice.map(|WireChoice { auto, any, tool }| match (auto, any, tool) {
        (_, _, Some(Named { name })) => ToolChoice::Named(name),
        (_, Some(_), None) => ToolChoice::Required,
        _ => ToolChoice::Auto,
    });
    request.tool_choice = choice;
    Ok(())
}

fn response_format(format: TextFormat) -> Result<ResponseFormat, ApiError> {
    let JsonSchema { schema, name, description } = format.structure.json_schema;
    let place = "outputConfig.textFormat.structure.jsonSchema.schema";
    let schema = Json::parse(&schema)
        .map_err(|e| ApiError::invalid(format!("{place} is not well-formed JSON: {e}")).param(place))?;
    Ok(ResponseFormat::JsonSchema {
        name: name.unwrap_or_else(|| "answer".to_owned()),
        description,
        schema,
        strict: true,
    })
}

fn effort(said: &str) -> Option<Effort> {
    match said {
        "minimal" => Some(Effort::Minimal),
        "low" => Some(Effort::Low),
        "medium" => Some(Effort::Medium),
        "high" => Some(Effort::High),
        _ => None,
    }
}

/// Fields of the model itself: those with a counterpart in the internal form are translated, the others only a Bedrock
/// target can take.
fn additional(name: &str, value: Json, request: &mut ChatRequest) -> Result<(), ApiError> {
    let read: Value = serde_json::from_str(value.get())
        .map_err(|e| ApiError::invalid(format!("additionalModelRequestFields.{name}: {e}")))?;
    let whole = |value: &Value| value.as_u64().and_then(|value| u32::try_from(value).ok());
    let only =
        |object: &Value, member: &str| object.as_object().is_some_and(|map| map.len() == 1 && map.contains_key(member));
    let top_k = match name {
        "top_k" | "topK" | "k" => whole(&read),
        "inferenceConfig" if only(&read, "topK") => whole(&read["topK"]),
        _ => None,
    };
    let thinks = match (name, read["type"].as_str()) {
        ("thinking" | "reasoning_config", Some("enabled")) => whole(&read["budget_tokens"]).map(Effort::Tokens),
        ("thinking" | "reasoning_config" | "reasoningConfig", Some("disabled")) => Some(Effort::Off),
        ("reasoningConfig", Some("enabled")) => read["maxReasoningEffort"].as_str().and_then(effort),
        ("reasoning_effort", _) => read.as_str().and_then(effort),
        _ => None,
    };
    match (top_k, thinks) {
        (Some(k), _) => request.sampling.top_k = Some(k),
        (None, Some(effort)) => request.effort = Some(effort),
        (None, None) => request.keep_dialect_only(&format!("additionalModelRequestFields.{name}"), value),
    }
    Ok(())
}
