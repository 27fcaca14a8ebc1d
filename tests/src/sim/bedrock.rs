//! The Bedrock runtime's wire: a request under `/model/` in, the answer of Converse or InvokeModel out, plain or as a stream.

mod embed;
pub(crate) mod frames;
mod invoke;
mod render;
pub mod shapes;
pub(super) mod signature;
mod validate;

use super::book::{Charge, Flight};
use super::generate::generate;
use super::script::{Exception, Fault};
use super::serve::{self, Body, Cut, whole};
use super::server::State;
use http::request::Parts;
use http::{HeaderValue, Method, Response, header};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use frames::{event, exception};
pub use shapes::Shapes;

/// An error answer: the type in a header, as the service sends it, the words in the body.
fn error(id: u64, status: u16, name: &str, message: &str) -> Response<Body> {
    let mut response = whole(status, "application/json", json!({ "message": message }).to_string());
    let kind = format!("{name}:http://internal.amazon.com/coral/com.amazon.bedrock/");
    for (header, value) in [("x-amzn-errortype", kind), ("x-amzn-requestid", request_id(id))] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(header, value);
        }
    }
    response
}

fn refuse(flight: Flight, exception: Exception, message: &str) -> Response<Body> {
    let (name, status, _) = exception.wire();
    let response = error(flight.id(), status, name, message);
    serve::refuse(flight, name, response)
}

fn request_id(id: u64) -> String {
    format!("00000000-0000-4000-8000-{id:012x}")
}

/// An operation on a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Converse,
    Invoke,
}

/// The model id, the operation and whether a stream is asked for; nothing for a path the simulator does not have.
fn route(path: &str) -> Option<(String, Operation, bool)> {
    let (id, operation) = path.strip_prefix("/model/")?.rsplit_once('/')?;
    let (operation, stream) = match operation {
        "converse" => (Operation::Converse, false),
        "converse-stream" => (Operation::Converse, true),
        "invoke" => (Operation::Invoke, false),
        "invoke-with-response-stream" => (Operation::Invoke, true),
        _ => return None,
    };
    Some((percent_decode(id)?, operation, stream))
}

fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next()?, rest.next()?];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

pub(super) async fn handle(
    state: &Arc<State>,
    mut flight: Flight,
    parts: &Parts,
    body: &[u8],
) -> Result<Response<Body>, Cut> {
    let Some((asked, operation, stream)) = route(parts.uri.path()).filter(|_| parts.method == Method::POST) else {
        let response = error(flight.id(), 404, "UnknownOperationException", "");
        return Ok(serve::refuse(flight, "UnknownOperationException", response));
    };
    flight.note(|seen| seen.stream = stream);
    if state.config.authenticate {
        let skew = Duration::from_secs(state.config.max_skew_seconds);
        let known = signature::Known { credentials: &state.config.credentials, bearer: &state.config.bearer_tokens, service: "bedrock" };
        match signature::verify(&known, parts, body, SystemTime::now(), skew) {
            Ok(client) => flight.note(|seen| seen.client = Some(client)),
            Err(denied) => {
                let response = error(flight.id(), 403, denied.name, &denied.message);
                return Ok(serve::refuse(flight, denied.name, response));
            }
        }
    }
    let Some((id, model)) = state.config.model(&asked) else {
        return Ok(refuse(flight, Exception::Validation, "The provided model identifier is invalid."));
    };
    flight.note(|seen| seen.model = Some(id.to_owned()));
    let family = invoke::Family::of(id);
    let prompt = match serde_json::from_slice::<Value>(body)
        .map_err(|_| "Unable to parse the request body as JSON.".to_owned())
        .and_then(|request| match (operation, family) {
            (Operation::Invoke, _) if embed::embeds(id) && !stream => embed::read(id, model, &request),
            (Operation::Converse, _) => validate::validate(model, &request),
            (Operation::Invoke, Some(invoke::Family::Jurassic)) if stream => {
                Err("The model is unsupported for streaming.".to_owned())
            }
            (Operation::Invoke, Some(family)) => family.read(model, &request),
            (Operation::Invoke, None) => Err("The model does not support InvokeModel here.".to_owned()),
        }) {
        Ok(prompt) => prompt,
        Err(message) => return Ok(refuse(flight, Exception::Validation, &message)),
    };
    let decision = state.script().decide(&asked, id, stream);
    match decision.fault {
        Some(Fault::StreamError { name, .. }) if !stream => return Ok(refuse(flight, name, name.wire().2)),
        Some(Fault::Error { name, retry_after }) => {
            let mut response = refuse(flight, name, name.wire().2);
            if let Some(seconds) = retry_after {
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
            }
            return Ok(response);
        }
        Some(Fault::Status { status, body }) => {
            return Ok(serve::refuse(flight, "scripted status", whole(status, "text/html", body)));
        }
        _ => {}
    }
    let reply = decision.reply.as_ref().unwrap_or(&state.config.reply);
    let made = generate(model, &prompt, reply);
    let usage = render::Usage::new(prompt.tokens, made.tokens, reply);
    flight.charge(Charge {
        model: id.to_owned(),
        price: model.price,
        input: usage.input,
        cache_read: usage.cache_read,
        cache_write: usage.cache_write,
    });
    let pace = decision.pace.unwrap_or_default();
    let mut answer = match (operation, family) {
        (Operation::Invoke, _) if embed::embeds(id) => {
            embed::answer(id, &serde_json::from_slice(body).unwrap_or_default(), usage.input)
        }
        (Operation::Invoke, Some(family)) => invoke::answer(family, &made, &usage, stream),
        _ => render::answer(&made, &usage, reply, stream, pace),
    };
    answer.headers.push(("x-amzn-requestid", request_id(flight.id())));
    if let Some(Fault::StreamError { name, .. }) = decision.fault {
        answer.error_event = Some(exception(name));
    }
    serve::send(state, flight, answer, pace, decision.fault).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn model_ids_come_percent_encoded() {
        assert_eq!(
            route("/model/us.amazon.nova-pro-v1%3A0/converse"),
            Some(("us.amazon.nova-pro-v1:0".to_owned(), Operation::Converse, false))
        );
        let arn =
            "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A%3Afoundation-model%2Famazon.nova-lite-v1%3A0/converse-stream";
        let id = "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0";
        assert_eq!(route(arn), Some((id.to_owned(), Operation::Converse, true)));
        assert_eq!(route("/model/x/invoke"), Some(("x".to_owned(), Operation::Invoke, false)));
        assert_eq!(route("/model/x/apply"), None);
        assert_eq!(route("/model/%zz/converse"), None);
    }
}
