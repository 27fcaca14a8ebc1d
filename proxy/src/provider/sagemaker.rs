//! SageMaker endpoints that chat: a request in, the body their container takes out, OpenAI's or one prompt.
//!
//! # Why the bytes of OpenAI's clients do not pass through
//! A streamed answer comes in AWS's frames, so it is read and written anew anyway; what the internal form cannot carry (several completions,
//! log probabilities) is refused by name.

pub mod tgi;

use super::signed::{Format, Reading, Signed};
use super::{Call, Prepared, openai, shape};
use crate::attempt::{Job, Skip};
use crate::error::ApiError;
use crate::provider::openai::Habits;
use crate::surface::Form;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue};
use tollway_core::table::{ChatFormat, Route, SageMakerChat};

/// What a streamed answer is asked for in; what comes is frames of it.
const STREAM_ACCEPT: HeaderName = HeaderName::from_static("x-amzn-sagemaker-accept");

/// Builds the attempt.
///
/// # Errors
/// Why this target is passed over.
pub fn prepare(job: &Job<'_>, route: &Route, target: &SageMakerChat, output: u32) -> Result<Prepared, Skip> {
    if matches!(job.peek.form, Form::Embeddings(_)) {
        let message = "this target chats: embeddings are served by an EmbeddingEndpoint";
        return Err(Skip::Inexpressible(ApiError::unsupported("input", message)));
    }
    let request = job.parsed().map_err(Skip::Inexpressible)?;
    let (body, size, format) = match target.format {
        ChatFormat::Tgi(template) => {
            let (body, size) = tgi::build(request, template, &route.defaults, output).map_err(Skip::Inexpressible)?;
            (body, size, Format::Tgi)
        }
        ChatFormat::OpenAi => {
            if request.n > 1 {
                let message = "n: this target gives one completion a request; leave it out";
                return Err(Skip::Inexpressible(ApiError::unsupported("n", message)));
            }
            let built = openai::build(request, &target.endpoint_name, Habits::default(), &route.defaults, output)
                .map_err(Skip::Inexpressible)?;
            (built.body, built.size, Format::Completions(built.names))
        }
    };
    let stream = job.peek.stream;
    let action = if stream { "invocations-response-stream" } else { "invocations" };
    let path = format!("/endpoints/{}/{action}", target.endpoint_name);
    let json = HeaderValue::from_static("application/json");
    let mut headers = HeaderMap::from_iter([(CONTENT_TYPE, json.clone())]);
    headers.insert(if stream { STREAM_ACCEPT } else { ACCEPT }, json);
    let reading = Reading { format, framed: stream };
    Ok(Prepared { shape: shape(&size), call: Call::Signed(Box::new(Signed { path, headers, body, reading })) })
}
