//! `parse`: the bytes of a Messages request in, the internal form out, or one error that names the field.

use super::message::{self, cache_ttl, schema};
use super::peek::{Field, Top};
use crate::chat::{ChatRequest, Effort, ResponseFormat, Sampling, StreamOptions, Tool, ToolChoice};
use crate::error::ApiError;
use crate::surface::node::Node;

/// Reads a whole request for translation.
pub fn parse(body: &[u8]) -> Result<ChatRequest, ApiError> {
    let top = Top::read(body)?;
    let peek = top.peek(body)?;
    let mut request = ChatRequest {
        model: peek.model,
        stream: peek.stream,
        stream_options: StreamOptions { include_usage: peek.stream },
        max_tokens: peek.max_tokens,
        n: 1,
        user: peek.user,
        sampling: sampling(&top)?,
        ..ChatRequest::default()
    };
    if let Some(node) = top.get(Field::System) {
        request.system = message::system(&node)?;
    }
    request.messages = message::messages(&top.need(Field::Messages, "send at least one message")?)?;
    if let Some(node) = top.get(Field::StopSequences) {
        request.stop = node.array()?.iter().map(Node::non_empty_string).collect::<Result<_, _>>()?;
    }
    if let Some(node) = top.get(Field::Tools) {
        request.tools = node.array()?.iter().map(tool).collect::<Result<_, _>>()?;
    }
    if let Some(node) = top.get(Field::ToolChoice) {
        tool_choice(&node, &mut request)?;
    }
    output(&top, &mut request)?;
    check_tools(&request)?;
    keep_dialect_only(&top, &mut request);
    Ok(request)
}

fn sampling(top: &Top<'_>) -> Result<Sampling, ApiError> {
    let number = |field| top.get(field).map(|node| node.number(0.0, 1.0)).transpose();
    Ok(Sampling {
        temperature: number(Field::Temperature)?,
        top_p: number(Field::TopP)?,
        top_k: top.get(Field::TopK).map(|node| node.whole(1, i32::MAX as u32)).transpose()?,
        ..Sampling::default()
    })
}

fn tool(node: &Node<'_>) -> Result<Tool, ApiError> {
    let mut tool = node.object()?;
    if let Some(kind) = tool.take("type")
        && kind.string()? != "custom"
    {
        return Err(ApiError::unsupported(
            kind.path.as_str(),
            format!("{}: only tools that the client defines (\"custom\") can be translated", kind.path),
        ));
    }
    let name = tool.need("name")?.non_empty_string()?;
    let description = tool.take("description").map(|node| node.string()).transpose()?;
    let schema = schema(&tool.need("input_schema")?)?;
    let strict = tool.take("strict").map(|node| node.boolean()).transpose()?;
    let cache_point = tool.take("cache_control").map(|node| cache_ttl(&node)).transpose()?;
    // Whether arguments are streamed as they are written: how fine the parts are, not what they say.
    let _ = tool.take("eager_input_streaming");
    tool.finish()?;
    Ok(Tool { name, description, schema, strict, cache_point })
}

fn tool_choice(node: &Node<'_>, request: &mut ChatRequest) -> Result<(), ApiError> {
    let mut choice = node.object()?;
    let kind = choice.need("type")?;
    request.tool_choice = Some(match kind.string()?.as_str() {
        "auto" => ToolChoice::Auto,
        "any" => ToolChoice::Required,
        "none" => ToolChoice::Never,
        "tool" => ToolChoice::Named(choice.need("name")?.non_empty_string()?),
        other => return Err(kind.invalid(format!("{other:?} is unknown: use \"auto\", \"any\", \"tool\" or \"none\""))),
    });
    let one = choice.take("disable_parallel_tool_use").map(|node| node.boolean()).transpose()?;
    request.parallel_tool_calls = one.map(|one| !one);
    choice.finish()
}

/// How long the model thinks, and the form of what it answers.
fn output(top: &Top<'_>, request: &mut ChatRequest) -> Result<(), ApiError> {
    let mut config = top.get(Field::OutputConfig).map(|node| node.object()).transpose()?;
    let effort = config.as_mut().and_then(|config| config.take("effort"));
    let format = config.as_mut().and_then(|config| config.take("format")).or_else(|| top.get(Field::OutputFormat));
    config.map_or(Ok(()), |config| config.finish())?;
    if let Some(node) = format {
        let mut format = node.object()?;
        let kind = format.need("type")?;
        if kind.string()? != "json_schema" {
            return Err(kind.invalid("must be \"json_schema\""));
        }
        request.response_format = ResponseFormat::JsonSchema {
            name: "answer".to_owned(),
            description: None,
            schema: schema(&format.need("schema")?)?,
            strict: true,
        };
        format.finish()?;
    }
    let adaptive = match top.get(Field::Thinking) {
        None => false,
        Some(node) => {
            let mut thinking = node.object()?;
            let kind = thinking.need("type")?;
            // How much of the thoughts is shown: all of what the model gives us.
            let _ = thinking.take("display");
            let adaptive = match kind.string()?.as_str() {
                "adaptive" => true,
                "disabled" => {
                    request.effort = Some(Effort::Off);
                    false
                }
                "enabled" => {
                    let budget = thinking.need("budget_tokens")?;
                    let tokens = budget.whole(1024, i32::MAX as u32)?;
                    if request.max_tokens.is_some_and(|most| tokens >= most) {
                        return Err(budget.invalid("must be less than max_tokens"));
                    }
                    request.effort = Some(Effort::Tokens(tokens));
                    false
                }
                other => {
                    return Err(
                        kind.invalid(format!("{other:?} is unknown: use \"enabled\", \"adaptive\" or \"disabled\""))
                    );
                }
            };
            thinking.finish()?;
            adaptive
        }
    };
    match (effort, adaptive) {
        (None, false) => {}
        (None, true) => request.effort = Some(Effort::High),
        (Some(node), true) => {
            request.effort = Some(match node.string()?.as_str() {
                "low" => Effort::Low,
                "medium" => Effort::Medium,
                "high" | "xhigh" | "max" => Effort::High,
                other => return Err(node.invalid(format!("{other:?} is unknown: use low, medium or high"))),
            });
        }
        // Without thoughts it says how much the model writes, which no other dialect can say.
        (Some(node), false) => request.keep_dialect_only(&node.path, node.json()),
    }
    Ok(())
}

fn check_tools(request: &ChatRequest) -> Result<(), ApiError> {
    for (i, tool) in request.tools.iter().enumerate() {
        if request.tools[..i].iter().any(|other| other.name == tool.name) {
            let param = format!("tools[{i}].name");
            return Err(ApiError::invalid(format!("{param}: {:?} is declared twice", tool.name)).param(param));
        }
    }
    match &request.tool_choice {
        Some(ToolChoice::Named(name)) if !request.tools.iter().any(|tool| tool.name == *name) => {
            let message = format!("tool_choice.name: {name:?} is not among the tools");
            Err(ApiError::invalid(message).param("tool_choice.name"))
        }
        Some(ToolChoice::Required) if request.tools.is_empty() => {
            Err(ApiError::invalid("tool_choice.type is \"any\" but tools is empty").param("tool_choice"))
        }
        _ => Ok(()),
    }
}

/// Fields without a place in the internal form. Those that ask for nothing are left out.
fn keep_dialect_only(top: &Top<'_>, request: &mut ChatRequest) {
    let known = [Field::Speed, Field::InferenceGeo, Field::McpServers, Field::Container];
    let known = known.into_iter().filter_map(|field| top.get(field));
    let unknown = top.unknown.iter().map(|(name, raw)| Node::new(raw, name.as_str()));
    for node in known.chain(unknown) {
        let asks_nothing = matches!(node.text(), "null" | "[]" | "{}" | "\"standard\"");
        if !asks_nothing {
            request.keep_dialect_only(&node.path, node.json());
        }
    }
}
