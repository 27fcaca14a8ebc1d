//! One request's story in; one structured log line and one count out. No body, no header value, no secret is ever part of it.

use crate::error::Code;
use crate::limit;
use crate::metrics::{Decision, Outcome, RouteMeter};
use crate::trace::{Attributes, RequestSpan};
use http::StatusCode;
use std::sync::Arc;
use std::time::SystemTime;
use tokio::time::Instant;
use tollway_core::spend::{Nano, Usage};

/// What is known of one request; written when it ends, its stream included.
#[derive(Debug)]
pub struct Entry {
    pub id: String,
    pub began: Instant,
    pub surface: &'static str,
    pub stream: bool,
    pub client: Option<String>,
    pub route: Option<String>,
    pub target: Option<String>,
    pub attempts: u32,
    pub status: StatusCode,
    pub code: Option<Code>,
    pub usage: Option<Usage>,
    pub cost: Option<Nano>,
    pub meter: Option<Arc<RouteMeter>>,
    /// What it took from the route's rates.
    pub limited: Option<limit::Held>,
    /// Where the request is traced.
    pub span: Option<RequestSpan>,
    /// What its budgets have left.
    pub remaining: Option<Nano>,
    /// How it ended; until said otherwise, by the client going away.
    pub outcome: Outcome,
}

impl Entry {
    #[must_use]
    pub const fn new(id: String, now: Instant) -> Self {
        Self {
            id,
            began: now,
            surface: "",
            stream: false,
            client: None,
            route: None,
            target: None,
            attempts: 0,
            status: StatusCode::OK,
            code: None,
            usage: None,
            cost: None,
            meter: None,
            limited: None,
            span: None,
            remaining: None,
            outcome: Outcome::Disconnected,
        }
    }
}

impl Entry {
    /// An attempt was made on `target`.
    pub fn tried(&mut self, target: &str) {
        self.attempts += 1;
        self.target = Some(target.to_owned());
    }
}

impl Entry {
    fn describe(&self, span: &mut Attributes, usage: &Usage) {
        span.set("http.request.method", "POST");
        span.set("http.response.status_code", u64::from(self.status.as_u16()));
        span.set("tollway.request_id", self.id.as_str());
        span.set("tollway.surface", self.surface);
        span.set("tollway.stream", self.stream);
        span.set("tollway.attempts", u64::from(self.attempts));
        span.set("tollway.outcome", self.outcome.name());
        for (name, value) in [
            ("tollway.client", self.client.as_deref()),
            ("tollway.route", self.route.as_deref()),
            ("tollway.target", self.target.as_deref()),
        ] {
            if let Some(value) = value {
                span.set(name, value);
            }
        }
        span.set("tollway.input_tokens", usage.input);
        span.set("tollway.output_tokens", usage.output);
        span.cost(self.cost);
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if let Some(meter) = &self.meter {
            meter.request(self.outcome);
        }
        let usage = self.usage.unwrap_or_default();
        // Without a usage, what was reserved stays taken, unless nothing was ever answered.
        let used = self.usage.map(|usage| usage.tokens()).or_else(|| self.outcome.is_unanswered().then_some(0));
        if let (Some(held), Some(used)) = (self.limited.take(), used) {
            held.settle(used, Instant::now());
        }
        let span = self.span.take();
        tracing::info!(
            target: "access",
            id = %self.id,
            trace_id = span.as_ref().map(RequestSpan::trace_id),
            surface = self.surface,
            stream = self.stream,
            client = self.client.as_deref(),
            route = self.route.as_deref(),
            target_name = self.target.as_deref(),
            attempts = self.attempts,
            status = self.status.as_u16(),
            outcome = ?self.outcome,
            code = self.code.map(Code::as_str),
            input_tokens = usage.input,
            output_tokens = usage.output,
            cost_usd = self.cost.map(tracing::field::display),
            took_ms = self.began.elapsed().as_secs_f64() * 1e3,
            "request",
        );
        let reason = (self.outcome != Outcome::Ok).then(|| self.code.map_or(self.outcome.name(), Code::as_str));
        if let Some(span) = span {
            span.end(|attributes| self.describe(attributes, &usage), reason);
        }
        if let (Some(meter), Some(route)) = (&self.meter, self.route.take()) {
            meter.decided(Decision {
                at: SystemTime::now(),
                id: std::mem::take(&mut self.id),
                route,
                target: self.target.take(),
                attempts: self.attempts,
                status: self.status.as_u16(),
                reason,
                cost: self.cost,
                took: self.began.elapsed(),
            });
        }
    }
}
