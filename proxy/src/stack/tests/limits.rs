//! Limits on clients: size, pace, and what a drain does.

use super::*;
use crate::fixture::{read, stream};
use crate::stack::Options;
use crate::upstream::Policy;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const SMALL: Options = Options {
    body_limit: 2_000,
    policy: Policy::Loopback,
    gateway: false,
    keep_alive: crate::body::KEEP_ALIVE,
    cache_size: 0,
};

async fn small() -> Running {
    Running::start_with(Some(table(assistant(vec![("pretend", simulated("x"))]))), Default::default(), SMALL).await
}

/// Sends raw bytes in the given pieces and reads until the server closes.
async fn raw(proxy: &Running, pieces: &[&[u8]]) -> String {
    let mut stream = TcpStream::connect(proxy.address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    for piece in pieces {
        stream.write_all(piece).await.unwrap();
        tokio::task::yield_now().await;
    }
    let mut answer = Vec::new();
    // A reset after the answer is the server's right.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn a_body_over_the_limit_is_413_and_one_at_the_limit_is_read() {
    let proxy = small().await;
    let frame = r#"{"model":"assistant","messages":[{"role":"user","content":""}]}"#;
    let sized = |size: usize| frame.replace("\"\"", &format!("\"{}\"", "x".repeat(size - frame.len())));
    assert_eq!(proxy.send(proxy.request("POST", "/v1/chat/completions", sized(2_000))).await.status, OK);
    for size in [2_001, 5_000, 7_999] {
        let answer = proxy.send(proxy.request("POST", "/v1/chat/completions", sized(size))).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (413, "payload_too_large"), "{size}");
    }
}

#[tokio::test]
async fn who_asks_before_sending_too_much_is_told_at_once() {
    let head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 999999\r\nexpect: 100-continue\r\n\r\n";
    let answer = raw(&small().await, &[head]).await;
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("payload_too_large"), "{answer}");
}

#[tokio::test]
async fn head_and_body_may_come_in_any_pieces() {
    let body = r#"{"model":"assistant","messages":[{"role":"user","content":"hi"}]}"#;
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let whole = [head.as_bytes(), body.as_bytes()].concat();
    let pieces: Vec<&[u8]> = whole.chunks(7).collect();
    let answer = raw(&small().await, &pieces).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test]
async fn a_head_over_the_limit_is_refused() {
    let padding = "x".repeat(80 * 1024);
    let head = format!("GET /v1/models HTTP/1.1\r\nhost: x\r\nx-padding: {padding}\r\n\r\n");
    let answer = raw(&small().await, &[head.as_bytes()]).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
}

#[tokio::test]
async fn http2_with_prior_knowledge_is_served_on_the_same_port() {
    let proxy = small().await;
    let client = hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new())
        .http2_only(true)
        .build_http::<http_body_util::Full<bytes::Bytes>>();
    let answer = read(client.request(proxy.chat(",\"stream\":true")).await.unwrap()).await;
    assert_eq!((answer.status, answer.said().as_str()), (OK, "x"));
}

#[tokio::test]
async fn a_drain_accepts_nothing_new_and_finishes_what_runs() {
    let chunks = stream(&["one ", "two"]);
    let (mut proxy, upstream) = over_one(vec![Act::Waits(chunks[..1].to_vec(), chunks[1..].to_vec())]).await;
    let running = proxy.begin(proxy.chat(",\"stream\":true")).await;
    proxy.stop();
    while TcpStream::connect(proxy.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(!proxy.served.is_finished());
    upstream.go_on();
    let answer = read(running).await;
    assert!(answer.said() == "one two" && answer.text().ends_with("[DONE]\n\n"));
    assert_eq!(proxy.served.await.unwrap(), 0);
}
