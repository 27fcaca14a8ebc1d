//! `parse`: the bytes of a chat completions request in, the internal form out, or one error that names the field.

use super::message;
use super::peek::{Messages, Top};
use super::wire::Field;
use crate::chat::{ChatRequest, Effort, ResponseFormat, Sampling, StreamOptions, Tool, ToolChoice};
use crate::error::ApiError;
use crate::surface::node::Node;
use std::collections::BTreeMap;

/// Reads a whole request for translation.
pub fn parse(body: &[u8]) -> Result<ChatRequest, ApiError> {
    let top = Top::read(body, Messages::Kept)?;
    let peek = top.peek(body)?;
    let mut request = ChatRequest {
        model: peek.model,
        stream: peek.stream,
        stream_options: StreamOptions { include_usage: peek.include_usage },
        max_tokens: peek.max_tokens,
        n: peek.n,
        user: peek.user,
        sampling: sampling(&top)?,
        stop: top.get(Field::Stop).map_or(Ok(Vec::new()), |node| stop(&node))?,
        parallel_tool_calls: top.get(Field::ParallelToolCalls).map(|node| node.boolean()).transpose()?,
        metadata: top.get(Field::Metadata).map_or(Ok(BTreeMap::new()), |node| metadata(&node))?,
        ..ChatRequest::default()
    };
    if let Some(messages) = top.get(Field::Messages) {
        request.messages = message::messages(&messages)?;
    }
    if let Some(node) = top.get(Field::Tools) {
        request.tools = node.array()?.iter().map(tool).collect::<Result<_, _>>()?;
    }
    if let Some(node) = top.get(Field::ToolChoice) {
        request.tool_choice = Some(tool_choice(&node)?);
    }
    if let Some(node) = top.get(Field::ResponseFormat) {
        request.response_format = response_format(&node)?;
    }
    if let Some(node) = top.get(Field::ReasoningEffort) {
        request.effort = Some(effort(&node)?);
    }
    check_tools(&request)?;
    keep_dialect_only(&top, &mut request)?;
    Ok(request)
}

fn sampling(top: &Top<'_>) -> Result<Sampling, ApiError> {
    let number = |field, min, max| top.get(field).map(|node| node.number(min, max)).transpose();
    let [(f0, l0, h0), (f1, l1, h1), (f2, l2, h2), (f3, l3, h3)] = Field::RANGES;
    Ok(Sampling {
        temperature: number(f0, l0, h0)?,
        top_p: number(f1, l1, h1)?,
        frequency_penalty: number(f2, l2, h2)?,
        presence_penalty: number(f3, l3, h3)?,
        top_k: top.get(Field::TopK).map(|node| node.whole(1, i32::MAX as u32)).transpose()?,
        seed: top.get(Field::Seed).map(|node| node.signed()).transpose()?,
    })
}

fn stop(node: &Node<'_>) -> Result<Vec<String>, ApiError> {
    if node.is_string() {
        return Ok(vec![node.non_empty_string()?]);
    }
    let texts = node.array().map_err(|_| node.wrong("a string or an array of strings"))?;
    if texts.len() > 4 {
        return Err(node.invalid(format!("{} stop sequences are too many: 4 at most", texts.len())));
    }
    texts.iter().map(Node::non_empty_string).collect()
}

pub(in crate::surface) fn metadata(node: &Node<'_>) -> Result<BTreeMap<String, String>, ApiError> {
    node.object()?.into_nodes().map(|(name, value)| Ok((name, value.string()?))).collect()
}

fn tool(node: &Node<'_>) -> Result<Tool, ApiError> {
    let mut outer = node.object()?;
    let kind = outer.need("type")?;
    if kind.string()? != "function" {
        return Err(ApiError::unsupported(
            kind.path.as_str(),
            format!("{}: only tools of type \"function\" can be translated", kind.path),
        ));
    }
    let mut function = outer.need("function")?.object()?;
    let cache_point = outer.take("cache_control").map(|node| message::cache_ttl(&node)).transpose()?;
    outer.finish()?;
    let name = function.need("name")?.non_empty_string()?;
    let description = function.take("description").map(|node| node.string()).transpose()?;
    let schema = match function.take("parameters") {
        Some(parameters) => schema(&parameters)?,
        None => crate::chat::Json::from(serde_json::json!({"type": "object", "properties": {}})),
    };
    let strict = function.take("strict").map(|node| node.boolean()).transpose()?;
    function.finish()?;
    Ok(Tool { name, description, schema, strict, cache_point })
}

pub(in crate::surface) fn schema(node: &Node<'_>) -> Result<crate::chat::Json, ApiError> {
    let json = node.json();
    if json.is_object() { Ok(json) } else { Err(node.wrong("a JSON Schema object")) }
}

fn tool_choice(node: &Node<'_>) -> Result<ToolChoice, ApiError> {
    const WANTED: &str = "\"none\", \"auto\", \"required\" or an object that names a function";
    if !node.is_string() {
        let mut choice = node.object().map_err(|_| node.wrong(WANTED))?;
        let kind = choice.need("type")?;
        if kind.string()? != "function" {
            return Err(ApiError::unsupported(
                kind.path.as_str(),
                format!("{}: only \"function\" can be translated", kind.path),
            ));
        }
        let name = choice.need("function")?.object()?.need("name")?.non_empty_string()?;
        choice.finish()?;
        return Ok(ToolChoice::Named(name));
    }
    match node.string()?.as_str() {
        "none" => Ok(ToolChoice::Never),
        "auto" => Ok(ToolChoice::Auto),
        "required" => Ok(ToolChoice::Required),
        other => Err(node.invalid(format!("{other:?} is unknown: use {WANTED}"))),
    }
}

fn check_tools(request: &ChatRequest) -> Result<(), ApiError> {
    let about = |param: &str, message: String| Err(ApiError::invalid(message).param(param));
    for (i, tool) in request.tools.iter().enumerate() {
        if request.tools[..i].iter().any(|other| other.name == tool.name) {
            return about(
                &format!("tools[{i}].function.name"),
                format!("tools[{i}].function.name: {:?} is declared twice", tool.name),
            );
        }
    }
    match &request.tool_choice {
        Some(ToolChoice::Named(name)) if !request.tools.iter().any(|tool| tool.name == *name) => {
            about("tool_choice", format!("tool_choice names {name:?}, which tools does not declare"))
        }
        Some(ToolChoice::Required) if request.tools.is_empty() => {
            about("tool_choice", "tool_choice is \"required\" but tools is empty".to_owned())
        }
        _ => Ok(()),
    }
}

fn response_format(node: &Node<'_>) -> Result<ResponseFormat, ApiError> {
    let mut format = node.object()?;
    let kind = format.need("type")?;
    let parsed = match kind.string()?.as_str() {
        "text" => ResponseFormat::Text,
        "json_object" => ResponseFormat::JsonObject,
        "json_schema" => {
            let mut inner = format.need("json_schema")?.object()?;
            let parsed = ResponseFormat::JsonSchema {
                name: inner.need("name")?.non_empty_string()?,
                description: inner.take("description").map(|node| node.string()).transpose()?,
                schema: schema(&inner.need("schema")?)?,
                strict: inner.take("strict").map(|node| node.boolean()).transpose()?.unwrap_or(false),
            };
            inner.finish()?;
            parsed
        }
        other => {
            return Err(kind.invalid(format!("{other:?} is unknown: use \"text\", \"json_object\" or \"json_schema\"")));
        }
    };
    format.finish()?;
    Ok(parsed)
}

pub(in crate::surface) fn effort(node: &Node<'_>) -> Result<Effort, ApiError> {
    match node.string()?.as_str() {
        "none" => Ok(Effort::Off),
        "minimal" => Ok(Effort::Minimal),
        "low" => Ok(Effort::Low),
        "medium" => Ok(Effort::Medium),
        "high" => Ok(Effort::High),
        other => Err(node.invalid(format!("{other:?} is unknown: use none, minimal, low, medium or high"))),
    }
}

/// Fields without a place in the internal form. Those that ask for nothing are left out.
fn keep_dialect_only(top: &Top<'_>, request: &mut ChatRequest) -> Result<(), ApiError> {
    let asks_nothing = |field: Field, node: &Node<'_>| match field {
        Field::LogitBias => node.object().map(|bias| bias.is_empty()),
        Field::Logprobs => node.boolean().map(|wanted| !wanted),
        Field::TopLogprobs => node.whole(0, 20).map(|wanted| wanted == 0),
        Field::Modalities => Ok(node.json().get().split_ascii_whitespace().collect::<String>() == r#"["text"]"#),
        Field::Verbosity => node.string().map(|wanted| wanted == "medium"),
        _ => Ok(false),
    };
    for field in [Field::LogitBias, Field::Logprobs, Field::TopLogprobs, Field::Modalities, Field::Verbosity] {
        if let Some(node) = top.get(field)
            && !asks_nothing(field, &node)?
        {
            request.keep_dialect_only(field.name(), node.json());
        }
    }
    for (name, raw) in &top.unknown {
        let node = Node::new(raw, name.as_str());
        if !node.is_null() {
            request.keep_dialect_only(name, node.json());
        }
    }
    Ok(())
}
