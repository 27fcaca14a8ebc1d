//! An answer or an error in, the response out, with the headers that say where it came from and what it cost.

use crate::access::Entry;
use crate::attempt::{Answer, Stream};
use crate::auth::{self, tokens::Tokens};
use crate::body::{Body, Pace, Relay, Running};
use crate::cache::{Kept, Place};
use crate::dialect::{ATTEMPTS, CACHE, COST, Dialect, REMAINING, REQUEST_ID, ROUTE, TARGET, explain};
use crate::embed::jobs::Pages;
use crate::embed::{Answered, Lines};
use crate::error::{ApiError, Code};
use crate::metrics::Outcome;
use crate::source::Serving;
use crate::surface::openai::{render_model, render_models};
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, TE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use std::sync::Arc;
use tollway_core::spend::{Nano, Usage};
use tollway_core::table::Embedding;

/// What the stack has to say.
#[derive(Debug)]
pub enum Reply {
    Models(Bytes),
    Count(Bytes),
    Whole {
        body: Bytes,
        dialect: Dialect,
        usage: Option<Usage>,
        cost: Option<Nano>,
        place: Option<Place>,
    },
    Stream {
        stream: Box<Stream>,
        dialect: Dialect,
        pace: Pace,
        wants_trailers: bool,
        place: Option<Place>,
    },
    /// What the same request got before.
    Kept {
        kept: Arc<Kept>,
        dialect: Dialect,
        stream: bool,
    },
    /// Of an embedding endpoint.
    Vectors(Answered),
    Lines(Box<Lines>),
    /// What there is to say of a job, or of several.
    Job(StatusCode, Bytes),
    /// A job's result.
    Pages(Pages),
}

impl Reply {
    /// The reply that an answered attempt makes, and where the answer is kept.
    pub fn of(answer: Answer, dialect: Dialect, pace: Pace, headers: &HeaderMap, place: Option<Place>) -> Self {
        match answer {
            Answer::Whole { body, usage, cost } => Self::Whole { body, dialect, usage, cost, place },
            Answer::Stream(stream) => {
                let te = headers.get_all(TE).iter().filter_map(|value| value.to_str().ok());
                let wants_trailers = te.flat_map(|value| value.split(',')).any(|part| part.trim() == "trailers");
                Self::Stream { stream, dialect, pace, wants_trailers, place }
            }
        }
    }
}

/// The response to a request that was served.
pub fn answer(reply: Reply, mut entry: Entry) -> Response<Body> {
    let mut headers = HeaderMap::with_capacity(8);
    describe(&mut headers, &entry);
    let kind = match &reply {
        Reply::Models(_) | Reply::Count(_) | Reply::Job(..) => "application/json",
        Reply::Whole { dialect, .. } => dialect.content_type(false),
        Reply::Stream { dialect, .. } => dialect.content_type(true),
        Reply::Kept { dialect, stream, .. } => dialect.content_type(*stream),
        Reply::Vectors(answered) => answered.head.content_type,
        Reply::Lines(lines) => lines.head.content_type,
        Reply::Pages(pages) => pages.content_type,
    };
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    let status = if let Reply::Job(status, _) = &reply { *status } else { StatusCode::OK };
    let body = match reply {
        Reply::Models(body) => {
            entry.outcome = Outcome::Ok;
            Body::bytes(body)
        }
        Reply::Count(body) => {
            // Counting uses no tokens, so what a limit on them holds goes back.
            (entry.usage, entry.outcome) = (Some(Usage::default()), Outcome::Ok);
            Body::bytes(body)
        }
        Reply::Whole { body, dialect, usage, cost, place } => {
            dialect.introduce(&mut headers, &entry.id, false, usage.as_ref());
            headers.insert(CACHE, missed(place.as_ref()));
            if let Some(place) = place {
                place.keep(&body, entry.target.as_deref().unwrap_or_default());
            }
            if let Some(value) = cost.and_then(|cost| HeaderValue::try_from(cost.to_string()).ok()) {
                headers.insert(COST, value);
            }
            (entry.usage, entry.cost, entry.outcome) = (usage, cost, Outcome::Ok);
            Body::bytes(body)
        }
        Reply::Kept { kept, dialect, stream } => {
            dialect.introduce(&mut headers, &entry.id, stream, None);
            headers.insert(CACHE, HeaderValue::from_static("hit"));
            headers.insert(COST, HeaderValue::from_static("0"));
            if stream {
                headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
            }
            // Nothing was asked of a provider.
            (entry.usage, entry.cost, entry.outcome) = (Some(Usage::default()), Some(Nano::ZERO), Outcome::Ok);
            Body::bytes(kept.body.clone())
        }
        Reply::Vectors(Answered { body, head, headers: own, usage, cost }) => {
            headers.extend(own);
            headers.insert(CACHE, HeaderValue::from_static(head.cache));
            if let Ok(value) = HeaderValue::try_from(cost.to_string()) {
                headers.insert(COST, value);
            }
            (entry.usage, entry.cost, entry.outcome) = (usage, Some(cost), Outcome::Ok);
            Body::pieces(body)
        }
        Reply::Job(status, body) => {
            // What a job costs is told by itself.
            (entry.status, entry.outcome) = (status, Outcome::Ok);
            Body::bytes(body)
        }
        Reply::Pages(pages) => {
            entry.outcome = Outcome::Ok;
            Body::pages(pages)
        }
        Reply::Lines(lines) => {
            headers.insert(CACHE, HeaderValue::from_static(lines.head.cache));
            Body::lines(Box::new(lines.told_by(entry)))
        }
        Reply::Stream { stream, dialect, pace, wants_trailers, place } => {
            headers.insert(CACHE, missed(place.as_ref()));
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
            if wants_trailers {
                headers.insert(http::header::TRAILER, HeaderValue::from_static("x-tollway-cost-usd"));
            }
            dialect.introduce(&mut headers, &entry.id, true, None);
            let Stream { source, first, metered } = *stream;
            let mut recording = place.map(|place| place.record(entry.target.as_deref().unwrap_or_default()));
            if let Some(recording) = &mut recording {
                recording.push(&first);
            }
            let running = Running { source, metered, entry, recording };
            Body::stream(Relay::new(running, first, dialect, pace, wants_trailers))
        }
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// Whether an answer that was not at hand is kept from now on.
const fn missed(place: Option<&Place>) -> HeaderValue {
    HeaderValue::from_static(if place.is_some() { "miss" } else { "off" })
}

/// The one place where an error becomes a response.
pub fn rescue(error: &ApiError, dialect: Dialect, mut entry: Entry) -> Response<Body> {
    let status = dialect.status(error);
    (entry.status, entry.code, entry.outcome) = (status, Some(error.code), outcome(error.code));
    let mut response = Response::new(Body::bytes(dialect.error(error)));
    *response.status_mut() = status;
    describe(response.headers_mut(), &entry);
    explain(response.headers_mut(), error, dialect);
    response
}

const fn outcome(code: Code) -> Outcome {
    match code {
        Code::BudgetExceeded | Code::BudgetUnavailable | Code::PriceUnknown => Outcome::OverBudget,
        Code::RateLimited => Outcome::RateLimited,
        Code::UpstreamUnavailable => Outcome::UpstreamFailed,
        Code::NotReady => Outcome::NotServed,
        Code::ModelNotFound
        | Code::InvalidRequest
        | Code::InvalidApiKey
        | Code::UnsupportedField
        | Code::PayloadTooLarge => Outcome::Refused,
    }
}

/// Where a response came from. Names of resources are always header text.
fn describe(headers: &mut HeaderMap, entry: &Entry) {
    let text = |value: &str| HeaderValue::from_str(value).ok();
    let parts = [
        (REQUEST_ID, text(&entry.id)),
        (ROUTE, entry.route.as_deref().and_then(text)),
        (TARGET, entry.target.as_deref().and_then(text)),
        (REMAINING, entry.remaining.and_then(|left| text(&left.to_string()))),
        (ATTEMPTS, entry.route.is_some().then(|| HeaderValue::from(entry.attempts))),
    ];
    for (name, value) in parts {
        if let Some(value) = value {
            headers.insert(name, value);
        }
    }
    if let Some(held) = &entry.limited {
        held.shown.write(headers);
    }
}

/// Every name the caller may send, without the wildcard; or the one asked for, if it is among them.
pub fn models(
    serving: &Serving,
    tokens: &Tokens,
    gateway: bool,
    headers: &HeaderMap,
    asked: Option<&str>,
) -> Option<Bytes> {
    let open = |name: &String| {
        if let Some(endpoint) = Embedding::named(name) {
            return !gateway && serving.table.embeddings.contains_key(endpoint);
        }
        let route = serving.table.routes.get(name);
        let admits = |auth| {
            let by_token = tokens.at_hand(auth, headers);
            by_token.unwrap_or_else(|| auth::authenticate(auth, &serving.secrets, headers, None)).is_ok()
        };
        route.is_some_and(|route| (route.auth.is_some() || !gateway) && admits(route.auth.as_ref()))
    };
    let mut names = serving.table.models.iter().filter(|(name, route)| *name != "*" && open(route));
    match asked {
        None => Some(render_models(names.map(|(name, _)| name.as_str()), 0)),
        Some(asked) => names.find(|(name, _)| *name == asked).map(|(name, _)| render_model(name, 0)),
    }
}

/// A name for one request, unlikely to be given twice.
pub fn request_id() -> String {
    format!("{:016x}{:08x}", fastrand::u64(..), fastrand::u32(..))
}
