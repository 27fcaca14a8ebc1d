//! Tools, tool choice and a wanted JSON answer in, Converse's tool configuration out.

use super::content::cache_point;
use super::family::Family;
use super::wire::{Schema, Tool as Wire, ToolChoice as WireChoice, ToolConfig};
use crate::chat::{ChatRequest, Json, ResponseFormat, ToolChoice};
use crate::error::ApiError;
use crate::provider::names::ToolNames;
use serde_json::{Map, Value, json};
use std::borrow::Cow;

/// The tools of one request; `called` are those that its conversation calls. What only the family's own fields can say
/// goes into `additional`.
pub(super) fn tool_config<'a>(
    request: &'a ChatRequest,
    family: Family,
    called: &[String],
    names: &mut ToolNames,
    additional: &mut Map<String, Value>,
) -> Result<Option<ToolConfig<'a>>, ApiError> {
    let never = request.tool_choice == Some(ToolChoice::Never);
    // Tools that must not be called are still declared when the conversation has calls: Converse insists.
    let offered = if never && called.is_empty() { &[] } else { request.tools.as_slice() };
    let mut tools = Vec::with_capacity(offered.len() + 1);
    for tool in offered {
        tools.push(Wire::ToolSpec {
            name: names.upstream(&tool.name),
            description: tool.description.as_deref().filter(|text| !text.trim().is_empty()),
            input_schema: Schema { json: Cow::Borrowed(&tool.schema) },
        });
        if let Some(ttl) = tool.cache_point.filter(|_| family.takes_cache_points()) {
            tools.push(Wire::CachePoint(cache_point(ttl)));
        }
    }
    for name in called.iter().filter(|name| !offered.iter().any(|tool| tool.name == **name)) {
        let input_schema = Schema { json: Cow::Owned(any_object()) };
        tools.push(Wire::ToolSpec { name: names.upstream(name), description: None, input_schema });
    }
    let mut choice = choice(request, names);
    let may_call = !request.tools.is_empty() && !never;
    if let Some((description, schema)) = answer(request, choice.is_some()) {
        let name = names.add_answer();
        let input_schema = Schema { json: schema };
        tools.push(Wire::ToolSpec { name: name.clone(), description: Some(description), input_schema });
        // With other tools on offer the model may call one of them before it answers.
        choice = Some(if may_call { WireChoice::Any {} } else { WireChoice::Tool { name } });
    } else if !may_call && !tools.is_empty() {
        forbid_calls(family, never, additional)?;
    }
    if request.parallel_tool_calls == Some(false) && may_call {
        one_call_a_turn(request, family, names, additional)?;
    }
    Ok((!tools.is_empty()).then_some(ToolConfig { tools, tool_choice: choice }))
}

fn any_object() -> Json {
    Json::from(json!({"type": "object"}))
}

fn choice(request: &ChatRequest, names: &mut ToolNames) -> Option<WireChoice> {
    match request.tool_choice.as_ref()? {
        ToolChoice::Auto | ToolChoice::Never => None,
        ToolChoice::Required => Some(WireChoice::Any {}),
        ToolChoice::Named(name) => Some(WireChoice::Tool { name: names.upstream(name) }),
    }
}

/// The tool that takes a JSON answer; none when free text is wanted, or a call that leaves no room for an answer.
fn answer(request: &ChatRequest, must_call: bool) -> Option<(&str, Cow<'_, Json>)> {
    const DESCRIPTION: &str = "Gives the final answer to the user. Call it with the whole answer.";
    match &request.response_format {
        _ if must_call => None,
        ResponseFormat::Text => None,
        ResponseFormat::JsonObject => Some((DESCRIPTION, Cow::Owned(any_object()))),
        ResponseFormat::JsonSchema { name: _, description, schema, strict: _ } => {
            let description = description.as_deref().filter(|text| !text.trim().is_empty());
            Some((description.unwrap_or(DESCRIPTION), Cow::Borrowed(schema)))
        }
    }
}

/// The tools are declared only because the conversation has calls.
fn forbid_calls(family: Family, never: bool, additional: &mut Map<String, Value>) -> Result<(), ApiError> {
    match family {
        Family::Claude => {
            additional.insert("tool_choice".to_owned(), json!({"type": "none"}));
            Ok(())
        }
        _ if never => Err(ApiError::unsupported(
            "tool_choice",
            "tool_choice: this model cannot be kept from calling tools once the conversation has calls; leave \"none\" out",
        )),
        _ => Ok(()),
    }
}

fn one_call_a_turn(
    request: &ChatRequest,
    family: Family,
    names: &mut ToolNames,
    additional: &mut Map<String, Value>,
) -> Result<(), ApiError> {
    if family != Family::Claude {
        return Err(ApiError::unsupported(
            "parallel_tool_calls",
            "parallel_tool_calls: this model cannot be kept to one call a turn; leave it out",
        ));
    }
    let mut choice = match &request.tool_choice {
        Some(ToolChoice::Named(name)) => json!({"type": "tool", "name": names.upstream(name)}),
        Some(ToolChoice::Required) => json!({"type": "any"}),
        _ if names.answer.is_some() => json!({"type": "any"}),
        _ => json!({"type": "auto"}),
    };
    choice["disable_parallel_tool_use"] = Value::Bool(true);
    additional.insert("tool_choice".to_owned(), choice);
    Ok(())
}
