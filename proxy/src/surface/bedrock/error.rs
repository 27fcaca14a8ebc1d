//! Errors in; AWS's type, status, body and headers out, and the exception that ends a stream.

use super::call::Api;
use super::stream::frame;
use crate::error::{ApiError, Code};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tollway_core::spend::Usage;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
const CONTENT: HeaderName = HeaderName::from_static("x-amzn-bedrock-content-type");
const INPUT_TOKENS: HeaderName = HeaderName::from_static("x-amzn-bedrock-input-token-count");
const OUTPUT_TOKENS: HeaderName = HeaderName::from_static("x-amzn-bedrock-output-token-count");
const ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");

/// Types that the runtime's service model has, each with its status; of the signature errors, those that clients know.
const STATUSES: [(&str, StatusCode); 17] = [
    ("ValidationException", StatusCode::BAD_REQUEST),
    ("ServiceQuotaExceededException", StatusCode::BAD_REQUEST),
    ("ConflictException", StatusCode::BAD_REQUEST),
    ("AccessDeniedException", StatusCode::FORBIDDEN),
    ("UnrecognizedClientException", StatusCode::FORBIDDEN),
    ("InvalidSignatureException", StatusCode::FORBIDDEN),
    ("IncompleteSignatureException", StatusCode::FORBIDDEN),
    ("MissingAuthenticationTokenException", StatusCode::FORBIDDEN),
    ("ResourceNotFoundException", StatusCode::NOT_FOUND),
    ("UnknownOperationException", StatusCode::NOT_FOUND),
    ("ModelTimeoutException", StatusCode::REQUEST_TIMEOUT),
    ("ModelErrorException", StatusCode::FAILED_DEPENDENCY),
    ("ModelStreamErrorException", StatusCode::FAILED_DEPENDENCY),
    ("ThrottlingException", StatusCode::TOO_MANY_REQUESTS),
    ("ModelNotReadyException", StatusCode::TOO_MANY_REQUESTS),
    ("InternalServerException", StatusCode::INTERNAL_SERVER_ERROR),
    ("ServiceUnavailableException", StatusCode::SERVICE_UNAVAILABLE),
];

/// AWS's type for an error. An exhausted budget is a quota: SDKs retry a throttling, and it would change nothing.
fn kind(error: &ApiError) -> &str {
    let said = error.upstream_code.as_deref();
    if let Some((known, _)) = STATUSES.iter().find(|(known, _)| Some(*known) == said) {
        return known;
    }
    match (error.code, error.status) {
        (Code::BudgetExceeded, _) => "ServiceQuotaExceededException",
        (Code::RateLimited, _) => "ThrottlingException",
        (Code::ModelNotFound, _) => "ResourceNotFoundException",
        (Code::InvalidRequest, StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED) => "UnknownOperationException",
        (Code::InvalidRequest | Code::UnsupportedField | Code::PayloadTooLarge, _) => "ValidationException",
        (Code::InvalidApiKey, _) => "UnrecognizedClientException",
        (Code::PriceUnknown, _) | (_, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => "AccessDeniedException",
        (_, StatusCode::REQUEST_TIMEOUT | StatusCode::GATEWAY_TIMEOUT) => "ModelTimeoutException",
        (Code::BudgetUnavailable | Code::NotReady, _) | (_, StatusCode::SERVICE_UNAVAILABLE) => {
            "ServiceUnavailableException"
        }
        _ => "InternalServerException",
    }
}

/// The status that AWS's service model gives the error's type.
#[must_use]
pub fn status(error: &ApiError) -> StatusCode {
    if error.code == Code::PayloadTooLarge {
        return error.status;
    }
    let kind = kind(error);
    STATUSES.iter().find(|(known, _)| *known == kind).map_or(error.status, |(_, status)| *status)
}

/// The body of an error response.
#[must_use]
pub fn render_error(error: &ApiError) -> Bytes {
    Bytes::from(serde_json::json!({ "message": error.message }).to_string())
}

/// The header that names the error's type.
pub fn explain(headers: &mut HeaderMap, error: &ApiError) {
    // Every type is one of ours.
    if let Ok(kind) = HeaderValue::from_str(kind(error)) {
        headers.insert(ERROR_TYPE, kind);
    }
}

/// Headers of an answer: who counts the tokens of InvokeModel reads them there.
pub fn introduce(headers: &mut HeaderMap, api: Api, id: &str, stream: bool, usage: Option<&Usage>) {
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert(REQUEST_ID, id);
    }
    if api == Api::Invoke && stream {
        headers.insert(CONTENT, HeaderValue::from_static("application/json"));
    }
    if let Some(usage) = usage.filter(|_| api == Api::Invoke) {
        headers.insert(INPUT_TOKENS, HeaderValue::from(usage.input));
        headers.insert(OUTPUT_TOKENS, HeaderValue::from(usage.output));
    }
}

/// The exception that ends a stream which cannot be completed.
#[must_use]
pub fn render_stream_error(error: &ApiError) -> Bytes {
    // Only these may come inside a stream.
    let name = match kind(error) {
        "ThrottlingException" => "throttlingException",
        "ValidationException" => "validationException",
        "ServiceUnavailableException" => "serviceUnavailableException",
        "InternalServerException" => "internalServerException",
        _ => "modelStreamErrorException",
    };
    let mut out = Vec::new();
    frame(("exception", ":exception-type", name), &serde_json::json!({ "message": error.message }), &mut out);
    Bytes::from(out)
}
