//! In: a port. Out: a server that answers every chat at once with the same bytes, OpenAI's or Bedrock's by the path, and every text with a
//! vector made before: the cheapest upstream there is, so that what is measured is the proxy before it. A path with `hold` in it gets one event and
//! then silence; an endpoint `slow` takes 40 ms for a batch, one at a time, as an accelerator does.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpListener;

use crate::sim::bedrock::frames;

/// Content events of one stream.
pub const EVENTS: usize = 64;
/// Numbers of a vector.
const DIMENSIONS: usize = 1024;
/// Texts of the largest batch.
const MOST: usize = 32;
/// What the slow endpoint takes for a batch.
const BATCH: Duration = Duration::from_millis(40);
static ACCELERATOR: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

const PLAIN: &str = r#"{"id":"chatcmpl-1","object":"chat.completion","created":1700000000,"model":"bench","choices":[{"index":0,"message":{"role":"assistant","content":"The quick brown fox jumps over the lazy dog and does it again and again until nobody looks any more."},"finish_reason":"stop"}],"usage":{"prompt_tokens":24,"completion_tokens":32,"total_tokens":56}}"#;
const EVENT: &str = r#"{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":"bench","choices":[{"index":0,"delta":{"content":" token"},"finish_reason":null}]}"#;
const LAST: &str = r#"{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":"bench","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
const USAGE: &str = r#"{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":"bench","choices":[],"usage":{"prompt_tokens":24,"completion_tokens":64,"total_tokens":88}}"#;

const CONVERSE: &str = r#"{"metrics":{"latencyMs":400},"output":{"message":{"content":[{"text":"The quick brown fox jumps over the lazy dog and does it again and again until nobody looks any more."}],"role":"assistant"}},"stopReason":"end_turn","usage":{"inputTokens":24,"outputTokens":32,"totalTokens":56}}"#;

/// Serves until the process ends.
pub async fn upstream(listen: SocketAddr) -> anyhow::Result<()> {
    // Made before anybody asks: the first batch of a size takes no longer than the others.
    for texts in 1..=MOST {
        made(texts, false);
        made(texts, true);
    }
    let listener = TcpListener::bind(listen).await?;
    loop {
        let (socket, _) = listener.accept().await?;
        socket.set_nodelay(true)?;
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(socket), service_fn(answer)));
    }
}

async fn answer(request: Request<Incoming>) -> anyhow::Result<Response<BoxBody<Bytes, Infallible>>> {
    let path = request.uri().path().to_owned();
    let body = request.into_body().collect().await?.to_bytes();
    if path.starts_with("/model/") {
        return Ok(bedrock(path.ends_with("/converse-stream")));
    }
    if path.starts_with("/hold") {
        let first = Frame::data(Bytes::from(format!("data: {EVENT}\n\n")));
        let frames = stream::once(async { Ok::<_, Infallible>(first) }).chain(stream::pending());
        let response = Response::builder().header("content-type", "text/event-stream");
        return Ok(response.body(BodyExt::boxed(StreamBody::new(frames)))?);
    }
    if path.ends_with("/embeddings") || path.starts_with("/endpoints/") {
        if path.contains("/slow/") {
            let _turn = ACCELERATOR.lock().await;
            tokio::time::sleep(BATCH).await;
        }
        let response = Response::builder().header("content-type", "application/json");
        return Ok(response.body(Full::new(vectors(&body, path.contains("/unit/"))?).boxed())?);
    }
    let streamed = body.windows(13).any(|w| w == b"\"stream\":true");
    if !streamed {
        let response = Response::builder().header("content-type", "application/json");
        return Ok(response.body(Full::new(Bytes::from_static(PLAIN.as_bytes())).boxed())?);
    }
    let events = std::iter::repeat_n(EVENT, EVENTS).chain([LAST, USAGE, "[DONE]"]);
    Ok(streaming("text/event-stream", events.map(|event| Bytes::from(format!("data: {event}\n\n"))).collect()))
}

/// OpenAI's form of an answer: a vector of [`DIMENSIONS`] for each text, of length 1 as models give them, or not. Made once for each number of
/// texts, so that the upstream leaves the processor to those who are measured.
fn vectors(body: &[u8], unit: bool) -> anyhow::Result<Bytes> {
    #[derive(serde::Deserialize)]
    struct Asked {
        input: Vec<serde::de::IgnoredAny>,
    }
    Ok(made(serde_json::from_slice::<Asked>(body)?.input.len(), unit))
}

fn made(texts: usize, unit: bool) -> Bytes {
    static MADE: Mutex<BTreeMap<(usize, bool), Bytes>> = Mutex::new(BTreeMap::new());
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    made.entry((texts, unit)).or_insert_with(|| list(texts, unit)).clone()
}

fn list(texts: usize, unit: bool) -> Bytes {
    let item = |index| format!(r#"{{"object":"embedding","index":{index},"embedding":[{}]}}"#, vector(index, unit));
    let data = (0..texts).map(item).collect::<Vec<_>>().join(",");
    let usage = r#"{"prompt_tokens":12,"total_tokens":12}"#;
    format!(r#"{{"object":"list","model":"bench","data":[{data}],"usage":{usage}}}"#).into()
}

/// Numbers around zero, no two vectors the same, in single precision as servers print it.
fn vector(index: usize, unit: bool) -> String {
    let mut random = fastrand::Rng::with_seed(index as u64);
    let numbers: Vec<f64> = (0..DIMENSIONS).map(|_| (0..6).map(|_| random.f64()).sum::<f64>() - 3.0).collect();
    let length = numbers.iter().map(|number| number * number).sum::<f64>().sqrt() * if unit { 1.0 } else { 1.1 };
    numbers.iter().map(|number| ((number / length) as f32).to_string()).collect::<Vec<_>>().join(",")
}

/// The same answer as Converse and ConverseStream have it.
fn bedrock(streamed: bool) -> Response<BoxBody<Bytes, Infallible>> {
    if !streamed {
        let mut response = Response::new(Full::new(Bytes::from_static(CONVERSE.as_bytes())).boxed());
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        return response;
    }
    static FRAMES: LazyLock<Vec<Bytes>> = LazyLock::new(|| {
        let delta = json!({"contentBlockIndex": 0, "delta": {"text": " token"}, "p": "abcdefgh"});
        let usage =
            json!({"usage": {"inputTokens": 24, "outputTokens": 64, "totalTokens": 88}, "metrics": {"latencyMs": 1}});
        let last = [
            frames::event("contentBlockStop", &json!({"contentBlockIndex": 0})),
            frames::event("messageStop", &json!({"stopReason": "end_turn"})),
            frames::event("metadata", &usage),
        ];
        let first = frames::event("messageStart", &json!({"role": "assistant"}));
        let deltas = std::iter::repeat_n(frames::event("contentBlockDelta", &delta), EVENTS);
        std::iter::once(first).chain(deltas).chain(last).collect()
    });
    streaming("application/vnd.amazon.eventstream", FRAMES.clone())
}

/// Yielding after each event makes each a write of its own, as with a model that thinks in between.
fn streaming(content_type: &'static str, events: Vec<Bytes>) -> Response<BoxBody<Bytes, Infallible>> {
    let frames = stream::iter(events).then(async |event| {
        tokio::task::yield_now().await;
        Ok::<_, Infallible>(Frame::data(event))
    });
    let mut response = Response::new(BodyExt::boxed(StreamBody::new(frames)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
