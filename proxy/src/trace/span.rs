//! A request or an attempt while it runs in, its span out when it ends.

use super::otlp::{self, KeyValue, Status, Value};
use super::{Context, Tracer};
use http::HeaderValue;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tollway_core::spend::{Nano, Usage};

const SERVER: i32 = 2;
const CLIENT: i32 = 3;
const ERROR: i32 = 2;

/// The span of a client's request.
#[derive(Clone, Debug)]
pub struct RequestSpan(Open);

/// The span of one attempt on a target.
#[derive(Debug)]
pub struct AttemptSpan(Open);

#[derive(Clone, Debug)]
struct Open {
    tracer: Tracer,
    context: Context,
    parent: Vec<u8>,
    name: String,
    began: SystemTime,
}

/// What an attempt was, by the names of its resources and of the GenAI conventions.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    pub route: &'a str,
    pub target: &'a str,
    pub operation: &'a str,
    pub provider: &'a str,
    pub model: &'a str,
}

impl RequestSpan {
    pub(super) fn new(
        tracer: Tracer,
        context: Context,
        parent: Option<Context>,
        name: &str,
        began: SystemTime,
    ) -> Self {
        let parent = parent.map(|parent| parent.span.to_vec()).unwrap_or_default();
        Self(Open { tracer, context, parent, name: name.to_owned(), began })
    }

    /// The trace's id as people write it.
    #[must_use]
    pub fn trace_id(&self) -> String {
        self.0.context.trace_id()
    }

    /// An attempt that begins now.
    #[must_use]
    pub fn attempt(&self) -> AttemptSpan {
        let Self(Open { tracer, context, .. }) = self;
        AttemptSpan(Open {
            tracer: tracer.clone(),
            context: context.child(),
            parent: context.span.to_vec(),
            name: String::new(),
            began: SystemTime::now(),
        })
    }

    /// The request is over, its stream included.
    pub fn end(self, attributes: impl FnOnce(&mut Attributes), error: Option<&str>) {
        self.0.end(SERVER, attributes, error);
    }
}

impl AttemptSpan {
    /// What ties the target's own spans to this one.
    #[must_use]
    pub fn header(&self) -> HeaderValue {
        self.0.context.header()
    }

    /// The attempt is over.
    pub fn end(
        mut self,
        of: Target<'_>,
        usage: Option<&Usage>,
        cost: Option<Nano>,
        first: Option<Duration>,
        error: Option<&str>,
    ) {
        let Target { route, target, operation, provider, model } = of;
        self.0.name = format!("{operation} {model}").trim_end().to_owned();
        let attributes = |span: &mut Attributes| {
            span.set("gen_ai.operation.name", operation);
            span.set("gen_ai.provider.name", provider);
            span.set("gen_ai.request.model", model);
            span.set("tollway.route", route);
            span.set("tollway.target", target);
            if let Some(Usage { input, output, cache_read, cache_write, cache_write_1h }) = usage {
                let written = cache_write + cache_write_1h;
                span.set("gen_ai.usage.input_tokens", input + cache_read + written);
                span.set("gen_ai.usage.output_tokens", *output);
                span.set("gen_ai.usage.cache_read.input_tokens", *cache_read);
                span.set("gen_ai.usage.cache_creation.input_tokens", written);
            }
            span.cost(cost);
            if let Some(first) = first {
                span.set("gen_ai.response.time_to_first_chunk", first.as_secs_f64());
            }
        };
        self.0.end(CLIENT, attributes, error);
    }
}

/// What a span says.
#[derive(Debug, Default)]
pub struct Attributes(Vec<KeyValue>);

impl Attributes {
    pub fn set(&mut self, name: &str, value: impl Into<Value>) {
        self.0.push(KeyValue::new(name, value));
    }

    /// What it cost in dollars, for people and graphs; sums that matter stay in nano-dollars.
    pub fn cost(&mut self, cost: Option<Nano>) {
        #[expect(clippy::cast_precision_loss, reason = "a graph needs no more digits")]
        if let Some(Nano(cost)) = cost {
            let dollars = cost as f64 / 1e9;
            self.set("tollway.cost_usd", dollars);
            self.set("gen_ai.usage.cost", dollars);
        }
    }
}

impl Open {
    fn end(self, kind: i32, attributes: impl FnOnce(&mut Attributes), error: Option<&str>) {
        let Self { tracer, context, parent, name, began } = self;
        if !context.is_sampled {
            return;
        }
        let mut said = Attributes::default();
        attributes(&mut said);
        if let Some(error) = error {
            said.set("error.type", error);
        }
        let nanos = |at: SystemTime| {
            at.duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
        };
        tracer.send(otlp::Span {
            trace_id: context.trace.to_vec(),
            span_id: context.span.to_vec(),
            parent_span_id: parent,
            name,
            kind,
            start_time_unix_nano: nanos(began),
            end_time_unix_nano: nanos(SystemTime::now().max(began)),
            attributes: said.0,
            status: error.map(|error| Status { message: error.to_owned(), code: ERROR }),
        });
    }
}
