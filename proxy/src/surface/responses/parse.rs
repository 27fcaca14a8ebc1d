//! `peek`: the bytes of a responses request in; what routing, limits and money need to know, and the internal form, out.

use super::item;
use super::object::Echo;
use crate::chat::{Block, ChatRequest, Json, Message, ResponseFormat, Role, Size, Tool, ToolChoice};
use crate::error::ApiError;
use crate::surface::node::{Node, Object};
use crate::surface::openai::{effort, metadata, schema};
use crate::surface::{Form, Peek};
use serde_json::value::RawValue;

/// A request that was read: no target speaks this dialect, so it is always translated.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// The internal form.
    pub chat: ChatRequest,
    /// What the answer repeats.
    pub echo: Echo,
}

/// Most output tokens that every upstream can be told.
const MOST_TOKENS: u32 = i32::MAX as u32;

/// What names something that only a provider which stores answers has.
const STORED: [&str; 3] = ["previous_response_id", "conversation", "prompt"];

/// Fields that never change what an answer may say. Calls of built-in tools, which `max_tool_calls` counts, cannot come up.
const SAYS_NOTHING: [&str; 6] = [
    "max_tool_calls",
    "prompt_cache_key",
    "prompt_cache_retention",
    "safety_identifier",
    "service_tier",
    "stream_options",
];

/// Reads a whole request.
///
/// # Errors
/// What is wrong with it, and which field.
pub fn peek(body: &[u8]) -> Result<Peek, ApiError> {
    let raw: &RawValue = serde_json::from_slice(body)
        .map_err(|error| ApiError::invalid(format!("the body is not well-formed JSON: {error}")))?;
    if !raw.get().starts_with('{') {
        return Err(ApiError::invalid("the body is not a JSON object; it must begin with { and name model and input"));
    }
    let mut fields = Node::new(raw, "").object()?;
    let Request { chat, echo } = request(&mut fields)?;
    let size = size(&chat, body.len());
    Ok(Peek {
        model: chat.model.clone(),
        stream: chat.stream,
        include_usage: true,
        max_tokens: chat.max_tokens,
        n: 1,
        user: chat.user.clone(),
        size,
        form: Form::Responses(Box::new(rest(fields, Request { chat, echo })?)),
    })
}

fn request(fields: &mut Object<'_>) -> Result<Request, ApiError> {
    let mut chat = ChatRequest { n: 1, ..ChatRequest::default() };
    let mut echo = Echo::default();
    chat.model = fields.need("model")?.non_empty_string()?;
    for name in STORED {
        if let Some(node) = fields.take(name) {
            return Err(ApiError::unsupported(
                node.path.as_str(),
                format!("{name}: nothing is stored here; send the whole conversation as input"),
            ));
        }
    }
    // What the client said about the answer stands in the answer, in the client's own spelling.
    let mut repeated = |name: &str| {
        let node = fields.take(name);
        node.inspect(|node| echo.keep(name, node.json()))
    };
    if let Some(node) = repeated("instructions") {
        let content = vec![Block::Text(node.string()?)];
        chat.messages.push(Message { role: Role::System, content, name: None });
    }
    chat.max_tokens = repeated("max_output_tokens").map(|node| node.whole(1, MOST_TOKENS)).transpose()?;
    chat.sampling.temperature = repeated("temperature").map(|node| node.number(0.0, 2.0)).transpose()?;
    chat.sampling.top_p = repeated("top_p").map(|node| node.number(0.0, 1.0)).transpose()?;
    chat.parallel_tool_calls = repeated("parallel_tool_calls").map(|node| node.boolean()).transpose()?;
    chat.user = repeated("user").map(|node| node.string()).transpose()?;
    if let Some(node) = repeated("metadata") {
        chat.metadata = metadata(&node)?;
    }
    if let Some(node) = repeated("tools") {
        chat.tools = node.array()?.iter().map(tool).collect::<Result<_, _>>()?;
    }
    chat.tool_choice = repeated("tool_choice").map(|node| tool_choice(&node)).transpose()?;
    if let Some(node) = repeated("text") {
        text(&node, &mut chat)?;
    }
    if let Some(node) = repeated("reasoning") {
        reasoning(&node, &mut chat)?;
    }
    if let Some(node) = repeated("truncation")
        && node.string()? != "disabled"
    {
        let why = "truncation: input is never cut here; leave it out or set it to \"disabled\"";
        return Err(ApiError::unsupported("truncation", why));
    }
    chat.stream = fields.take("stream").map(|node| node.boolean()).transpose()?.unwrap_or(false);
    chat.stream_options.include_usage = true;
    // Storing is a wish that the answer's own `store: false` declines.
    fields.take("store").map(|node| node.boolean()).transpose()?;
    item::input(&fields.need("input")?, &mut chat.messages)?;
    check_tools(&chat)?;
    Ok(Request { chat, echo })
}

/// The fields that have no place in the internal form. Those that ask for nothing are left out.
fn rest(fields: Object<'_>, mut request: Request) -> Result<Request, ApiError> {
    for (name, node) in fields.into_nodes() {
        let asks_nothing = match name.as_str() {
            _ if node.is_null() || SAYS_NOTHING.contains(&name.as_str()) => true,
            "background" => !node.boolean()?,
            "top_logprobs" => node.whole(0, 20)? == 0,
            // What concerns built-in tools has nothing to be included from.
            "include" => {
                let wanted = node.array()?.iter().map(Node::string).collect::<Result<Vec<_>, _>>()?;
                !wanted.iter().any(|wanted| wanted == "message.output_text.logprobs")
            }
            _ => false,
        };
        if !asks_nothing {
            request.chat.keep_dialect_only(&name, node.json());
        }
    }
    Ok(request)
}

fn tool(node: &Node<'_>) -> Result<Tool, ApiError> {
    let mut tool = node.object()?;
    let kind = tool.need("type")?;
    if kind.string()? != "function" {
        let why = format!("{}: only tools of type \"function\" can be translated", kind.path);
        return Err(ApiError::unsupported(kind.path.as_str(), why));
    }
    let name = tool.need("name")?.non_empty_string()?;
    let description = tool.take("description").map(|node| node.string()).transpose()?;
    let schema = match tool.take("parameters") {
        Some(parameters) => schema(&parameters)?,
        None => Json::from(serde_json::json!({"type": "object", "properties": {}})),
    };
    let strict = tool.take("strict").map(|node| node.boolean()).transpose()?;
    tool.finish()?;
    Ok(Tool { name, description, schema, strict, cache_point: None })
}

fn tool_choice(node: &Node<'_>) -> Result<ToolChoice, ApiError> {
    const WANTED: &str = "\"none\", \"auto\", \"required\" or an object that names a function";
    if node.is_string() {
        return match node.string()?.as_str() {
            "none" => Ok(ToolChoice::Never),
            "auto" => Ok(ToolChoice::Auto),
            "required" => Ok(ToolChoice::Required),
            other => Err(node.invalid(format!("{other:?} is unknown: use {WANTED}"))),
        };
    }
    let mut choice = node.object().map_err(|_| node.wrong(WANTED))?;
    let kind = choice.need("type")?;
    if kind.string()? != "function" {
        let why = format!("{}: only \"function\" can be translated", kind.path);
        return Err(ApiError::unsupported(kind.path.as_str(), why));
    }
    let name = choice.need("name")?.non_empty_string()?;
    choice.finish()?;
    Ok(ToolChoice::Named(name))
}

fn check_tools(chat: &ChatRequest) -> Result<(), ApiError> {
    let about = |param: &str, message: String| Err(ApiError::invalid(message).param(param));
    for (i, tool) in chat.tools.iter().enumerate() {
        if chat.tools[..i].iter().any(|other| other.name == tool.name) {
            let path = format!("tools[{i}].name");
            return about(&path, format!("{path}: {:?} is declared twice", tool.name));
        }
    }
    match &chat.tool_choice {
        Some(ToolChoice::Named(name)) if !chat.tools.iter().any(|tool| tool.name == *name) => {
            about("tool_choice", format!("tool_choice names {name:?}, which tools does not declare"))
        }
        Some(ToolChoice::Required) if chat.tools.is_empty() => {
            about("tool_choice", "tool_choice is \"required\" but tools is empty".to_owned())
        }
        _ => Ok(()),
    }
}

fn text(node: &Node<'_>, chat: &mut ChatRequest) -> Result<(), ApiError> {
    let mut text = node.object()?;
    if let Some(verbosity) = text.take("verbosity")
        && verbosity.string()? != "medium"
    {
        chat.keep_dialect_only(&verbosity.path, verbosity.json());
    }
    if let Some(format) = text.take("format") {
        chat.response_format = response_format(&format)?;
    }
    text.finish()
}

fn response_format(node: &Node<'_>) -> Result<ResponseFormat, ApiError> {
    let mut format = node.object()?;
    let kind = format.need("type")?;
    let parsed = match kind.string()?.as_str() {
        "text" => ResponseFormat::Text,
        "json_object" => ResponseFormat::JsonObject,
        "json_schema" => ResponseFormat::JsonSchema {
            name: format.need("name")?.non_empty_string()?,
            description: format.take("description").map(|node| node.string()).transpose()?,
            schema: schema(&format.need("schema")?)?,
            strict: format.take("strict").map(|node| node.boolean()).transpose()?.unwrap_or(false),
        },
        other => {
            return Err(kind.invalid(format!("{other:?} is unknown: use \"text\", \"json_object\" or \"json_schema\"")));
        }
    };
    format.finish()?;
    Ok(parsed)
}

fn reasoning(node: &Node<'_>, chat: &mut ChatRequest) -> Result<(), ApiError> {
    let mut reasoning = node.object()?;
    chat.effort = reasoning.take("effort").map(|node| effort(&node)).transpose()?;
    // A thought comes as its summary whatever length was asked for: providers give the one they have.
    for name in ["summary", "generate_summary"] {
        reasoning.take(name).map(|node| node.string()).transpose()?;
    }
    reasoning.finish()
}

fn size(chat: &ChatRequest, bytes: usize) -> Size {
    let mut size = Size { text_bytes: bytes as u64, ..Size::default() };
    size.tools = u32::try_from(chat.tools.len()).unwrap_or(u32::MAX);
    for message in &chat.messages {
        size.messages = size.messages.saturating_add(1);
        message.content.iter().for_each(|block| count(block, &mut size));
    }
    size
}

fn count(block: &Block, size: &mut Size) {
    match block {
        Block::Image(image) => {
            size.images = size.images.saturating_add(1);
            if let crate::chat::Source::Base64(data) = &image.source {
                size.text_bytes = size.text_bytes.saturating_sub(data.len() as u64);
            }
        }
        Block::Document(_) | Block::Audio(_) => size.unbounded = size.unbounded.saturating_add(1),
        Block::ToolResult { content, .. } => content.iter().for_each(|block| count(block, size)),
        Block::Text(_)
        | Block::ToolUse { .. }
        | Block::Reasoning { .. }
        | Block::RedactedReasoning(_)
        | Block::Refusal(_)
        | Block::CachePoint(_) => {}
    }
}
