//! Containers and agents behind AWS's signature: SageMaker's `/endpoints/{name}/invocations`, with an OpenAI or TGI container inside, and
//! AgentCore's `/runtimes/{arn}/invocations`, with an agent that answers its prompt. A request in, an answer or its frames out.
//!
//! An endpoint or agent is a model of the configuration by the endpoint's name, or by the last segment of the agent's ARN.

use super::bedrock::{frames, signature};
use super::book::{Charge, Flight};
use super::config::Model;
use super::generate::{Generation, Prompt, Stop, generate, tokens};
use super::openai;
use super::script::{Exception, Fault};
use super::serve::{self, Answer, Body, Cut, Event, whole};
use super::server::State;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Method, Response, header};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// What answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Host {
    SageMaker,
    AgentCore,
}

/// An error as these services send it.
fn error(host: Host, status: u16, name: &str, message: &str) -> Response<Body> {
    let body = match host {
        Host::SageMaker => json!({ "Message": message }),
        Host::AgentCore => json!({ "message": message }),
    };
    let mut response = whole(status, "application/json", body.to_string());
    if let Ok(name) = HeaderValue::from_str(name) {
        response.headers_mut().insert("x-amzn-errortype", name);
    }
    response
}

fn refuse(flight: Flight, host: Host, status: u16, name: &'static str, message: &str) -> Response<Body> {
    serve::refuse(flight, name, error(host, status, name, message))
}

/// What a scripted exception is called here.
fn scripted(host: Host, name: Exception) -> (u16, &'static str) {
    let (_, status, _) = name.wire();
    match (host, status) {
        (Host::SageMaker, 424) => (424, "ModelError"),
        (Host::SageMaker, 503) => (503, "ServiceUnavailable"),
        (Host::SageMaker, 500) => (500, "InternalFailure"),
        (Host::SageMaker, 429) => (400, "ThrottlingException"),
        (Host::SageMaker, 400) => (400, "ValidationError"),
        (Host::AgentCore, 424) => (424, "RuntimeClientError"),
        _ => (status, name.wire().0),
    }
}

/// The host, the model's name and whether the answer is streamed.
fn route(path: &str) -> Option<(Host, String, bool)> {
    if let Some(rest) = path.strip_prefix("/endpoints/") {
        let (name, action) = rest.split_once('/')?;
        let stream = match action {
            "invocations" => false,
            "invocations-response-stream" => true,
            _ => return None,
        };
        return Some((Host::SageMaker, name.to_owned(), stream));
    }
    let arn = path.strip_prefix("/runtimes/")?.strip_suffix("/invocations")?;
    let name = arn.rsplit("%2F").next()?;
    Some((Host::AgentCore, name.to_owned(), false))
}

pub(super) async fn handle(
    state: &Arc<State>,
    mut flight: Flight,
    parts: &Parts,
    body: &[u8],
) -> Result<Response<Body>, Cut> {
    let Some((host, name, stream)) = route(parts.uri.path()).filter(|_| parts.method == Method::POST) else {
        return Ok(refuse(flight, Host::SageMaker, 404, "UnknownOperationException", ""));
    };
    if state.config.authenticate {
        let skew = Duration::from_secs(state.config.max_skew_seconds);
        let service = if host == Host::SageMaker { "sagemaker" } else { "bedrock-agentcore" };
        let known = signature::Known { credentials: &state.config.credentials, bearer: &[], service };
        match signature::verify(&known, parts, body, SystemTime::now(), skew) {
            Ok(client) => flight.note(|seen| seen.client = Some(client)),
            Err(denied) => return Ok(refuse(flight, host, 403, denied.name, &denied.message)),
        }
    }
    let Some((id, model)) = state.config.model(&name) else {
        let (status, kind) = match host {
            Host::SageMaker => (400, "ValidationError"),
            Host::AgentCore => (404, "ResourceNotFoundException"),
        };
        return Ok(refuse(flight, host, status, kind, &format!("{name} of account 123456789012 not found.")));
    };
    flight.note(|seen| (seen.model, seen.stream) = (Some(id.to_owned()), stream));
    let session = "x-amzn-bedrock-agentcore-runtime-session-id";
    if host == Host::AgentCore && parts.headers.get(session).is_some_and(|id| id.len() < 33) {
        return Ok(refuse(flight, host, 400, "ValidationException", "runtimeSessionId has fewer than 33 characters."));
    }
    let Ok(request) = serde_json::from_slice::<Value>(body) else {
        return Ok(refuse(flight, host, 424, inside(host), "the body is not JSON"));
    };
    let container = match Container::of(host, model, &request) {
        Ok(container) => container,
        Err(message) => return Ok(refuse(flight, host, 424, inside(host), &message)),
    };
    let decision = state.script().decide(&name, id, stream);
    match decision.fault {
        Some(Fault::StreamError { name, .. }) if !stream => {
            let (status, kind) = scripted(host, name);
            return Ok(refuse(flight, host, status, kind, name.wire().2));
        }
        Some(Fault::Error { name, retry_after }) => {
            let (status, kind) = scripted(host, name);
            let mut response = refuse(flight, host, status, kind, name.wire().2);
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
    let made = generate(model, container.prompt(), reply);
    let (price, input) = (model.price, container.prompt().tokens);
    flight.charge(Charge { model: id.to_owned(), price, input, cache_read: 0, cache_write: 0 });
    let mut answer = match &container {
        Container::OpenAi(asked) => openai::answer(flight.id(), &name, asked, &made, reply),
        Container::Tgi { .. } => tgi(&made, input, stream),
        Container::Agent { streams, .. } => agent(&made, *streams),
    };
    if stream {
        frame(&mut answer);
        if let Some(Fault::StreamError { name, .. }) = decision.fault {
            let kind = if scripted(host, name).0 == 424 { "ModelStreamError" } else { "InternalStreamFailure" };
            answer.error_event = Some(frames::exception_named(kind, &json!({ "Message": name.wire().2 })));
        }
    }
    serve::send(state, flight, answer, decision.pace.unwrap_or_default(), decision.fault).await
}

/// What an error of the container or agent itself is called.
fn inside(host: Host) -> &'static str {
    if host == Host::SageMaker { "ModelError" } else { "RuntimeClientError" }
}

/// Whether a body is for a container that chats, by its own members.
pub(super) fn chats(body: &[u8]) -> bool {
    let Ok(request) = serde_json::from_slice::<Value>(body) else { return false };
    request.get("messages").is_some() || request["parameters"].get("max_new_tokens").is_some()
}

/// What a request was written for, by its own members.
enum Container {
    OpenAi(openai::Asked),
    Tgi { prompt: Prompt },
    Agent { prompt: Prompt, streams: bool },
}

impl Container {
    fn of(host: Host, model: &Model, request: &Value) -> Result<Self, String> {
        if host == Host::AgentCore {
            let asked = request["prompt"].as_str().ok_or("the payload has no prompt")?;
            let prompt = Prompt {
                tokens: tokens(model, &request.to_string()),
                last_user_text: asked.to_owned(),
                ..Prompt::default()
            };
            return Ok(Self::Agent { prompt, streams: asked.contains("stream") });
        }
        if request.get("messages").is_some() {
            return openai::read(model, request).map(Self::OpenAi);
        }
        let inputs = request["inputs"].as_str().ok_or("Template error: missing field `inputs`")?;
        let parameters = &request["parameters"];
        for (name, fits) in [
            ("temperature", parameters["temperature"].as_f64().is_none_or(|t| t > 0.0)),
            ("top_p", parameters["top_p"].as_f64().is_none_or(|p| p > 0.0 && p < 1.0)),
            ("decoder_input_details", !(request["stream"] == true && parameters["decoder_input_details"] == true)),
        ] {
            if !fits {
                return Err(format!("Input validation error: `{name}` is out of its range"));
            }
        }
        let stop = parameters["stop"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let prompt = Prompt {
            tokens: tokens(model, inputs),
            last_user_text: inputs.to_owned(),
            max_tokens: parameters["max_new_tokens"].as_u64(),
            stop: stop.map(str::to_owned).collect(),
        };
        Ok(Self::Tgi { prompt })
    }

    fn prompt(&self) -> &Prompt {
        match self {
            Self::OpenAi(asked) => &asked.prompt,
            Self::Tgi { prompt } | Self::Agent { prompt, .. } => prompt,
        }
    }
}

fn text_of(made: &Generation) -> String {
    made.blocks.iter().map(super::generate::Generated::text).collect()
}

fn pieces(made: &Generation) -> impl Iterator<Item = &(String, u64)> {
    made.blocks.iter().flat_map(|block| &block.pieces)
}

fn tgi(made: &Generation, input: u64, stream: bool) -> Answer {
    let reason = match made.stop {
        Stop::MaxTokens => "length",
        Stop::Sequence => "stop_sequence",
        _ => "eos_token",
    };
    let details = json!({ "finish_reason": reason, "generated_tokens": made.tokens, "input_length": input });
    let event = |token: &str, special: bool, last: bool| {
        let words = json!({
            "token": {"id": 1, "text": token, "logprob": -0.1, "special": special},
            "generated_text": if last { json!(text_of(made)) } else { Value::Null },
            "details": if last { details.clone() } else { Value::Null },
        });
        Bytes::from(format!("data:{words}\n\n"))
    };
    let mut events: Vec<Event> = pieces(made)
        .map(|(text, now)| Event { bytes: event(text, false, false), tokens: *now, content: true })
        .collect();
    events.push(Event { bytes: event("</s>", true, true), tokens: made.tokens, content: false });
    let prefill: Vec<Value> = (0..input).map(|id| json!({ "id": id })).collect();
    let plain = json!([{ "generated_text": text_of(made), "details": {
        "finish_reason": reason, "generated_tokens": made.tokens, "prefill": prefill,
    }}]);
    Answer {
        content_type: "application/json",
        headers: Vec::new(),
        events,
        plain: (!stream).then(|| Bytes::from(plain.to_string())),
        error_event: None,
    }
}

/// An agent answers whole, or in events when its prompt has the word `stream`.
fn agent(made: &Generation, streams: bool) -> Answer {
    let event = |(text, now): &(String, u64)| Event {
        bytes: Bytes::from(format!("data: {}\n\n", Value::String(text.clone()))),
        tokens: *now,
        content: true,
    };
    let plain = Bytes::from(json!({ "result": text_of(made) }).to_string());
    Answer {
        content_type: if streams { "text/event-stream; charset=utf-8" } else { "application/json" },
        headers: Vec::new(),
        events: pieces(made).map(event).collect(),
        plain: (!streams).then_some(plain),
        error_event: None,
    }
}

/// Each event of a container in a frame of AWS's.
fn frame(answer: &mut Answer) {
    for event in &mut answer.events {
        event.bytes = frames::part(&event.bytes);
    }
    answer.content_type = "application/vnd.amazon.eventstream";
    answer.headers.push(("x-amzn-sagemaker-content-type", "application/json".to_owned()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_say_host_name_and_stream() {
        assert_eq!(route("/endpoints/a/invocations"), Some((Host::SageMaker, "a".to_owned(), false)));
        assert_eq!(route("/endpoints/a/invocations-response-stream"), Some((Host::SageMaker, "a".to_owned(), true)));
        assert_eq!(route("/endpoints/a/async-invocations"), None);
        let arn = "/runtimes/arn%3Aaws%3Abedrock-agentcore%3Aus-east-1%3A123456789012%3Aruntime%2Fhelper/invocations";
        assert_eq!(route(arn), Some((Host::AgentCore, "helper".to_owned(), false)));
    }
}
