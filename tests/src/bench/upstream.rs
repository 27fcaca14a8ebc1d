//! In: a port. Out: an OpenAI-compatible server that answers every chat at once with the same bytes: the cheapest upstream there is, so
//! that what is measured is the proxy before it.

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// Content events of one stream.
pub const EVENTS: usize = 64;

const PLAIN: &str = r#"{"id":"chatcmpl-1","object":"chat.completion","created":1700000000,"model":"bench","choices":[{"index":0,"message":{"role":"assistant","content":"The quick brown fox jumps over the lazy dog and does it again and again until nobody looks any more."},"finish_reason":"stop"}],"usage":{"prompt_tokens":24,"completion_tokens":32,"total_tokens":56}}"#;
const EVENT: &str = r#"{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":"bench","choices":[{"index":0,"delta":{"content":" token"},"finish_reason":null}]}"#;
const LAST: &str = r#"{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":"bench","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
const USAGE: &str = r#"{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":"bench","choices":[],"usage":{"prompt_tokens":24,"completion_tokens":64,"total_tokens":88}}"#;

/// Serves until the process ends.
pub async fn upstream(listen: SocketAddr) -> anyhow::Result<()> {
    let listener = TcpListener::bind(listen).await?;
    loop {
        let (socket, _) = listener.accept().await?;
        socket.set_nodelay(true)?;
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(socket), service_fn(answer)));
    }
}

async fn answer(request: Request<Incoming>) -> anyhow::Result<Response<BoxBody<Bytes, Infallible>>> {
    let body = request.into_body().collect().await?.to_bytes();
    let streamed = body.windows(13).any(|w| w == b"\"stream\":true");
    if !streamed {
        let response = Response::builder().header("content-type", "application/json");
        return Ok(response.body(Full::new(Bytes::from_static(PLAIN.as_bytes())).boxed())?);
    }
    // Yielding after each event makes each a write of its own, as with a model that thinks in between.
    let events = std::iter::repeat_n(EVENT, EVENTS).chain([LAST, USAGE, "[DONE]"]);
    let frames = stream::iter(events).then(async |event| {
        tokio::task::yield_now().await;
        Ok::<_, Infallible>(Frame::data(Bytes::from(format!("data: {event}\n\n"))))
    });
    let response = Response::builder().header("content-type", "text/event-stream");
    Ok(response.body(BodyExt::boxed(StreamBody::new(frames)))?)
}
