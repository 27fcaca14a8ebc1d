//! The OpenAI-compatible wire: plain answers, server-sent events, usage when asked for, keys and errors.

use super::{LOCAL, start};
use serde_json::{Value, json};
use tollway_tests::http::{get, post, post_raw, post_stream, try_post};
use tollway_tests::sim::{Block, Config, Exception, Reply, Rule, Sim};

fn ask(more: Value) -> Value {
    let mut body = json!({ "model": LOCAL, "messages": [{ "role": "user", "content": "12345678" }] });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

fn chat(sim: &Sim) -> String {
    format!("{}/v1/chat/completions", sim.url())
}

#[tokio::test]
async fn plain_and_streamed_say_and_cost_the_same() {
    let sim = start().await;
    let blocks = [
        Block::Reasoning { text: "let me see".to_owned(), signature: None },
        Block::Text("It is noon, I would say.".to_owned()),
        Block::ToolUse { id: "t1".to_owned(), name: "clock".to_owned(), input: json!({ "zone": "UTC" }) },
    ];
    sim.script(Rule::reply(Reply::blocks(blocks)));
    let plain = post(&chat(&sim), &ask(json!({}))).await.ok().json();
    let choice = &plain["choices"][0];
    assert_eq!(choice["finish_reason"], "tool_calls");
    assert_eq!(choice["message"]["content"], "It is noon, I would say.");
    assert_eq!(choice["message"]["reasoning_content"], "let me see");
    // 2 tokens of text and 4 for the message; 3 + 6 + 2 for the name and 4 for the arguments.
    assert_eq!(plain["usage"]["prompt_tokens"], 6);
    assert_eq!(plain["usage"]["completion_tokens"], 15);

    let options = json!({ "stream": true, "stream_options": { "include_usage": true } });
    let events = post_stream(&chat(&sim), &ask(options)).await.unwrap().rest().await.unwrap();
    assert_eq!(events.last().unwrap(), "[DONE]");
    let chunks: Vec<Value> = events[..events.len() - 1].iter().map(|e| serde_json::from_str(e).unwrap()).collect();
    let deltas = || chunks.iter().map(|chunk| &chunk["choices"][0]["delta"]);
    assert_eq!(deltas().filter_map(|d| d["content"].as_str()).collect::<String>(), "It is noon, I would say.");
    assert_eq!(deltas().filter_map(|d| d["reasoning_content"].as_str()).collect::<String>(), "let me see");
    let arguments = deltas().filter_map(|d| d["tool_calls"][0]["function"]["arguments"].as_str()).collect::<String>();
    assert_eq!(arguments, choice["message"]["tool_calls"][0]["function"]["arguments"].as_str().unwrap());
    let last = chunks.last().unwrap();
    assert_eq!((&last["choices"], &last["usage"]), (&json!([]), &plain["usage"]));
    assert!(chunks[..chunks.len() - 1].iter().all(|chunk| chunk["usage"].is_null()));

    sim.idle().await;
    assert_eq!(sim.bill().nano, 2 * (6 * 1_000 + 15 * 2_000));
}

#[tokio::test]
async fn usage_comes_only_when_asked_for_and_choices_multiply_it() {
    let sim = start().await;
    sim.script(Rule::reply(Reply::tokens(9)));
    let events =
        post_stream(&chat(&sim), &ask(json!({ "stream": true, "max_tokens": 5 }))).await.unwrap().rest().await.unwrap();
    assert!(events.iter().all(|event| !event.contains("usage")));
    assert!(events[events.len() - 2].contains(r#""finish_reason":"length""#));
    sim.idle().await;
    assert_eq!(sim.bill().models[LOCAL].output_tokens, 5);
    let three = post(&chat(&sim), &ask(json!({ "n": 3 }))).await.ok().json();
    assert_eq!(three["choices"].as_array().unwrap().len(), 3);
    assert_eq!(three["usage"]["completion_tokens"], 27);
    assert_eq!(sim.bill().models[LOCAL].output_tokens, 5 + 27);
}

#[tokio::test]
async fn errors_have_openais_shape_and_the_scripted_status() {
    let sim = start().await;
    for exception in Exception::ALL {
        sim.script(Rule::error_retry_after(exception, 2).times(1));
        let reply = post(&chat(&sim), &ask(json!({}))).await;
        assert_eq!((reply.status.as_u16(), reply.header("retry-after")), (exception.wire().1, "2"));
        assert_eq!(reply.json()["error"]["message"], exception.wire().2);
    }
    sim.script(Rule::status(502, "<html>bad gateway</html>").times(1));
    let reply = post(&chat(&sim), &ask(json!({}))).await;
    assert_eq!((reply.status.as_u16(), reply.text().as_str()), (502, "<html>bad gateway</html>"));
    assert_eq!(post(&chat(&sim), &ask(json!({ "model": "other" }))).await.status.as_u16(), 404);
    assert_eq!(post(&chat(&sim), &ask(json!({ "max_tokens": 0 }))).await.status.as_u16(), 400);
    let text = post_raw(&chat(&sim), &[("content-type", "text/plain")], ask(json!({})).to_string()).await.unwrap();
    assert_eq!(text.status.as_u16(), 415);
    // Outside a stream an error comes before the model starts.
    sim.script(Rule::stream_error(Exception::ServiceUnavailable, 2).times(1));
    assert_eq!(post(&chat(&sim), &ask(json!({}))).await.status.as_u16(), 503);
    assert_eq!(sim.bill().nano, 0);

    sim.script(Rule::stream_error(Exception::ServiceUnavailable, 2).times(1));
    let events = post_stream(&chat(&sim), &ask(json!({ "stream": true }))).await.unwrap().rest().await.unwrap();
    assert_eq!(events.len(), 3);
    assert!(events[2].contains(r#""error""#), "{}", events[2]);
    // The start and one piece of 4 tokens.
    assert_eq!(sim.bill().nano, 6 * 1_000 + 4 * 2_000);
}

#[tokio::test]
async fn a_key_is_asked_for_when_there_is_one() {
    let config = Config { api_keys: vec!["sk-one".to_owned()], ..Config::default() };
    let sim = Sim::start(config).await.unwrap();
    let with = async |key: &str| {
        try_post(&chat(&sim), &ask(json!({})), &[("authorization", key)]).await.unwrap().status.as_u16()
    };
    assert_eq!((with("Bearer sk-one").await, with("Bearer sk-two").await), (200, 401));
    assert_eq!(get(&format!("{}/v1/models", sim.url())).await.status.as_u16(), 401);
}
