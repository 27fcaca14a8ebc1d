//! In: an address and a number of requests. Out: all of them answered, over a few kept connections.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

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
    /// A chat completion of a target that speaks the same.
    Plain,
    Stream,
    /// A chat completion of a Bedrock target.
    Converse,
    ConverseStream,
    /// 32 texts of an embedding endpoint, in one request; their vectors have to be scaled.
    Vectors,
    /// The same, of vectors that have length 1 already.
    Units,
    /// One text.
    Vector,
}

/// Texts of one request for vectors.
pub const TEXTS: usize = 32;

impl Shape {
    pub const ALL: [Shape; 6] =
        [Shape::Plain, Shape::Stream, Shape::Converse, Shape::ConverseStream, Shape::Vectors, Shape::Units];

    /// As in the result's names.
    pub fn name(self) -> &'static str {
        match self {
            Shape::Plain => "plain",
            Shape::Stream => "stream",
            Shape::Converse => "converse",
            Shape::ConverseStream => "converse-stream",
            Shape::Vectors => "vectors",
            Shape::Units => "vectors-of-length-1",
            Shape::Vector => "vector",
        }
    }

    pub fn is_stream(self) -> bool {
        matches!(self, Shape::Stream | Shape::ConverseStream)
    }

    /// Long answers, of which a tenth is enough.
    pub fn is_long(self) -> bool {
        self.is_stream() || matches!(self, Shape::Vectors | Shape::Units)
    }

    fn path(self) -> &'static str {
        match self {
            Shape::Vectors | Shape::Units | Shape::Vector => "/v1/embeddings",
            Shape::Plain | Shape::Stream | Shape::Converse | Shape::ConverseStream => "/v1/chat/completions",
        }
    }

    /// The request's body.
    pub fn body(self) -> &'static str {
        static VECTORS: LazyLock<String> = LazyLock::new(|| {
            // Each another one: the same text twice is asked for once.
            let texts =
                (0..TEXTS).map(|at| format!(r#""What does the fox do, and how often, and who looks at {at}?""#));
            let texts = texts.collect::<Vec<_>>().join(",");
            format!(r#"{{"model":"bench","encoding_format":"float","input":[{texts}]}}"#)
        });
        if matches!(self, Shape::Vectors | Shape::Units) {
            &VECTORS
        } else if self == Shape::Vector {
            r#"{"model":"bench","encoding_format":"float","input":"What does the fox do, and how often, and who looks?"}"#
        } else if self.is_stream() {
            r#"{"model":"bench","max_tokens":256,"stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"system","content":"Answer in one sentence."},{"role":"user","content":"What does the fox do, and how often, and who looks?"}]}"#
        } else {
            r#"{"model":"bench","max_tokens":256,"messages":[{"role":"system","content":"Answer in one sentence."},{"role":"user","content":"What does the fox do, and how often, and who looks?"}]}"#
        }
    }
}

/// Returns when the last answer has been read; any answer but 200 is an error.
/// How long each took until its body's first byte.
pub async fn drive(
    address: SocketAddr,
    shape: Shape,
    requests: usize,
    connections: usize,
) -> anyhow::Result<Vec<Duration>> {
    let left = Arc::new(AtomicUsize::new(requests));
    let workers: Vec<_> = (0..connections).map(|_| tokio::spawn(worker(address, shape, left.clone()))).collect();
    let mut took = Vec::with_capacity(requests);
    for worker in workers {
        took.extend(worker.await??);
    }
    Ok(took)
}

async fn worker(address: SocketAddr, shape: Shape, left: Arc<AtomicUsize>) -> anyhow::Result<Vec<Duration>> {
    let mut sender = connect(address).await?;
    let mut took = Vec::new();
    while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_ok() {
        took.push(ask(&mut sender, address, shape).await?);
    }
    Ok(took)
}

/// One connection with requests one after the other: how long each first byte of a stream took.
pub async fn first_bytes(address: SocketAddr, shape: Shape, requests: usize) -> anyhow::Result<Vec<Duration>> {
    let mut sender = connect(address).await?;
    let mut took = Vec::with_capacity(requests);
    for _ in 0..requests {
        took.push(ask(&mut sender, address, shape).await?);
    }
    Ok(took)
}

/// A kept connection.
pub async fn connect(address: SocketAddr) -> anyhow::Result<http1::SendRequest<Full<Bytes>>> {
    let socket = TcpStream::connect(address).await?;
    socket.set_nodelay(true)?;
    let (sender, connection) = http1::handshake(TokioIo::new(socket)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

/// The request of a shape.
pub fn request(shape: Shape) -> http::Result<Request<Full<Bytes>>> {
    Request::post(shape.path())
        .header("host", "bench")
        .header("content-type", "application/json")
        .header("authorization", "Bearer bench-key")
        .body(Full::new(Bytes::from_static(shape.body().as_bytes())))
}

/// One request, read to its end; the time until the body's first byte.
async fn ask(
    sender: &mut http1::SendRequest<Full<Bytes>>,
    address: SocketAddr,
    shape: Shape,
) -> anyhow::Result<Duration> {
    sender.ready().await?;
    let began = Instant::now();
    let response = sender.send_request(request(shape)?).await.context("the proxy closed the connection")?;
    let status = response.status();
    let mut body = response.into_body();
    let (mut first, mut last) = (None, Bytes::new());
    while let Some(frame) = body.frame().await {
        first.get_or_insert_with(|| began.elapsed());
        if let Ok(data) = frame?.into_data() {
            last = data;
        }
    }
    ensure!(status.is_success(), "{address} answered {status}: {}", String::from_utf8_lossy(&last));
    ensure!(!shape.is_stream() || last.ends_with(b"[DONE]\n\n"), "{address} ended a stream before its end");
    first.context("an answer without a body")
}
