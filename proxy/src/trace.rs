//! Requests and attempts in, OpenTelemetry spans out to a collector: with the GenAI conventions, without a word of prompts or answers.
//!
//! # Why no OpenTelemetry SDK
//! What is needed of it is two kinds of spans, one protocol and a bounded queue; the SDK brings a second HTTP client or a wrapper for ours, and
//! its spans allocate where nothing is traced. The protocol's messages are written with `prost`, which the control channel uses already.

mod context;
mod export;
mod otlp;
mod settings;
mod span;

pub use context::Context;
pub use settings::Settings;
pub use span::{AttemptSpan, Attributes, RequestSpan, Target};

use export::Exporter;
use http::{HeaderMap, HeaderValue};
use prometheus::IntCounterVec;
use settings::Sampler;
use std::sync::Arc;
use std::time::SystemTime;

pub const TRACEPARENT: &str = "traceparent";
pub const TRACESTATE: &str = "tracestate";

/// Makes spans, where they are wanted.
#[derive(Clone, Debug, Default)]
pub struct Tracer(Option<Arc<Tracing>>);

#[derive(Debug)]
struct Tracing {
    sampler: Sampler,
    exporter: Exporter,
}

impl Tracer {
    /// Sends spans to where `settings` say, from the runtime that this is called in. `counted` takes what became of them.
    #[must_use]
    pub fn start(settings: Settings, counted: &IntCounterVec) -> Self {
        let sampler = settings.sampler;
        let exporter = Exporter::start(settings, counted);
        Self(Some(Arc::new(Tracing { sampler, exporter })))
    }

    /// The span of a request that has just come in; `None`: it is not traced.
    #[must_use]
    pub fn begin(&self, headers: &HeaderMap, name: &'static str) -> Option<RequestSpan> {
        let tracing = self.0.as_ref()?;
        let parent = headers.get(TRACEPARENT).and_then(|value| Context::read(value.as_bytes()));
        let context = parent.as_ref().map_or_else(Context::root, Context::child);
        let context = Context { is_sampled: tracing.sampler.takes(parent.as_ref(), &context), ..context };
        Some(RequestSpan::new(self.clone(), context, parent, name, SystemTime::now()))
    }

    fn send(&self, span: otlp::Span) {
        if let Some(tracing) = &self.0 {
            tracing.exporter.take(span);
        }
    }

    /// Waits until what was sent so far is out, or the collector's time-out has passed.
    pub async fn flush(&self) {
        if let Some(tracing) = &self.0 {
            tracing.exporter.flush().await;
        }
    }
}

/// Ties an upstream's spans to ours; where nothing is traced, to the caller's own.
pub fn pass_on(to: &mut HeaderMap, from: &HeaderMap, attempt: Option<HeaderValue>) {
    let parent = attempt.or_else(|| from.get(TRACEPARENT).cloned());
    for (name, value) in [(TRACEPARENT, parent), (TRACESTATE, from.get(TRACESTATE).cloned())] {
        if let Some(value) = value {
            to.insert(name, value);
        }
    }
}
