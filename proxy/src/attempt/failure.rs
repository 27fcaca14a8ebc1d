//! How an upstream failed in; whether another target is tried, what the circuit counts and what the client is told out.

use crate::chat::{ErrorKind, UpstreamError};
use crate::error::{ApiError, Code};
use crate::metrics::Attempt;
use crate::provider::openai::Said;
use http::header::RETRY_AFTER;
use http::response::Parts;
use http::{HeaderMap, HeaderName, StatusCode};
use std::time::Duration;

const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");

/// When it is worth asking again for what starts within minutes.
const COLD: Duration = Duration::from_secs(30);

/// One failed attempt.
#[derive(Debug)]
pub struct Failure {
    /// What the client is told if this is the last word.
    pub error: ApiError,
    /// Another target would say the same: the request itself, or the right to make it, is at fault.
    pub stops: bool,
    pub attempt: Attempt,
}

impl Failure {
    fn next(attempt: Attempt, status: StatusCode, message: String) -> Self {
        Self { error: ApiError::upstream(status, message), stops: false, attempt }
    }

    #[must_use]
    pub fn unreachable(target: &str, reason: &str) -> Self {
        Self::next(Attempt::Unreachable, StatusCode::BAD_GATEWAY, format!("target {target:?} is unreachable: {reason}"))
    }

    #[must_use]
    pub fn broken(target: &str, reason: &str) -> Self {
        Self::next(Attempt::Cut, StatusCode::BAD_GATEWAY, format!("target {target:?} broke off: {reason}"))
    }

    #[must_use]
    pub fn late(target: &str) -> Self {
        let message = format!("target {target:?} did not answer within the route's time-outs");
        Self::next(Attempt::TimedOut, StatusCode::GATEWAY_TIMEOUT, message)
    }

    /// No copy of the target's inference component runs.
    #[must_use]
    pub fn no_capacity(target: &str, words: &str) -> Self {
        let message = format!("target {target:?} has no copy running yet: {words}");
        Self::next(Attempt::NoCapacity, StatusCode::SERVICE_UNAVAILABLE, message).after(Some(COLD))
    }

    #[must_use]
    pub fn pretended(target: &str, number: u64) -> Self {
        let message = format!("target {target:?} fails its request {number} as `failEvery` says");
        Self::next(Attempt::Failed, StatusCode::SERVICE_UNAVAILABLE, message)
    }

    /// The same failure, with the time after which the upstream wants to be asked again.
    #[must_use]
    pub const fn after(mut self, retry_after: Option<Duration>) -> Self {
        self.error.retry_after = retry_after;
        self
    }

    /// A complete HTTP error before any stream.
    #[must_use]
    pub fn status(target: &str, head: &Parts, said: &Said) -> Self {
        let status = head.status;
        let words = said.message.as_deref().unwrap_or_else(|| status.canonical_reason().unwrap_or("no reason given"));
        let message = format!("target {target:?} answered {}: {words}", status.as_u16());
        let (attempt, stops, error) = match status.as_u16() {
            429 => (Attempt::Throttled, false, ApiError::new(Code::RateLimited, message)),
            408 => (Attempt::TimedOut, false, ApiError::upstream(StatusCode::GATEWAY_TIMEOUT, message)),
            424 | 300..=399 | 500.. => (Attempt::Failed, false, ApiError::upstream(seen_as(status), message)),
            401 | 403 => {
                // The words may quote a part of the key, so they are not passed on.
                let message = format!("target {target:?} refused the proxy's credentials ({})", status.as_u16());
                (Attempt::Refused, true, ApiError::upstream(status, message))
            }
            404 => (Attempt::Refused, true, ApiError::new(Code::ModelNotFound, message)),
            _ => (Attempt::Refused, true, ApiError::invalid(words).status(status)),
        };
        let passed_on = stops && !matches!(status.as_u16(), 401 | 403);
        let (param, upstream_code) =
            if passed_on { (said.param.clone(), said.code.clone()) } else { (error.param.clone(), None) };
        let retry_after = retry_after(&head.headers);
        Self { error: ApiError { param, upstream_code, retry_after, ..error }, stops, attempt }
    }

    /// A failure that the provider reported inside its answer, or that the answer itself is.
    #[must_use]
    pub fn inside(target: &str, error: &UpstreamError) -> Self {
        let attempt = match error.kind {
            kind if kind.is_back_off() => Attempt::Throttled,
            ErrorKind::Timeout => Attempt::TimedOut,
            ErrorKind::Truncated => Attempt::Cut,
            kind if kind.falls_back() => Attempt::Failed,
            _ => Attempt::Refused,
        };
        let told = ApiError::from(error.clone());
        let message = format!("target {target:?}: {}", told.message);
        Self { error: ApiError { message, ..told }, stops: !error.kind.falls_back(), attempt }
    }
}

/// The status by which the client sees an upstream's: 503 and 504 keep their meaning, the rest is a bad gateway.
const fn seen_as(status: StatusCode) -> StatusCode {
    match status.as_u16() {
        503 | 529 => StatusCode::SERVICE_UNAVAILABLE,
        504 => StatusCode::GATEWAY_TIMEOUT,
        _ => StatusCode::BAD_GATEWAY,
    }
}

impl From<UpstreamError> for ApiError {
    fn from(error: UpstreamError) -> Self {
        let message = error.to_string();
        match error.kind {
            ErrorKind::InvalidRequest => Self::invalid(message),
            ErrorKind::AccessDenied => Self::upstream(StatusCode::FORBIDDEN, message),
            ErrorKind::NotFound => Self::new(Code::ModelNotFound, message),
            ErrorKind::QuotaExceeded => Self::invalid(message),
            ErrorKind::Throttled | ErrorKind::NotReady => Self::new(Code::RateLimited, message),
            ErrorKind::Timeout => Self::upstream(StatusCode::GATEWAY_TIMEOUT, message),
            ErrorKind::Unavailable => Self::upstream(StatusCode::SERVICE_UNAVAILABLE, message),
            ErrorKind::Model | ErrorKind::Internal | ErrorKind::Truncated | ErrorKind::Malformed => {
                Self::upstream(StatusCode::BAD_GATEWAY, message)
            }
        }
    }
}

/// When the upstream wants to be asked again: seconds, milliseconds, or a date.
#[must_use]
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    if let Some(millis) = text(RETRY_AFTER_MS).and_then(|text| text.parse().ok()) {
        return Some(Duration::from_millis(millis));
    }
    let text = text(RETRY_AFTER)?;
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    Some(Duration::try_from(at.duration_since(jiff::Timestamp::now())).unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderValue, Response};

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn every_status_goes_on_or_stops_as_the_rule_says() {
        for (status, stops, attempt, seen) in [
            (400, true, Attempt::Refused, 400),
            (401, true, Attempt::Refused, 401),
            (403, true, Attempt::Refused, 403),
            (404, true, Attempt::Refused, 404),
            (408, false, Attempt::TimedOut, 504),
            (413, true, Attempt::Refused, 413),
            (424, false, Attempt::Failed, 502),
            (429, false, Attempt::Throttled, 429),
            (301, false, Attempt::Failed, 502),
            (500, false, Attempt::Failed, 502),
            (503, false, Attempt::Failed, 503),
            (504, false, Attempt::Failed, 504),
            (529, false, Attempt::Failed, 503),
        ] {
            let (head, ()) = Response::builder().status(status).body(()).unwrap().into_parts();
            let failure = Failure::status("a", &head, &Said::default());
            let told = (failure.stops, failure.attempt, failure.error.status.as_u16());
            assert_eq!(told, (stops, attempt, seen), "{status}");
        }
    }

    #[test]
    fn every_provider_error_goes_on_or_stops_as_the_rule_says() {
        for (kind, stops, attempt, seen) in [
            (ErrorKind::InvalidRequest, true, Attempt::Refused, 400),
            (ErrorKind::AccessDenied, true, Attempt::Refused, 403),
            (ErrorKind::NotFound, true, Attempt::Refused, 404),
            (ErrorKind::QuotaExceeded, true, Attempt::Refused, 400),
            (ErrorKind::Throttled, false, Attempt::Throttled, 429),
            (ErrorKind::NotReady, false, Attempt::Throttled, 429),
            (ErrorKind::Timeout, false, Attempt::TimedOut, 504),
            (ErrorKind::Model, false, Attempt::Failed, 502),
            (ErrorKind::Internal, false, Attempt::Failed, 502),
            (ErrorKind::Unavailable, false, Attempt::Failed, 503),
            (ErrorKind::Truncated, false, Attempt::Cut, 502),
            (ErrorKind::Malformed, false, Attempt::Failed, 502),
        ] {
            let error = UpstreamError { kind, status: 418, name: "Name".to_owned(), message: "words".to_owned() };
            let failure = Failure::inside("a", &error);
            let told = (failure.stops, failure.attempt, failure.error.status.as_u16());
            assert_eq!(told, (stops, attempt, seen), "{kind:?}");
            assert!(failure.error.message.contains("words"));
        }
    }

    #[test]
    fn retry_after_is_read_in_all_its_forms() {
        let seconds = |name, value| retry_after(&headers(name, value)).map(|after| after.as_millis());
        assert_eq!(seconds("retry-after", "7"), Some(7_000));
        assert_eq!(seconds("retry-after-ms", "250"), Some(250));
        assert_eq!(seconds("retry-after", "Wed, 21 Oct 2015 07:28:00 GMT"), Some(0));
        assert!(seconds("retry-after", "Fri, 01 Jan 2100 00:00:00 GMT").unwrap() > 0);
        assert_eq!(seconds("retry-after", "soon"), None);
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }
}
