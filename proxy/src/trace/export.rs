//! Spans in, OTLP requests over HTTP out, in batches. A collector that is slow or gone costs spans, never requests.

use super::otlp::{Export, KeyValue, Resource, ResourceSpans, Scope, ScopeSpans, Span};
use super::settings::Settings;
use crate::attempt::read;
use crate::upstream::{Policy, Upstream};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use http::{HeaderValue, Request, StatusCode};
use http_body_util::Full;
use prometheus::{IntCounter, IntCounterVec};
use prost::Message as _;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout, timeout_at};

/// Spans that wait; further ones are dropped and counted.
const WAITING: usize = 2_048;
/// Spans of one request to the collector.
const BATCH: usize = 512;
/// How long a span waits for others.
const DELAY: Duration = Duration::from_secs(5);
/// Times that one batch is sent.
const TRIES: u32 = 3;
/// Bytes of an answer that are read; nothing in it matters.
const ANSWER: usize = 64 * 1024;

/// The queue to the task that sends.
#[derive(Debug)]
pub struct Exporter {
    queue: mpsc::Sender<Item>,
    dropped: IntCounter,
    timeout: Duration,
}

#[derive(Debug)]
enum Item {
    Span(Box<Span>),
    Flush(oneshot::Sender<()>),
}

impl Exporter {
    pub fn start(settings: Settings, counted: &IntCounterVec) -> Self {
        let (queue, items) = mpsc::channel(WAITING);
        let counters = ["sent", "failed", "dropped"].map(|outcome| counted.with_label_values(&[outcome]));
        let [sent, failed, dropped] = counters;
        let timeout = settings.timeout;
        tokio::spawn(Sending { settings, upstream: Upstream::default(), sent, failed }.run(items));
        Self { queue, dropped, timeout }
    }

    pub fn take(&self, span: Span) {
        if self.queue.try_send(Item::Span(Box::new(span))).is_err() {
            self.dropped.inc();
        }
    }

    pub async fn flush(&self) {
        let (done, flushed) = oneshot::channel();
        let out = async {
            if self.queue.send(Item::Flush(done)).await.is_ok() {
                let _ = flushed.await;
            }
        };
        if timeout(self.timeout, out).await.is_err() {
            tracing::warn!("the collector did not take the last spans in time");
        }
    }
}

struct Sending {
    settings: Settings,
    upstream: Upstream,
    sent: IntCounter,
    failed: IntCounter,
}

impl Sending {
    async fn run(self, mut items: mpsc::Receiver<Item>) {
        while let Some(first) = items.recv().await {
            let (mut spans, mut flushed) = (Vec::new(), Vec::new());
            let until = Instant::now() + DELAY;
            let mut next = Some(first);
            while let Some(item) = next {
                match item {
                    Item::Span(span) => spans.push(*span),
                    Item::Flush(done) => flushed.push(done),
                }
                if spans.len() >= BATCH || !flushed.is_empty() {
                    break;
                }
                next = timeout_at(until, items.recv()).await.ok().flatten();
            }
            if !spans.is_empty() {
                self.send(spans).await;
            }
            for done in flushed {
                let _ = done.send(());
            }
        }
    }

    async fn send(&self, spans: Vec<Span>) {
        let count = spans.len() as u64;
        let body = Bytes::from(self.message(spans).encode_to_vec());
        let mut pause = Duration::from_secs(1);
        for attempt in 1..=TRIES {
            match self.post(body.clone()).await {
                Ok(()) => return self.sent.inc_by(count),
                Err((why, again)) if attempt == TRIES || again.is_none() => {
                    tracing::warn!(%why, spans = count, "spans were not taken by the collector");
                    break;
                }
                Err((_, again)) => {
                    sleep(again.unwrap_or_default().max(pause)).await;
                    pause *= 2;
                }
            }
        }
        self.failed.inc_by(count);
    }

    fn message(&self, spans: Vec<Span>) -> Export {
        let attributes =
            self.settings.resource.iter().map(|(name, value)| KeyValue::new(name, value.as_str())).collect();
        let scope = Scope { name: "tollway-proxy".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() };
        let scope_spans = vec![ScopeSpans { scope: Some(scope), spans }];
        Export { resource_spans: vec![ResourceSpans { resource: Some(Resource { attributes }), scope_spans }] }
    }

    /// One request; an error says whether another may go better, and after how long.
    async fn post(&self, body: Bytes) -> Result<(), (String, Option<Duration>)> {
        let Settings { endpoint, headers, timeout, .. } = &self.settings;
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = endpoint.clone();
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        let agent = concat!("tollway/", env!("CARGO_PKG_VERSION"));
        request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(agent));
        for (name, value) in headers {
            request.headers_mut().insert(name, value.clone());
        }
        let until = Instant::now() + *timeout;
        // Who runs the proxy says where its collector is; that may well be this machine.
        let sent = timeout_at(until, self.upstream.send(request, Policy::Loopback, *timeout)).await;
        let response = match sent {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err((error.to_string(), Some(Duration::ZERO))),
            Err(_) => return Err(("no answer in time".to_owned(), Some(Duration::ZERO))),
        };
        let (head, body) = response.into_parts();
        // Read, so that the connection serves again.
        let _ = read::whole(body, ANSWER, *timeout, until).await;
        if head.status.is_success() {
            return Ok(());
        }
        let passes = matches!(
            head.status,
            StatusCode::TOO_MANY_REQUESTS
                | StatusCode::BAD_GATEWAY
                | StatusCode::SERVICE_UNAVAILABLE
                | StatusCode::GATEWAY_TIMEOUT
        );
        let after = head.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let after = Duration::from_secs(after.unwrap_or(0).min(30));
        Err((format!("it answered {}", head.status), passes.then_some(after)))
    }
}
