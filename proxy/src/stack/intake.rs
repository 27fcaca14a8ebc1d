//! A request's head and body in; which endpoint it is for and all of its bytes out, or one clear error.

use super::jobs;
use crate::dialect::Dialect;
use crate::embed::{self, Asked};
use crate::error::{ApiError, Code};
use crate::surface::bedrock::{self, Api, Call, decoded};
use crate::surface::embeddings::Request;
use crate::surface::{Form, Peek, sagemaker};
use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, EXPECT};
use http::request::Parts;
use http::{HeaderMap, HeaderName, Method, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use std::time::Duration;
use tokio::time::timeout;
use tollway_core::table::{Embedder, Embedding, Payload};

/// Silence in the middle of a request's body.
const SILENCE: Duration = Duration::from_secs(60);
/// How much more than the limit is read and thrown away, so that a client that is still sending gets to read the refusal.
const LINGER_FACTOR: usize = 4;
const LINGER: Duration = Duration::from_secs(5);

/// What is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// An answer is wanted, in the dialect that the path says.
    Answer,
    /// The number of input tokens is wanted.
    CountTokens,
    Models,
    /// Embedding jobs.
    Jobs,
}

/// The dialect of whoever calls `path`, whether or not it is served.
pub fn dialect(path: &str) -> Dialect {
    if path == "/v1/responses" {
        return Dialect::Responses;
    }
    if path.starts_with("/endpoints/") {
        return Dialect::SageMaker;
    }
    if path.starts_with("/model/") {
        return Dialect::Bedrock(bedrock::call(path).map_or(Api::Converse, |call| call.api));
    }
    if path == "/v1/messages" || path.starts_with("/v1/messages/") { Dialect::Anthropic } else { Dialect::OpenAi }
}

/// The endpoint that a request is for.
pub fn endpoint(head: &Parts) -> Result<Endpoint, ApiError> {
    let (method, path) = (&head.method, head.uri.path());
    if let Some(place) = jobs::place(path) {
        let allowed = jobs::allowed(place);
        let names = || allowed.iter().map(Method::as_str).collect::<Vec<_>>().join(" and ");
        return match allowed.contains(method) {
            true => Ok(Endpoint::Jobs),
            false => Err(not_allowed(path, &names(), method)),
        };
    }
    let (endpoint, allowed) = match path {
        "/v1/chat/completions" | "/v1/messages" | "/v1/responses" | "/v1/embeddings" => {
            (Endpoint::Answer, Method::POST)
        }
        "/v1/messages/count_tokens" => (Endpoint::CountTokens, Method::POST),
        path if path == "/v1/models" || model(path).is_some() => (Endpoint::Models, Method::GET),
        path if bedrock::call(path).is_some() || sagemaker::endpoint(path).is_some() => {
            (Endpoint::Answer, Method::POST)
        }
        _ => {
            let message = format!(
                "nothing is served at {path}; there are /v1/chat/completions, /v1/responses, /v1/embeddings, /v1/embeddings/jobs, /v1/messages, /v1/messages/count_tokens, /v1/models, /v1/models/{{model}}, Bedrock's /model/{{id}}/... and SageMaker's /endpoints/{{name}}/invocations"
            );
            return Err(ApiError::invalid(message).status(StatusCode::NOT_FOUND));
        }
    };
    if *method != allowed {
        return Err(not_allowed(path, allowed.as_str(), method));
    }
    Ok(endpoint)
}

fn not_allowed(path: &str, allowed: &str, method: &Method) -> ApiError {
    ApiError::invalid(format!("{path} takes {allowed}, not {method}")).status(StatusCode::METHOD_NOT_ALLOWED)
}

/// What a request asks of an embedding endpoint.
///
/// # Errors
/// It asks for something else, or for what the endpoint does not do.
pub fn embedding(peek: &Peek, config: &Embedding, headers: &HeaderMap, body: &[u8]) -> Result<Asked, ApiError> {
    let said = |name: HeaderName, wanted: &str| {
        let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        let mut parts = values.flat_map(|value| value.split([',', ';'])).map(str::trim);
        parts.any(|part| part.eq_ignore_ascii_case(wanted))
    };
    let reads_cache = !["no-cache", "no-store", "max-age=0"].iter().any(|word| said(CACHE_CONTROL, word));
    let (texts, form) = match &peek.form {
        Form::Invocation => {
            let payload = match config.sources.first().map(|source| &source.embedder) {
                Some(Embedder::SageMaker(target)) => target.payload,
                _ => Payload::OpenAi,
            };
            (sagemaker::texts(config, headers, body)?, embed::Form::Native(payload))
        }
        Form::Embeddings(Request { texts, dimensions, base64, input_type, unknown }) => {
            if let Some(other) = dimensions.filter(|dimensions| *dimensions != config.dimensions) {
                let message = format!("dimensions: {:?} has {}, not {other}", config.model, config.dimensions);
                return Err(ApiError::invalid(message).param("dimensions"));
            }
            let unsupported = input_type.as_ref().map(|_| "input_type").or(unknown.as_deref());
            if let Some(name) = unsupported {
                return Err(ApiError::unsupported(name, format!("{name} has no meaning for this model; leave it out")));
            }
            let base64 = *base64;
            let lines = said(ACCEPT, "application/x-ndjson");
            (texts.clone(), if lines { embed::Form::Lines { base64 } } else { embed::Form::List { base64 } })
        }
        _ => {
            let message = format!("{:?} embeds texts and gives no answers; use /v1/embeddings", peek.model);
            return Err(ApiError::invalid(message).param("model"));
        }
    };
    Ok(Asked { texts, form, reads_cache })
}

/// The path as spans are named by: without what differs from request to request.
pub fn template(path: &str) -> &'static str {
    const PLAIN: [&str; 6] = [
        "/v1/chat/completions",
        "/v1/messages",
        "/v1/responses",
        "/v1/embeddings",
        "/v1/messages/count_tokens",
        "/v1/models",
    ];
    if let Some(known) = PLAIN.iter().find(|known| **known == path) {
        return known;
    }
    match jobs::place(path) {
        None => {}
        Some(jobs::Place::All) => return "/v1/embeddings/jobs",
        Some(jobs::Place::One(_)) => return "/v1/embeddings/jobs/{id}",
        Some(jobs::Place::Result(_)) => return "/v1/embeddings/jobs/{id}/result",
    }
    match bedrock::call(path) {
        Some(Call { api: Api::Converse, stream: false, .. }) => "/model/{id}/converse",
        Some(Call { api: Api::Converse, stream: true, .. }) => "/model/{id}/converse-stream",
        Some(Call { api: Api::Invoke, stream: false, .. }) => "/model/{id}/invoke",
        Some(Call { api: Api::Invoke, stream: true, .. }) => "/model/{id}/invoke-with-response-stream",
        None if sagemaker::endpoint(path).is_some() => "/endpoints/{name}/invocations",
        None if model(path).is_some() => "/v1/models/{model}",
        None => "unknown path",
    }
}

/// The model that `/v1/models/{model}` names; its slashes may come encoded or as they are.
pub fn model(path: &str) -> Option<String> {
    path.strip_prefix("/v1/models/").and_then(decoded).filter(|model| !model.is_empty())
}

/// All of a JSON body of at most `limit` bytes.
pub async fn read(head: &Parts, body: Incoming, dialect: Dialect, limit: usize) -> Result<Bytes, ApiError> {
    check_type(head, dialect)?;
    let announced = head.headers.get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()).and_then(|v| v.parse::<u64>().ok());
    let too_large = announced.is_some_and(|length| length > limit as u64);
    // Who asks first has sent nothing yet and can be refused at once.
    if too_large && head.headers.contains_key(EXPECT) {
        return Err(payload_too_large(limit));
    }
    collect(body, limit).await
}

fn check_type(head: &Parts, dialect: Dialect) -> Result<(), ApiError> {
    let unsupported = |message: String| Err(ApiError::invalid(message).status(StatusCode::UNSUPPORTED_MEDIA_TYPE));
    if let Some(value) = head.headers.get(CONTENT_TYPE) {
        let essence = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
        // InvokeModel's body, and InvokeEndpoint's, is a blob to AWS's clients, which say so when they are told nothing else.
        let takes_blobs = matches!(dialect, Dialect::Bedrock(Api::Invoke) | Dialect::SageMaker);
        let is_blob = takes_blobs && essence == "application/octet-stream";
        if !essence.eq_ignore_ascii_case("application/json") && !is_blob {
            return unsupported(format!("the content type is {essence:?}: send application/json"));
        }
    }
    match head.headers.get(CONTENT_ENCODING) {
        Some(value) if !value.as_bytes().eq_ignore_ascii_case(b"identity") => {
            unsupported("the body is compressed: send it without a content encoding".to_owned())
        }
        _ => Ok(()),
    }
}

async fn collect(mut body: Incoming, limit: usize) -> Result<Bytes, ApiError> {
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    loop {
        let slow = |_| {
            let message = format!("nothing of the body came for {} s", SILENCE.as_secs());
            ApiError::invalid(message).status(StatusCode::REQUEST_TIMEOUT)
        };
        let Some(frame) = timeout(SILENCE, body.frame()).await.map_err(slow)? else { break };
        let broken = |error| ApiError::invalid(format!("the body broke off: {error}"));
        let Ok(data) = frame.map_err(broken)?.into_data() else { continue };
        if first.len() + rest.len() + data.len() > limit {
            drop((first, rest, data));
            let _ = timeout(LINGER, throw_away(body, limit.saturating_mul(LINGER_FACTOR))).await;
            return Err(payload_too_large(limit));
        }
        // Most bodies come in one piece, which is then not copied.
        if first.is_empty() && rest.is_empty() {
            first = data;
        } else {
            if rest.is_empty() {
                rest.extend_from_slice(&first);
                first = Bytes::new();
            }
            rest.extend_from_slice(&data);
        }
    }
    Ok(if rest.is_empty() { first } else { rest.freeze() })
}

async fn throw_away(mut body: Incoming, most: usize) {
    let mut thrown = 0;
    while let Some(Ok(frame)) = body.frame().await {
        thrown += frame.data_ref().map_or(0, Bytes::len);
        if thrown > most {
            return;
        }
    }
}

fn payload_too_large(limit: usize) -> ApiError {
    ApiError::new(Code::PayloadTooLarge, format!("the body is larger than {limit} bytes"))
}
