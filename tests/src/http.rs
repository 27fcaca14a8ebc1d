//! In: a URL of the loopback and perhaps JSON. Out: the whole reply, or a stream of its server-sent events. A plain client for tests:
//! a new connection each call, no redirects, no retries, nothing hidden.

use std::collections::VecDeque;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

/// A reply with its body read.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Reply {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; fails with the text when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|e| panic!("{}, not JSON ({e}): {}", self.status, self.text()))
    }

    /// A header's value, empty when absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default()
    }

    /// Itself when the status is 2xx; fails with the body when not.
    pub fn ok(self) -> Self {
        assert!(self.status.is_success(), "{}: {}", self.status, self.text());
        self
    }
}

/// A reply whose body is still coming.
#[derive(Debug)]
pub struct EventStream {
    pub status: StatusCode,
    pub headers: HeaderMap,
    body: Incoming,
    events: Events,
}

impl EventStream {
    /// The next event's `data`; none at the stream's clean end. A broken connection is the error.
    pub async fn next(&mut self) -> Result<Option<String>, hyper::Error> {
        loop {
            if let Some(event) = self.events.ready.pop_front() {
                return Ok(Some(event));
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(frame) => {
                    if let Ok(data) = frame?.into_data() {
                        self.events.take(&data);
                    }
                }
            }
        }
    }

    /// All events that are left.
    pub async fn rest(&mut self) -> Result<Vec<String>, hyper::Error> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await? {
            events.push(event);
        }
        Ok(events)
    }
}

// Bytes as they come, cut where the connection cut them -> whole events.
#[derive(Debug, Default)]
struct Events {
    partial: Vec<u8>,
    ready: VecDeque<String>,
}

impl Events {
    fn take(&mut self, data: &[u8]) {
        self.partial.extend_from_slice(data);
        while let Some(end) = self.partial.windows(2).position(|w| w == b"\n\n") {
            let event: Vec<u8> = self.partial.drain(..end + 2).collect();
            let text = String::from_utf8_lossy(&event);
            let data: Vec<&str> = text
                .lines()
                .filter_map(|l| l.strip_prefix("data:"))
                .map(|l| l.strip_prefix(' ').unwrap_or(l))
                .collect();
            if !data.is_empty() {
                self.ready.push_back(data.join("\n"));
            }
        }
    }
}

/// GET; fails when there is no reply at all.
pub async fn get(url: &str) -> Reply {
    try_get(url).await.unwrap_or_else(|e| panic!("GET {url}: {e:?}"))
}

/// GET; the error says that there was no reply.
pub async fn try_get(url: &str) -> anyhow::Result<Reply> {
    send(request(Method::GET, url, &[]).body(Full::default())?).await
}

/// PUT of any bytes with these headers.
pub async fn put(url: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> anyhow::Result<Reply> {
    send(request(Method::PUT, url, headers).body(Full::from(body.into()))?).await
}

/// DELETE with these headers; fails when there is no reply at all.
pub async fn delete(url: &str, headers: &[(&str, &str)]) -> Reply {
    let request = request(Method::DELETE, url, headers).body(Full::default()).expect("a request");
    send(request).await.unwrap_or_else(|e| panic!("DELETE {url}: {e:?}"))
}

/// GET with these headers; fails when there is no reply at all.
pub async fn get_as(url: &str, headers: &[(&str, &str)]) -> Reply {
    let request = request(Method::GET, url, headers).body(Full::default()).expect("a request");
    send(request).await.unwrap_or_else(|e| panic!("GET {url}: {e:?}"))
}

/// POST of a JSON value.
pub async fn post(url: &str, body: &Value) -> Reply {
    try_post(url, body, &[]).await.unwrap_or_else(|e| panic!("POST {url}: {e:?}"))
}

/// POST of a JSON value with extra headers; the error says that there was no whole reply.
pub async fn try_post(url: &str, body: &Value, headers: &[(&str, &str)]) -> anyhow::Result<Reply> {
    let mut all = vec![("content-type", "application/json")];
    all.extend_from_slice(headers);
    send(request(Method::POST, url, &all).body(Full::from(serde_json::to_vec(body)?))?).await
}

/// POST of any bytes with exactly these headers: for malformed input.
pub async fn post_raw(url: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> anyhow::Result<Reply> {
    send(request(Method::POST, url, headers).body(Full::from(body.into()))?).await
}

/// POST of a JSON value whose reply is read event by event; drop it to hang up.
pub async fn post_stream(url: &str, body: &Value) -> anyhow::Result<EventStream> {
    let request = request(Method::POST, url, &[("content-type", "application/json")]);
    let (parts, body) = open(request.body(Full::from(serde_json::to_vec(body)?))?).await?.into_parts();
    Ok(EventStream { status: parts.status, headers: parts.headers, body, events: Events::default() })
}

fn request(method: Method, url: &str, headers: &[(&str, &str)]) -> http::request::Builder {
    headers.iter().fold(Request::builder().method(method).uri(url), |r, (name, value)| r.header(*name, *value))
}

async fn open(request: Request<Full<Bytes>>) -> anyhow::Result<Response<Incoming>> {
    let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build_http::<Full<Bytes>>();
    Ok(client.request(request).await?)
}

async fn send(request: Request<Full<Bytes>>) -> anyhow::Result<Reply> {
    let (parts, body) = open(request).await?.into_parts();
    Ok(Reply { status: parts.status, headers: parts.headers, body: body.collect().await?.to_bytes() })
}

#[cfg(test)]
mod tests {
    use super::Events;

    #[test]
    fn events_are_whole_however_the_bytes_were_cut() {
        let text =
            "data: {\"a\":1}\n\n: still here\n\nevent: x\ndata: one\ndata: two\n\ndata: [DONE]\n\ndata: never ended";
        for size in 1..text.len() {
            let mut events = Events::default();
            text.as_bytes().chunks(size).for_each(|c| events.take(c));
            assert_eq!(events.ready, ["{\"a\":1}", "one\ntwo", "[DONE]"], "cut every {size} bytes");
        }
    }
}
