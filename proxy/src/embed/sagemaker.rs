//! An error of the SageMaker runtime in, what it means out: the container's own status where the service only passes it on.

use crate::chat::{ErrorKind, UpstreamError};
use crate::provider::bedrock;
use http::HeaderMap;
use serde::Deserialize;

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Body {
    original_status_code: Option<u16>,
    original_message: Option<String>,
    message: Option<String>,
}

/// Reads an HTTP error response.
#[must_use]
pub fn decode_error(status: u16, headers: &HeaderMap, body: &[u8]) -> UpstreamError {
    let error = bedrock::decode_error(status, headers, body);
    let Body { original_status_code, original_message, message } = serde_json::from_slice(body).unwrap_or_default();
    // The service's word for an endpoint that does not exist; the texts are not at fault.
    if status == 400
        && message.as_deref().is_some_and(|text| text.starts_with("Endpoint ") && text.contains("not found"))
    {
        return UpstreamError { kind: ErrorKind::NotFound, ..error };
    }
    let kind = match original_status_code.filter(|_| status == 424) {
        Some(400 | 413 | 422) => ErrorKind::InvalidRequest,
        Some(408) => ErrorKind::Timeout,
        Some(429) => ErrorKind::Throttled,
        _ => return error,
    };
    UpstreamError { kind, message: original_message.unwrap_or(error.message), ..error }
}

/// What the service says when no copy of an inference component runs; it has no code of its own for that.
#[must_use]
pub fn no_capacity(status: u16, body: &[u8]) -> Option<String> {
    let message = serde_json::from_slice::<Body>(body).ok()?.message?;
    (status == 400 && message.contains("no capacity to process")).then_some(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_without_copies_is_told_from_a_wrong_request() {
        let words =
            "Inference Component has no capacity to process this request. ApplicationAutoScaling may be in-progress.";
        let body = format!("{{\"Message\":\"{words}\"}}");
        assert_eq!(no_capacity(400, body.as_bytes()).as_deref(), Some(words));
        assert_eq!(no_capacity(424, body.as_bytes()), None);
        assert_eq!(no_capacity(400, b"{\"Message\":\"Value is too long\"}"), None);
        assert_eq!(no_capacity(400, b"no capacity to process"), None);
    }

    #[test]
    fn the_containers_own_status_decides() {
        let kind = |status, body: &str| decode_error(status, &HeaderMap::new(), body.as_bytes()).kind;
        let container = |of: u16| {
            format!(
                "{{\"ErrorCode\":\"X\",\"OriginalStatusCode\":{of},\"OriginalMessage\":\"words\",\"Message\":\"m\"}}"
            )
        };
        assert_eq!(kind(424, &container(413)), ErrorKind::InvalidRequest);
        assert_eq!(kind(424, &container(429)), ErrorKind::Throttled);
        assert_eq!(kind(424, &container(500)), ErrorKind::Model);
        assert_eq!(kind(424, "{}"), ErrorKind::Model);
        assert_eq!(kind(503, "<html>"), ErrorKind::Unavailable);
        assert_eq!(kind(400, "{\"Message\":\"Endpoint e of account 1 not found.\"}"), ErrorKind::NotFound);
        assert_eq!(kind(400, "{\"Message\":\"Value is too long\"}"), ErrorKind::InvalidRequest);
        assert_eq!(decode_error(424, &HeaderMap::new(), container(400).as_bytes()).message, "words");
    }
}
