//! In: an address and a number of requests. Out: all of them answered, over a few kept connections.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, ensure};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Plain,
    Stream,
}

impl Shape {
    /// As in the result's names.
    pub fn name(self) -> &'static str {
        match self {
            Shape::Plain => "plain",
            Shape::Stream => "stream",
        }
    }

    fn body(self) -> &'static str {
        match self {
            Shape::Plain => {
                r#"{"model":"bench","max_tokens":256,"messages":[{"role":"system","content":"Answer in one sentence."},{"role":"user","content":"What does the fox do, and how often, and who looks?"}]}"#
            }
            Shape::Stream => {
                r#"{"model":"bench","max_tokens":256,"stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"system","content":"Answer in one sentence."},{"role":"user","content":"What does the fox do, and how often, and who looks?"}]}"#
            }
        }
    }
}

/// Returns when the last answer has been read; any answer but 200 is an error.
pub async fn drive(address: SocketAddr, shape: Shape, requests: usize, connections: usize) -> anyhow::Result<()> {
    let left = Arc::new(AtomicUsize::new(requests));
    let workers: Vec<_> = (0..connections).map(|_| tokio::spawn(worker(address, shape, left.clone()))).collect();
    for worker in workers {
        worker.await??;
    }
    Ok(())
}

async fn worker(address: SocketAddr, shape: Shape, left: Arc<AtomicUsize>) -> anyhow::Result<()> {
    let socket = TcpStream::connect(address).await?;
    socket.set_nodelay(true)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(socket)).await?;
    tokio::spawn(connection);
    while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_ok() {
        let request = Request::post("/v1/chat/completions")
            .header("host", "bench")
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from_static(shape.body().as_bytes())))?;
        sender.ready().await?;
        let response = sender.send_request(request).await.context("the proxy closed the connection")?;
        let status = response.status();
        let mut body = response.into_body();
        let mut last = Bytes::new();
        while let Some(frame) = body.frame().await {
            if let Ok(data) = frame?.into_data() {
                last = data;
            }
        }
        ensure!(status.is_success(), "{address} answered {status}: {}", String::from_utf8_lossy(&last));
        ensure!(shape == Shape::Plain || last.ends_with(b"[DONE]\n\n"), "{address} ended a stream before its end");
    }
    Ok(())
}
