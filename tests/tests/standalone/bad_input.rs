//! What no client should send and some will: each gets one clear error in OpenAI's shape, and the proxy serves on.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::json;
use tollway_tests::http::{self, Reply};
use tollway_tests::manifests::split_route;
use tollway_tests::process::{Program, Proxy};

use super::setup::folder;

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

fn refused(reply: &Reply, status: u16, code: &str, says: &str) {
    let error = &reply.json()["error"];
    assert_eq!((reply.status.as_u16(), error["code"].as_str()), (status, Some(code)), "{}", reply.text());
    let message = error["message"].as_str().unwrap_or_default();
    assert!(message.contains(says), "{message:?} does not say {says:?}");
    assert!(error["type"].is_string(), "{error}");
}

#[tokio::test]
async fn each_mistake_gets_one_clear_error() {
    let proxy = Proxy::standalone(folder(&split_route("fork", 1, 0))).await;
    let url = proxy.chat_url();
    let raw = async |body: &str| http::post_raw(&url, &JSON, body.to_owned()).await.expect("a reply");
    let with = |key: &str, value: serde_json::Value| {
        let mut body = json!({"model": "fork", "messages": [{"role": "user", "content": "hi"}]});
        body[key] = value;
        body.to_string()
    };
    refused(&raw("{\"model\": \"fork\", ").await, 400, "invalid_request", "JSON");
    refused(&raw("").await, 400, "invalid_request", "");
    refused(&raw("[1, 2]").await, 400, "invalid_request", "");
    refused(&raw("{\"messages\": [{\"role\": \"user\", \"content\": \"hi\"}]}").await, 400, "invalid_request", "model");
    refused(&raw(&with("model", json!("nobody"))).await, 404, "model_not_found", "nobody");
    refused(&raw(&with("max_tokens", json!(-5))).await, 400, "invalid_request", "max_tokens");
    refused(&raw(&with("max_tokens", json!("many"))).await, 400, "invalid_request", "max_tokens");
    refused(&raw(&with("messages", json!([]))).await, 400, "invalid_request", "messages");
    refused(&raw(&with("messages", json!("hi"))).await, 400, "invalid_request", "messages");
    refused(&raw(&with("temperature", json!("hot"))).await, 400, "invalid_request", "temperature");
    let deep = format!("{{\"model\": \"fork\", \"messages\": {}1{}}}", "[".repeat(5_000), "]".repeat(5_000));
    refused(&raw(&deep).await, 400, "invalid_request", "");

    let form = [("content-type", "application/x-www-form-urlencoded")];
    let reply = http::post_raw(&url, &form, "model=fork").await.expect("a reply");
    assert!(matches!(reply.status.as_u16(), 400 | 415), "{}", reply.status);
    assert!(
        reply.json()["error"]["message"].as_str().is_some_and(|m| m.contains("application/json")),
        "{}",
        reply.text()
    );

    let huge = with("messages", json!([{"role": "user", "content": "x".repeat(21 << 20)}]));
    refused(&raw(&huge).await, 413, "payload_too_large", "");
    let reply = http::get(&format!("{}/v1/nothing", proxy.url)).await;
    assert_eq!(reply.status.as_u16(), 404);
    assert!(reply.json()["error"]["message"].is_string());
    let reply = http::get(&url).await;
    assert_eq!(reply.status.as_u16(), 405);
    proxy.chat("fork", "still there?").await.ok();
}

#[tokio::test]
async fn half_a_request_harms_nobody() {
    let proxy = Proxy::standalone(folder(&split_route("fork", 1, 0))).await;
    let address = proxy.url.trim_start_matches("http://").to_owned();
    for half in [
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{\"model\"",
        "POST /v1/chat/compl",
        "\x16\x03\x01\x02\x00\x01\x00\x01\u{7f}\x03\x03",
        "GET / HTTP/9.9\r\n\r\n",
    ] {
        let mut half_sent = TcpStream::connect(&address).expect("the proxy listens");
        half_sent.write_all(half.as_bytes()).expect("bytes to a listening port");
        drop(half_sent);
        proxy.chat("fork", "still there?").await.ok();
    }
    let mut large = TcpStream::connect(&address).expect("the proxy listens");
    let header = format!("GET /v1/models HTTP/1.1\r\nhost: x\r\nx-large: {}\r\n\r\n", "y".repeat(70 << 10));
    // The proxy may close before it has read all of it.
    let _ = large.write_all(header.as_bytes());
    let mut answer = String::new();
    let _ = large.read_to_string(&mut answer);
    assert!(answer.starts_with("HTTP/1.1 431") || answer.is_empty(), "{answer}");
    proxy.chat("fork", "still there?").await.ok();
}

#[tokio::test]
async fn every_mistake_of_a_manifest_is_told_with_its_line() {
    let folder = folder(
        "apiVersion: tollway.dev/v1alpha1\nkind: ModelRoute\nmetadata: {name: wrong}\nspec:\n  models: [a, a]\n  targets:\n  - name: \
         one\n    simulated: {reply: hi}\n    openai: {baseUrl: \"http://x/v1\"}\n  - name: one\n    simulated: {reply: hi}\n    price: \
         {inputPerMillion: \"-3\"}\n  rules:\n  - split: [{target: nobody, weight: 1}]\n    fallback: [noone]\n  retry: {attempts: 0}\n  \
         timeouts: {connect: soon}\n  shadow: true\n",
    );
    let mut process = Proxy::start(Program::proxy().arg("standalone").arg(&folder)).process;
    process.wait_for_log("tollway.yaml:").await;
    let log = tollway_tests::wait::until("every mistake in the log", async || {
        let log = process.log();
        ["tollway.yaml:5:", "nobody", "noone", "attempts", "soon", "shadow", "-3"]
            .iter()
            .all(|t| log.contains(t))
            .then_some(log)
    })
    .await;
    assert!(log.lines().filter(|l| l.contains("tollway.yaml:")).count() >= 7, "{log}");
}
