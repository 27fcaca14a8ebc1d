//! A complete answer in, the bytes of a `response` object out; and the object's parts, which streams send too.

use crate::chat::{Block, ChatResponse, FinishReason, Json, Usage};
use crate::surface::Head;
use bytes::Bytes;
use serde::Serialize;
use serde_json::json;
use std::collections::BTreeMap;

/// What marks a thought that only its provider can read: no signature has a colon.
pub(super) const REDACTED: &str = "redacted:";

/// Fields of the request that the answer repeats, by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Echo(BTreeMap<String, Json>);

impl Echo {
    pub(super) fn keep(&mut self, name: &str, value: Json) {
        // A line break, which only stands between the values of well-formed JSON, would end the line of an event.
        let line: String = value.get().chars().filter(|c| !matches!(c, '\n' | '\r')).collect();
        self.0.insert(name.to_owned(), Json::parse(&line).unwrap_or(value));
    }

    fn or(&self, name: &str, default: serde_json::Value) -> Json {
        self.0.get(name).cloned().unwrap_or_else(|| Json::from(default))
    }
}

#[derive(Serialize)]
pub(super) struct Object<'a> {
    id: String,
    object: &'static str,
    created_at: u64,
    status: &'static str,
    background: bool,
    error: Option<()>,
    incomplete_details: Option<Incomplete>,
    instructions: Json,
    max_output_tokens: Json,
    model: &'a str,
    output: Vec<&'a Item>,
    parallel_tool_calls: Json,
    previous_response_id: Option<()>,
    reasoning: Json,
    store: bool,
    temperature: Json,
    text: Json,
    tool_choice: Json,
    tools: Json,
    top_p: Json,
    truncation: Json,
    usage: Option<WireUsage>,
    user: Json,
    metadata: Json,
}

#[derive(Serialize)]
struct Incomplete {
    reason: &'static str,
}

/// Usage in the dialect's own sums: cached input counts as input, thoughts count as output.
#[derive(Serialize)]
struct WireUsage {
    input_tokens: u64,
    input_tokens_details: InputDetails,
    output_tokens: u64,
    output_tokens_details: OutputDetails,
    total_tokens: u64,
}

#[derive(Serialize)]
struct InputDetails {
    cached_tokens: u64,
}

#[derive(Serialize)]
struct OutputDetails {
    reasoning_tokens: u64,
}

impl From<&Usage> for WireUsage {
    fn from(usage: &Usage) -> Self {
        let (input_tokens, output_tokens) = (usage.input_total(), usage.tokens.output);
        Self {
            input_tokens,
            input_tokens_details: InputDetails { cached_tokens: usage.tokens.cache_read },
            output_tokens,
            output_tokens_details: OutputDetails { reasoning_tokens: usage.reasoning },
            total_tokens: input_tokens.saturating_add(output_tokens),
        }
    }
}

/// One item of the output.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Item {
    Message { id: String, status: &'static str, role: &'static str, content: Vec<Part> },
    FunctionCall { id: String, status: &'static str, call_id: String, name: String, arguments: String },
    Reasoning { id: String, summary: Vec<Part>, encrypted_content: Option<String> },
}

/// One part of an item.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Part {
    OutputText { text: String, annotations: [(); 0], logprobs: [(); 0] },
    Refusal { refusal: String },
    SummaryText { text: String },
}

impl Part {
    pub(super) const fn text(text: String) -> Self {
        Self::OutputText { text, annotations: [], logprobs: [] }
    }
}

impl Item {
    pub(super) fn message(head: &Head, at: usize, status: &'static str, content: Vec<Part>) -> Self {
        Self::Message { id: item_id("msg", head, at), status, role: "assistant", content }
    }

    pub(super) fn call(head: &Head, at: usize, status: &'static str, call: (&str, &str), arguments: &str) -> Self {
        let (call_id, name) = (call.0.to_owned(), call.1.to_owned());
        Self::FunctionCall { id: item_id("fc", head, at), status, call_id, name, arguments: arguments.to_owned() }
    }

    pub(super) fn thought(head: &Head, at: usize, text: &str, proof: Option<String>) -> Self {
        let summary = if text.is_empty() { Vec::new() } else { vec![Part::SummaryText { text: text.to_owned() }] };
        Self::Reasoning { id: item_id("rs", head, at), summary, encrypted_content: proof }
    }
}

/// The id of the item at `at`: the answer's own, told apart by kind and number.
pub(super) fn item_id(kind: &str, head: &Head, at: usize) -> String {
    let id = head.id.strip_prefix("resp_").unwrap_or(&head.id);
    format!("{kind}_{id}_{at}")
}

/// How an answer that ended for `reason` is called, and why it is not complete.
pub(super) const fn status(reason: FinishReason) -> (&'static str, Option<&'static str>) {
    match reason {
        FinishReason::Stop | FinishReason::StopSequence | FinishReason::ToolUse | FinishReason::Refusal => {
            ("completed", None)
        }
        FinishReason::Length => ("incomplete", Some("max_output_tokens")),
        FinishReason::ContentFilter => ("incomplete", Some("content_filter")),
    }
}

/// The object as it stands now; without a finish reason it is in progress.
pub(super) fn object<'a>(
    head: &'a Head,
    echo: &Echo,
    output: Vec<&'a Item>,
    finish: Option<FinishReason>,
    usage: Option<&Usage>,
) -> Object<'a> {
    let (status, incomplete) = finish.map_or(("in_progress", None), status);
    Object {
        id: head.id.clone(),
        object: "response",
        created_at: head.created,
        status,
        background: false,
        error: None,
        incomplete_details: incomplete.map(|reason| Incomplete { reason }),
        instructions: echo.or("instructions", json!(null)),
        max_output_tokens: echo.or("max_output_tokens", json!(null)),
        model: &head.model,
        output,
        parallel_tool_calls: echo.or("parallel_tool_calls", json!(true)),
        previous_response_id: None,
        reasoning: echo.or("reasoning", json!({"effort": null, "summary": null})),
        store: false,
        temperature: echo.or("temperature", json!(1.0)),
        text: echo.or("text", json!({"format": {"type": "text"}})),
        tool_choice: echo.or("tool_choice", json!("auto")),
        tools: echo.or("tools", json!([])),
        top_p: echo.or("top_p", json!(1.0)),
        truncation: echo.or("truncation", json!("disabled")),
        usage: usage.map(WireUsage::from),
        user: echo.or("user", json!(null)),
        metadata: echo.or("metadata", json!({})),
    }
}

/// The body of a complete answer.
#[must_use]
pub fn render(response: &ChatResponse, head: &Head, echo: &Echo) -> Bytes {
    let items = items(&response.content, head, response.finish);
    let object = object(head, echo, items.iter().collect(), Some(response.finish), response.usage.as_ref());
    Bytes::from(serde_json::to_vec(&object).unwrap_or_default())
}

fn items(content: &[Block], head: &Head, finish: FinishReason) -> Vec<Item> {
    let mut items: Vec<Item> = Vec::new();
    for (i, block) in content.iter().enumerate() {
        let at = items.len();
        // What stopped the answer short stopped its last item.
        let status = if i + 1 == content.len() { status(finish).0 } else { "completed" };
        match block {
            Block::Text(text) if text.is_empty() => {}
            Block::Text(text) => items.push(Item::message(head, at, status, vec![Part::text(text.clone())])),
            Block::Refusal(text) => {
                items.push(Item::message(head, at, status, vec![Part::Refusal { refusal: text.clone() }]));
            }
            Block::ToolUse { id, name, input } => items.push(Item::call(head, at, status, (id, name), input.get())),
            Block::Reasoning { text, signature } => items.push(Item::thought(head, at, text, signature.clone())),
            Block::RedactedReasoning(data) => {
                items.push(Item::thought(head, at, "", Some(format!("{REDACTED}{data}"))));
            }
            // No model answers with these on this surface: they belong to requests.
            Block::Image(_)
            | Block::Document(_)
            | Block::Audio(_)
            | Block::ToolResult { .. }
            | Block::CachePoint(_) => {}
        }
    }
    items
}
