//! `ApiError`: whatever stops a request, as data; the client's surface renders it in that dialect.

use http::StatusCode;
use std::time::Duration;

/// The error codes a client may see and program against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    BudgetExceeded,
    BudgetUnavailable,
    PriceUnknown,
    RateLimited,
    ModelNotFound,
    InvalidRequest,
    InvalidApiKey,
    UnsupportedField,
    PayloadTooLarge,
    UpstreamUnavailable,
    NotReady,
}

impl Code {
    /// The code as clients and metrics read it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BudgetExceeded => "budget_exceeded",
            Self::BudgetUnavailable => "budget_unavailable",
            Self::PriceUnknown => "price_unknown",
            Self::RateLimited => "rate_limited",
            Self::ModelNotFound => "model_not_found",
            Self::InvalidRequest => "invalid_request",
            Self::InvalidApiKey => "invalid_api_key",
            Self::UnsupportedField => "unsupported_field",
            Self::PayloadTooLarge => "payload_too_large",
            Self::UpstreamUnavailable => "upstream_unavailable",
            Self::NotReady => "not_ready",
        }
    }

    /// The status that goes with the code unless an upstream said a nearer one.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::BudgetExceeded | Self::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            Self::BudgetUnavailable | Self::NotReady | Self::UpstreamUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::PriceUnknown => StatusCode::FORBIDDEN,
            Self::ModelNotFound => StatusCode::NOT_FOUND,
            Self::InvalidRequest | Self::UnsupportedField => StatusCode::BAD_REQUEST,
            Self::InvalidApiKey => StatusCode::UNAUTHORIZED,
            Self::PayloadTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        }
    }
}

/// One clear error: what was wrong, where, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", code.as_str())]
pub struct ApiError {
    pub code: Code,
    pub status: StatusCode,
    pub message: String,
    /// The request field it is about, as a path such as `messages[0].content`.
    pub param: Option<String>,
    /// When another try may succeed, where that is known.
    pub retry_after: Option<Duration>,
    /// The code a target itself gave; shown instead of ours, so that a client which knows the target's codes still does.
    pub upstream_code: Option<String>,
}

impl ApiError {
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            status: code.status(),
            message: message.into(),
            param: None,
            retry_after: None,
            upstream_code: None,
        }
    }

    /// The request is malformed or asks for what cannot be.
    #[must_use]
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Code::InvalidRequest, message)
    }

    /// A field that no target of the rule can express.
    #[must_use]
    pub fn unsupported(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Code::UnsupportedField, message).param(param)
    }

    /// No target answered; `status` is 502, 503 or 504.
    #[must_use]
    pub fn upstream(status: StatusCode, message: impl Into<String>) -> Self {
        Self::new(Code::UpstreamUnavailable, message).status(status)
    }

    #[must_use]
    pub fn param(self, param: impl Into<String>) -> Self {
        Self { param: Some(param.into()), ..self }
    }

    #[must_use]
    pub fn status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    #[must_use]
    pub fn retry_after(self, retry_after: Option<Duration>) -> Self {
        Self { retry_after, ..self }
    }

    /// Whether a client's own retry is pointless: the answer stays the same until an administrator or the calendar changes it.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        matches!(self.code, Code::BudgetExceeded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_exceeded_budget_tells_clients_not_to_retry() {
        assert!(ApiError::new(Code::BudgetExceeded, "").is_final());
        assert!(!ApiError::new(Code::BudgetUnavailable, "").is_final());
        assert!(!ApiError::new(Code::RateLimited, "").is_final());
    }

    #[test]
    fn a_nearer_status_replaces_the_usual_one() {
        let error = ApiError::upstream(StatusCode::GATEWAY_TIMEOUT, "late");
        assert_eq!((error.code.as_str(), error.status.as_u16()), ("upstream_unavailable", 504));
    }
}
