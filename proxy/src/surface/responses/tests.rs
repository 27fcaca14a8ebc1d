//! Requests of the responses dialect in, what was read and rendered out: against its own rules.

use super::*;
use crate::chat::{Block, BlockStart, ChatResponse, Delta, FinishReason, Role, StreamEvent, Usage};
use crate::error::Code;
use crate::surface::{Form, Head};
use serde_json::{Value, json};
use tollway_core::table::Prompt;

fn read(body: &Value) -> Request {
    match peek(body.to_string().as_bytes()).unwrap().form {
        Form::Responses(request) => *request,
        form => panic!("{form:?}"),
    }
}

fn head() -> Head {
    Head { id: "resp_1".to_owned(), created: 1_700_000_000, began: None, model: "m".to_owned() }
}

#[test]
fn what_nothing_here_can_keep_is_refused_by_name() {
    for (field, value) in [
        ("previous_response_id", json!("resp_1")),
        ("conversation", json!("conv_1")),
        ("prompt", json!({"id": "pmpt_1"})),
        ("truncation", json!("auto")),
    ] {
        let error = peek(json!({"model": "m", "input": "Hi", field: value}).to_string().as_bytes()).unwrap_err();
        assert_eq!((error.code, error.param.as_deref()), (Code::UnsupportedField, Some(field)));
    }
}

#[test]
fn fields_that_ask_for_nothing_do_not_keep_a_target_away() {
    let request = read(&json!({
        "model": "m", "input": "Hi", "store": true, "background": false, "include": ["reasoning.encrypted_content"],
        "service_tier": "auto", "top_logprobs": 0, "previous_response_id": null, "truncation": "disabled",
    }));
    assert!(request.chat.dialect_only.is_empty(), "{:?}", request.chat.dialect_only);
    let asks = read(&json!({"model": "m", "input": "Hi", "background": true, "new_field": 1}));
    assert_eq!(asks.chat.dialect_only.keys().collect::<Vec<_>>(), ["background", "new_field"]);
}

#[test]
fn thoughts_words_and_calls_of_one_turn_are_one_message() {
    let request = read(&json!({"model": "m", "instructions": "Be brief.", "input": [
        {"role": "user", "content": "Weather?"},
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Ask."}], "encrypted_content": "c2ln"},
        {"type": "reasoning", "id": "rs_2", "summary": [], "encrypted_content": "redacted:ZGF0YQ=="},
        {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant",
            "content": [{"type": "output_text", "text": "Let me see.", "annotations": [], "logprobs": []}]},
        {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "weather", "arguments": "{\"city\":\"Bern\"}", "status": "completed"},
        {"type": "function_call_output", "call_id": "call_1", "output": "Sun"},
    ]}));
    let roles: Vec<Role> = request.chat.messages.iter().map(|message| message.role).collect();
    assert_eq!(roles, [Role::System, Role::User, Role::Assistant, Role::User]);
    let turn = &request.chat.messages[2].content;
    assert_eq!(turn[0], Block::Reasoning { text: "Ask.".to_owned(), signature: Some("c2ln".to_owned()) });
    assert_eq!(turn[1], Block::RedactedReasoning("ZGF0YQ==".to_owned()));
    assert!(matches!(&turn[3], Block::ToolUse { id, .. } if id == "call_1"));
    assert!(matches!(&request.chat.messages[3].content[..], [Block::ToolResult { id, .. }] if id == "call_1"));
}

#[test]
fn a_route_s_own_text_stands_first_and_is_not_repeated() {
    let body = json!({"model": "m", "instructions": "Be brief.", "input": "Hi"}).to_string();
    let mut peek = peek(body.as_bytes()).unwrap();
    let before = peek.size;
    prepend(&mut peek, &Prompt { system: vec!["House rules.".to_owned()], user: Some("Primer.".to_owned()) });
    let Form::Responses(request) = peek.form else { panic!("another form") };
    let said: Vec<_> = request.chat.messages.iter().map(|message| (message.role, &message.content[..])).collect();
    let text = |text: &str| [Block::Text(text.to_owned())];
    assert_eq!(
        said,
        [
            (Role::System, &text("House rules.")[..]),
            (Role::System, &text("Be brief.")[..]),
            (Role::User, &text("Primer.")[..]),
            (Role::User, &text("Hi")[..]),
        ]
    );
    assert_eq!((peek.size.messages, peek.size.text_bytes), (before.messages + 2, before.text_bytes + 19));
    let answer = ChatResponse {
        id: None,
        model: None,
        content: Vec::new(),
        finish: FinishReason::Stop,
        stop_sequence: None,
        usage: None,
    };
    let answer: Value = serde_json::from_slice(&render(&answer, &head(), &request.echo)).unwrap();
    assert_eq!(answer["instructions"], "Be brief.");
}

fn events(sse: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(sse).unwrap();
    let events = text.split("\n\n").filter(|event| !event.is_empty());
    events
        .map(|event| {
            let (name, data) = event.split_once('\n').unwrap();
            let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
            assert_eq!(name.strip_prefix("event: "), data["type"].as_str());
            data
        })
        .collect()
}

fn said(index: u32, delta: Delta) -> StreamEvent {
    StreamEvent::BlockDelta { index, delta }
}

#[test]
fn a_stream_is_numbered_and_ends_with_all_that_was_said() {
    let mut renderer = StreamRenderer::new(head(), Echo::default());
    let mut sse = Vec::new();
    let call = BlockStart::ToolUse { id: "call_1".to_owned(), name: "weather".to_owned() };
    for event in [
        StreamEvent::Start { id: None, model: None },
        StreamEvent::BlockStart { index: 0, block: BlockStart::Reasoning },
        said(0, Delta::Reasoning("Ask.".to_owned())),
        said(0, Delta::Signature("c2ln".to_owned())),
        StreamEvent::BlockStop { index: 0 },
        StreamEvent::BlockStart { index: 1, block: BlockStart::Text },
        StreamEvent::BlockStop { index: 1 },
        StreamEvent::BlockStart { index: 2, block: BlockStart::Text },
        said(2, Delta::Text("Let me ".to_owned())),
        said(2, Delta::Text("see.".to_owned())),
        StreamEvent::BlockStop { index: 2 },
        StreamEvent::BlockStart { index: 3, block: call },
        StreamEvent::BlockStop { index: 3 },
        StreamEvent::Finish { reason: FinishReason::ToolUse, stop_sequence: None },
        StreamEvent::Usage(Usage::default()),
    ] {
        renderer.event(&event, &mut sse);
    }
    renderer.end(&mut sse);
    let events = events(&sse);
    assert!(events.iter().enumerate().all(|(i, event)| event["sequence_number"] == i));
    assert_eq!(renderer.events(), events.len() as u64);
    let last = events.last().unwrap();
    assert_eq!(last["type"], "response.completed");
    let output = last["response"]["output"].as_array().unwrap();
    let kinds: Vec<_> = output.iter().map(|item| item["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["reasoning", "message", "function_call"]);
    assert_eq!(output[0]["encrypted_content"], "c2ln");
    assert_eq!(output[1]["content"][0]["text"], "Let me see.");
    assert_eq!(output[2]["arguments"], "{}");
    let done: Vec<&Value> = events.iter().filter(|event| event["type"] == "response.output_item.done").collect();
    assert_eq!(done.iter().map(|event| &event["item"]).collect::<Vec<_>>(), output.iter().collect::<Vec<_>>());
}

#[test]
fn an_answer_cut_short_is_incomplete_and_a_broken_one_never_ends() {
    let mut renderer = StreamRenderer::new(head(), Echo::default());
    let mut sse = Vec::new();
    renderer.event(&StreamEvent::Start { id: None, model: None }, &mut sse);
    renderer.end(&mut sse);
    assert!(events(&sse).iter().all(|event| event["response"]["status"] == "in_progress"));
    renderer.event(&StreamEvent::Finish { reason: FinishReason::Length, stop_sequence: None }, &mut sse);
    renderer.end(&mut sse);
    let last = events(&sse).pop().unwrap();
    assert_eq!(last["type"], "response.incomplete");
    assert_eq!(last["response"]["incomplete_details"]["reason"], "max_output_tokens");
}
