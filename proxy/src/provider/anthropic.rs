//! Anthropic's Messages API: the client's own bytes or the internal form in, requests out; its answers in, the internal form out.
//!
//! # What it cannot say
//! Such a request is `unsupported_field`, by name. Left out, because they never change what an answer may say: `seed`
//! (best effort by contract), speakers' names, an image's `detail`, a tool's `strict`, and thoughts without a signature.
//!
//! # What our prices do not cover
//! Tools that run at the provider, and faster or placed inference, cost more than their tokens. Where a
//! budget binds, a request for one of them is refused: nothing would hold it under the cap.
//!
//! # Structured output
//! As on Bedrock, a JSON answer is the input of a tool that the model must call: every model of the family knows tools.

mod content;
mod error;
mod request;
mod response;
mod stream;
mod wire;

pub use error::decode_error;
pub use request::{MessagesRequest, build};
pub use response::decode;
pub use stream::Decoder;

use super::{Call, Prepared, Reading, shape};
use crate::attempt::{Job, Skip};
use crate::error::ApiError;
use crate::surface::anthropic::{Spans, Splice, splice};
use crate::surface::{Form, Peek};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Uri};
use http_body_util::Full;
use tollway_core::table::{Anthropic, Route};

const VERSION: HeaderName = HeaderName::from_static("anthropic-version");
const BETA: HeaderName = HeaderName::from_static("anthropic-beta");
const KEY: HeaderName = HeaderName::from_static("x-api-key");
/// The version of the API that this build was written for; a client of the same dialect may name its own.
const OUR_VERSION: &str = "2023-06-01";
/// Beta features that change what tokens cost.
const DEARER: [&str; 2] = ["context-1m", "fast-mode"];

pub(super) fn prepare(job: &Job<'_>, route: &Route, target: &Anthropic, output: u32) -> Result<Prepared, Skip> {
    if let Form::Messages(spans) = &job.peek.form {
        return passed(job, route, target, spans, output);
    }
    if let Form::Embeddings(_) = &job.peek.form {
        let why = "Anthropic's models do not embed; use a Bedrock or OpenAI-compatible target";
        return Err(Skip::Inexpressible(ApiError::invalid(why).param("model")));
    }
    let request = job.parsed().map_err(Skip::Inexpressible)?;
    let built = build(request, &target.model, &route.defaults, output).map_err(Skip::Inexpressible)?;
    let MessagesRequest { body, size, names } = built;
    let request = post(target, "/v1/messages", job, body)?;
    let call = Call::Send {
        request: Box::new(request),
        policy: job.policy(target.loopback),
        reading: Reading::Messages(names),
    };
    Ok(Prepared { shape: shape(&size), call })
}

fn passed(job: &Job<'_>, route: &Route, target: &Anthropic, spans: &Spans, output: u32) -> Result<Prepared, Skip> {
    if !route.budgets.is_empty() {
        priced(spans, job.headers).map_err(Skip::Inexpressible)?;
    }
    let change = Splice { model: &target.model, max_tokens: Some(output), defaults: Some(&route.defaults) };
    let body = splice(job.body, spans, &change);
    let mut shape = job.shape();
    shape.bytes += (body.len() as u64).saturating_sub(job.body.len() as u64);
    let mut request = post(target, "/v1/messages", job, body)?;
    pass_version(&mut request, job.headers);
    Ok(Prepared {
        shape,
        call: Call::Send {
            request: Box::new(request),
            policy: job.policy(target.loopback),
            reading: Reading::MessagesPassed,
        },
    })
}

/// The request that asks how many tokens the client's request has.
///
/// # Errors
/// Why this target is passed over.
pub fn count(job: &Job<'_>, target: &Anthropic) -> Result<Request<Full<Bytes>>, Skip> {
    let Peek { form: Form::Messages(spans), .. } = job.peek else { return Err(Skip::NotHere) };
    let body = splice(job.body, spans, &Splice { model: &target.model, ..Splice::default() });
    let mut request = post(target, "/v1/messages/count_tokens", job, body)?;
    pass_version(&mut request, job.headers);
    Ok(request)
}

fn priced(spans: &Spans, headers: &HeaderMap) -> Result<(), ApiError> {
    if let Some(field) = &spans.unpriced {
        let message =
            format!("{field} costs more than its tokens, which the budget of this route cannot hold; leave it out");
        return Err(ApiError::unsupported(field.as_str(), message));
    }
    let betas = headers.get_all(BETA).iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    match betas.map(str::trim).find(|beta| DEARER.iter().any(|dear| beta.starts_with(dear))) {
        None => Ok(()),
        Some(beta) => Err(ApiError::unsupported(
            "anthropic-beta",
            format!("anthropic-beta: {beta} changes prices, which the budget of this route cannot hold; leave it out"),
        )),
    }
}

fn post(target: &Anthropic, path: &str, job: &Job<'_>, body: Bytes) -> Result<Request<Full<Bytes>>, Skip> {
    let uri: Uri = format!("{}{path}", target.base_url).parse().map_err(|_| Skip::NotHere)?;
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = http::Method::POST;
    *request.uri_mut() = uri;
    let headers = request.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(USER_AGENT, HeaderValue::from_static(concat!("tollway/", env!("CARGO_PKG_VERSION"))));
    headers.insert(VERSION, HeaderValue::from_static(OUR_VERSION));
    let key = &target.api_key;
    let value = job.serving.secrets.get(&key.name, &key.key).ok_or(Skip::NoSecret)?;
    let mut value = HeaderValue::try_from(value).map_err(|_| Skip::NoSecret)?;
    value.set_sensitive(true);
    headers.insert(KEY, value);
    Ok(request)
}

/// A client of the same dialect says which version and which beta features its bytes are written for.
fn pass_version(request: &mut Request<Full<Bytes>>, from: &HeaderMap) {
    if let Some(version) = from.get(VERSION) {
        request.headers_mut().insert(VERSION, version.clone());
    }
    for beta in from.get_all(BETA) {
        request.headers_mut().append(BETA, beta.clone());
    }
}
