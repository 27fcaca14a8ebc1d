//! What such a server accepts: a request's JSON in, the prompt and the form of the answer, or an objection, out. Pure.

use crate::sim::config::Model;
use crate::sim::generate::{Prompt, tokens};
use serde_json::Value;

/// A request, read.
pub(in crate::sim) struct Asked {
    pub(in crate::sim) prompt: Prompt,
    pub stream: bool,
    pub include_usage: bool,
    pub choices: u64,
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn positive(request: &Value, name: &str) -> Result<Option<u64>, String> {
    match &request[name] {
        Value::Null => Ok(None),
        value => value
            .as_u64()
            .filter(|n| *n > 0)
            .map(Some)
            .ok_or_else(|| format!("{name} must be a whole number of at least 1, got {value}.")),
    }
}

fn flag(value: &Value, name: &str) -> Result<bool, String> {
    match value {
        Value::Null => Ok(false),
        value => value.as_bool().ok_or_else(|| format!("{name} must be true or false, got {value}.")),
    }
}

pub(in crate::sim) fn read(model: &Model, request: &Value) -> Result<Asked, String> {
    let messages = list(&request["messages"]);
    if messages.is_empty() {
        return Err("messages must be a list with at least one message.".to_owned());
    }
    for (i, message) in messages.iter().enumerate() {
        let role = message["role"].as_str().unwrap_or_default();
        if !["system", "developer", "user", "assistant", "tool"].contains(&role) {
            return Err(format!("messages[{i}].role is '{role}', which is no role."));
        }
        let calls = list(&message["tool_calls"]);
        if !(message["content"].is_string()
            || message["content"].is_array()
            || role == "assistant" && !calls.is_empty())
        {
            return Err(format!("messages[{i}].content must be a text or a list of parts."));
        }
        if role == "tool" && !message["tool_call_id"].is_string() {
            return Err(format!("messages[{i}].tool_call_id is missing."));
        }
    }
    for (name, most) in [("temperature", 2.0), ("top_p", 1.0)] {
        if !request[name].is_null() && !request[name].as_f64().is_some_and(|n| (0.0..=most).contains(&n)) {
            return Err(format!("{name} must be between 0 and {most}, got {}.", request[name]));
        }
    }
    let stream = flag(&request["stream"], "stream")?;
    let options = &request["stream_options"];
    if !options.is_null() && !stream {
        return Err("stream_options is only for streams.".to_owned());
    }
    let read: u64 = messages.iter().map(|message| size(model, message)).sum::<u64>()
        + list(&request["tools"]).iter().map(|tool| tokens(model, &tool.to_string())).sum::<u64>();
    if read > model.context_window {
        return Err(format!(
            "This model's maximum context length is {} tokens; your messages have {read}.",
            model.context_window
        ));
    }
    let max_tokens = positive(request, "max_completion_tokens")?.or(positive(request, "max_tokens")?);
    let stop = match &request["stop"] {
        Value::String(one) => vec![one.clone()],
        several => list(several).iter().filter_map(|s| Some(s.as_str()?.to_owned())).collect(),
    };
    let last_user_text = messages.iter().rev().find(|m| m["role"] == "user").map(|m| texts(&m["content"]).join("\n"));
    Ok(Asked {
        prompt: Prompt { tokens: read, last_user_text: last_user_text.unwrap_or_default(), max_tokens, stop },
        stream,
        include_usage: flag(&options["include_usage"], "stream_options.include_usage")?,
        choices: positive(request, "n")?.unwrap_or(1),
    })
}

fn texts(content: &Value) -> Vec<&str> {
    match content {
        Value::String(text) => vec![text],
        parts => list(parts).iter().filter_map(|part| part["text"].as_str()).collect(),
    }
}

fn size(model: &Model, message: &Value) -> u64 {
    let attachments = list(&message["content"]).iter().filter(|part| part["text"].is_null()).count() as u64;
    let calls = list(&message["tool_calls"]).iter().map(|call| &call["function"]);
    model.per_message
        + model.per_attachment * attachments
        + texts(&message["content"]).iter().map(|text| tokens(model, text)).sum::<u64>()
        + calls
            .map(|f| {
                tokens(model, f["name"].as_str().unwrap_or_default())
                    + tokens(model, f["arguments"].as_str().unwrap_or_default())
            })
            .sum::<u64>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn requests_are_read_and_held_to_the_rules() {
        let read = |request: Value| read(&Model::default(), &request);
        let user = json!({"role": "user", "content": "12345"});
        let parts = json!({"role": "user", "content": [{"type": "text", "text": "1234"}, {"type": "image_url", "image_url": {"url": "data:"}}]});
        let asked = read(json!({"messages": [user, parts], "max_tokens": 7, "stop": "x", "stream": true, "stream_options": {"include_usage": true}})).unwrap();
        assert_eq!(
            (asked.prompt.tokens, asked.prompt.max_tokens, asked.include_usage),
            (4 + 2 + 4 + 1 + 1_600, Some(7), true)
        );
        assert_eq!(
            (asked.prompt.last_user_text.as_str(), asked.prompt.stop.as_slice()),
            ("1234", ["x".to_owned()].as_slice())
        );
        let bad = |request: Value, want: &str| {
            let said = read(request).map(|_| ()).unwrap_err();
            assert!(said.contains(want), "{said} instead of {want}");
        };
        bad(json!({}), "messages must be a list");
        bad(json!({"messages": [{"role": "me", "content": "x"}]}), "no role");
        bad(json!({"messages": [{"role": "user"}]}), "messages[0].content");
        bad(json!({"messages": [user], "max_tokens": -1}), "max_tokens");
        bad(json!({"messages": [user], "temperature": 3}), "temperature");
        bad(json!({"messages": [user], "stream_options": {}}), "stream_options");
    }
}
