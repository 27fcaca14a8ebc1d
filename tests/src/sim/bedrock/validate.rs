//! What Bedrock accepts: a request's JSON in, the prompt or the service's first objection out. Pure.

use super::shapes::Shapes;
use crate::sim::config::Model;
use crate::sim::generate::{Prompt, tokens};
use serde_json::Value;

/// The prompt, or the message of a `ValidationException`.
pub(super) fn validate(model: &Model, request: &Value) -> Result<Prompt, String> {
    // The one required member the shape has, the model id, travels in the path.
    let faults = Shapes::table().faults("ConverseRequest", request);
    if !faults.is_empty() {
        if let Some(extraneous) = faults.iter().find(|fault| fault.starts_with('#')) {
            return Err(format!("Malformed input request: {extraneous}, please reformat your input and try again."));
        }
        let (count, s) = (faults.len(), if faults.len() == 1 { "" } else { "s" });
        return Err(format!("{count} validation error{s} detected: {}", faults.join("; ")));
    }
    let messages = list(&request["messages"]);
    conversation(messages)?;
    tools(request, messages)?;

    let inference = &request["inferenceConfig"];
    let max_tokens = inference["maxTokens"].as_u64();
    if max_tokens.is_some_and(|max| max > model.max_output) {
        let limit = model.max_output;
        return Err(format!(
            "The maximum tokens you requested exceeds the model limit of {limit}. Try again with a maximum tokens value that is lower than {limit}."
        ));
    }
    let read = read(model, request, messages);
    if read > model.context_window {
        return Err("Input is too long for requested model.".to_owned());
    }
    let last_user = messages.iter().rev().find(|message| message["role"] == "user");
    let texts = last_user.map(|message| list(&message["content"])).unwrap_or_default();
    Ok(Prompt {
        tokens: read,
        last_user_text: texts.iter().filter_map(|block| block["text"].as_str()).collect::<Vec<_>>().join("\n"),
        max_tokens,
        stop: list(&inference["stopSequences"]).iter().filter_map(|s| Some(s.as_str()?.to_owned())).collect(),
    })
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn conversation(messages: &[Value]) -> Result<(), String> {
    // The service knows the role, but only few models take it.
    if let Some(i) = messages.iter().position(|message| message["role"] == "system") {
        return Err(format!("The model does not support the role system at messages.{i}. Use the system field."));
    }
    let first = messages.first().map(|message| &message["role"]);
    if first.is_none_or(|role| role != "user") {
        return Err("A conversation must start with a user message. Try again with a conversation that starts with a user message.".to_owned());
    }
    if messages.windows(2).any(|pair| pair[0]["role"] == pair[1]["role"]) {
        return Err("A conversation must alternate between user and assistant roles. Make sure the conversation alternates between user and assistant roles and try again.".to_owned());
    }
    for (i, message) in messages.iter().enumerate() {
        let content = list(&message["content"]);
        if content.is_empty() {
            return Err(format!(
                "The content field in the Message object at messages.{i} is empty. Add a ContentBlock object to the content field and try again."
            ));
        }
        for (j, block) in content.iter().enumerate() {
            if block["text"].as_str().is_some_and(|text| text.trim().is_empty()) {
                return Err(format!(
                    "The text field in the ContentBlock object at messages.{i}.content.{j} is blank. Add text to the text field, and try again."
                ));
            }
            let wrong = if message["role"] == "user" {
                ["toolUse", "reasoningContent"].as_slice()
            } else {
                ["toolResult", "image", "document", "video", "audio"].as_slice()
            };
            if let Some(name) = wrong.iter().find(|name| block.get(**name).is_some()) {
                return Err(format!(
                    "The {name} block at messages.{i}.content.{j} is not supported in a message of the role {}.",
                    message["role"]
                ));
            }
        }
    }
    Ok(())
}

fn word(text: &str, also: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || also.contains(c))
}

fn tools(request: &Value, messages: &[Value]) -> Result<(), String> {
    let ids = |message: &Value, block: &str, of: fn(&Value, &str) -> Option<String>| -> Vec<String> {
        list(&message["content"]).iter().filter_map(|b| of(b, block)).collect()
    };
    let id_of: fn(&Value, &str) -> Option<String> = |b, block| Some(b.get(block)?["toolUseId"].as_str()?.to_owned());
    let mut asked: Vec<String> = Vec::new();
    for (i, message) in messages.iter().enumerate() {
        let results = ids(message, "toolResult", id_of);
        if results.len() > asked.len() {
            return Err(format!(
                "The number of toolResult blocks at messages.{i}.content exceeds the number of toolUse blocks of previous turn."
            ));
        }
        if let Some(id) = results.iter().find(|id| !asked.contains(id)) {
            return Err(format!(
                "The toolUseId {id} of a toolResult block at messages.{i}.content was not in the previous turn."
            ));
        }
        let missing: Vec<_> = asked.iter().filter(|id| !results.contains(id)).cloned().collect();
        if !missing.is_empty() {
            return Err(format!(
                "Expected toolResult blocks at messages.{i}.content for the following Ids: {}",
                missing.join(", ")
            ));
        }
        asked = ids(message, "toolUse", id_of);
        if let Some(id) = asked.iter().find(|id| !word(id, "_.:-")) {
            return Err(format!(
                "Value '{id}' at 'messages.{i}.content.toolUse.toolUseId' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9_.:-]+"
            ));
        }
        let used =
            list(&message["content"]).iter().any(|b| b.get("toolUse").is_some() || b.get("toolResult").is_some());
        if used && request.get("toolConfig").is_none_or(Value::is_null) {
            return Err(
                "The toolConfig field must be defined when using toolUse and toolResult content blocks.".to_owned()
            );
        }
    }
    let Some(config) = request.get("toolConfig").filter(|config| !config.is_null()) else { return Ok(()) };
    let specs: Vec<&Value> = list(&config["tools"]).iter().filter_map(|tool| tool.get("toolSpec")).collect();
    if specs.is_empty() {
        return Err("1 validation error detected: Value at 'toolConfig.tools' failed to satisfy constraint: Member must have length greater than or equal to 1".to_owned());
    }
    let names: Vec<&str> = specs.iter().filter_map(|spec| spec["name"].as_str()).collect();
    if let Some(name) = names.iter().find(|name| !word(name, "_-")) {
        return Err(format!(
            "Value '{name}' at 'toolConfig.tools.toolSpec.name' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9_-]+"
        ));
    }
    if let Some(spec) = specs.iter().find(|spec| spec["inputSchema"]["json"]["type"] != "object") {
        return Err(format!(
            "The value at toolConfig.tools.toolSpec.inputSchema.json.type must be one of the following: object. (tool {})",
            spec["name"]
        ));
    }
    let chosen = config["toolChoice"]["tool"]["name"].as_str();
    if let Some(name) = chosen.filter(|name| !names.contains(name)) {
        return Err(format!("The toolChoice names {name}, which is not among the tools."));
    }
    Ok(())
}

/// Tokens of everything the model reads.
fn read(model: &Model, request: &Value, messages: &[Value]) -> u64 {
    let system: u64 = list(&request["system"]).iter().map(|block| size(model, block)).sum();
    let tools: u64 = list(&request["toolConfig"]["tools"]).iter().map(|tool| tokens(model, &tool.to_string())).sum();
    let texts: u64 =
        messages.iter().flat_map(|message| list(&message["content"])).map(|block| size(model, block)).sum();
    system + tools + texts + model.per_message * messages.len() as u64
}

fn size(model: &Model, block: &Value) -> u64 {
    let Some((name, value)) = block.as_object().and_then(|members| members.iter().next()) else { return 0 };
    match name.as_str() {
        "text" => tokens(model, value.as_str().unwrap_or_default()),
        "image" | "document" | "video" | "audio" => model.per_attachment,
        "cachePoint" => 0,
        "toolUse" => {
            tokens(model, value["name"].as_str().unwrap_or_default()) + tokens(model, &value["input"].to_string())
        }
        "toolResult" => list(&value["content"]).iter().map(|block| size(model, block)).sum(),
        _ => tokens(model, &value.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn says(request: Value) -> String {
        match validate(&Model::default(), &request) {
            Ok(prompt) => format!("{} tokens", prompt.tokens),
            Err(message) => message,
        }
    }

    fn user(text: &str) -> Value {
        json!({"role": "user", "content": [{"text": text}]})
    }

    fn tool() -> Value {
        json!({"tools": [{"toolSpec": {"name": "now", "inputSchema": {"json": {"type": "object"}}}}]})
    }

    #[test]
    fn what_is_read_is_counted() {
        assert_eq!(says(json!({"messages": [user("12345")], "system": [{"text": "1234"}]})), "7 tokens");
        let image = json!({"image": {"format": "png", "source": {"bytes": "aGk="}}});
        assert_eq!(says(json!({"messages": [{"role": "user", "content": [image]}]})), "1604 tokens");
        assert_eq!(says(json!({"messages": [user(&"x".repeat(600_000))]})), "Input is too long for requested model.");
    }

    #[test]
    fn conversations_are_held_to_the_rules() {
        let bad = |request: Value, want: &str| {
            let said = says(request);
            assert!(said.contains(want), "{said} instead of {want}");
        };
        let assistant = json!({"role": "assistant", "content": [{"text": "yes"}]});
        bad(json!({"messages": []}), "must start with a user message");
        bad(json!({}), "must start with a user message");
        bad(json!({"messages": [assistant]}), "must start with a user message");
        bad(json!({"messages": [user("a"), user("b")]}), "must alternate between user and assistant roles");
        bad(json!({"messages": [{"role": "system", "content": [{"text": "a"}]}]}), "does not support the role system");
        bad(json!({"messages": [user(" \n")]}), "messages.0.content.0 is blank");
        bad(json!({"messages": [{"role": "user", "content": []}]}), "messages.0 is empty");
        bad(json!({"messages": [user("a")], "temperature": 1}), "extraneous key [temperature]");
        bad(
            json!({"messages": [user("a")], "inferenceConfig": {"maxTokens": 20_000}}),
            "exceeds the model limit of 10000",
        );
        bad(json!({"messages": [user("a")], "inferenceConfig": {"maxTokens": -1}}), "greater than or equal to 1");
        bad(json!("hello"), "must be a structure");
    }

    #[test]
    fn tool_blocks_need_their_configuration_and_each_other() {
        let used =
            json!({"role": "assistant", "content": [{"toolUse": {"toolUseId": "t1", "name": "now", "input": {}}}]});
        let result = |id: &str| json!({"role": "user", "content": [{"toolResult": {"toolUseId": id, "content": [{"text": "noon"}]}}]});
        let turn = |messages: Value, config: Value| says(json!({"messages": messages, "toolConfig": config}));
        assert!(turn(json!([user("a"), used, result("t1")]), tool()).ends_with("tokens"));
        assert!(
            turn(json!([user("a"), used, result("t1")]), Value::Null)
                .starts_with("The toolConfig field must be defined")
        );
        assert!(turn(json!([user("a"), used, result("t2")]), tool()).contains("t2"));
        assert!(turn(json!([user("a"), used, user("b")]), tool()).ends_with("following Ids: t1"));
        assert!(turn(json!([result("t1")]), tool()).contains("exceeds the number of toolUse blocks"));
        assert!(turn(json!([user("a")]), json!({"tools": []})).contains("toolConfig.tools"));
    }
}
