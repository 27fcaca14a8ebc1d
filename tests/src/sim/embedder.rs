//! A container that embeds, behind SageMaker's InvokeEndpoint or alone: a body of texts in, vectors that follow from the texts out.

use super::bedrock::signature;
use super::book::{Charge, Flight};
use super::config::{Answers, Embeds, Model};
use super::script::{Corruption, Exception, Fault};
use super::serve::{self, Answer, Body, Cut, Event, whole};
use super::server::State;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Method, Response};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// The vector of a text: of length 1, and the same wherever the text is embedded.
#[must_use]
pub fn vector(text: &str, dimensions: usize) -> Vec<f32> {
    let mut numbers = Vec::with_capacity(dimensions);
    let mut block = 0_u32;
    while numbers.len() < dimensions {
        let digest = Sha256::new().chain_update(text).chain_update(block.to_le_bytes()).finalize();
        let words = digest.chunks_exact(4).filter_map(|four| Some(u32::from_le_bytes(four.try_into().ok()?)));
        numbers.extend(words.map(|word| f64::from(word) / f64::from(u32::MAX) - 0.5));
        block += 1;
    }
    numbers.truncate(dimensions);
    let length = numbers.iter().map(|number| number * number).sum::<f64>().sqrt();
    numbers.into_iter().map(|number| (number / length) as f32).collect()
}

pub(super) fn error(flight: Flight, status: u16, name: &'static str, body: &Value) -> Response<Body> {
    let mut response = whole(status, "application/json", body.to_string());
    response.headers_mut().insert("x-amzn-errortype", HeaderValue::from_static(name));
    serve::refuse(flight, name, response)
}

/// The service's word for an error of its container.
fn of_container(flight: Flight, status: u16, words: &str) -> Response<Body> {
    let message = format!("Received client error ({status}) from primary with message \"{words}\".");
    let body = json!({"ErrorCode": "CLIENT_ERROR_FROM_MODEL", "OriginalStatusCode": status, "OriginalMessage": words, "Message": message});
    error(flight, 424, "ModelError", &body)
}

pub(super) fn scripted(flight: Flight, exception: Exception) -> Response<Body> {
    let (name, status) = match exception {
        Exception::Throttling => ("ThrottlingException", 429),
        Exception::ServiceUnavailable => ("ServiceUnavailable", 503),
        Exception::Validation => ("ValidationError", 400),
        Exception::ModelNotReady => ("ModelNotReadyException", 429),
        Exception::AccessDenied => ("AccessDeniedException", 403),
        Exception::ModelError | Exception::ModelStreamError => return of_container(flight, 500, "out of memory"),
        _ => ("InternalFailure", 500),
    };
    error(flight, status, name, &json!({"Message": exception.wire().2}))
}

/// Whose request it is.
pub(super) fn known(state: &State, flight: &mut Flight, parts: &Parts, body: &[u8]) -> Result<(), signature::Denied> {
    if state.config.authenticate {
        let skew = Duration::from_secs(state.config.max_skew_seconds);
        let known = signature::Known { credentials: &state.config.credentials, bearer: &[], service: "sagemaker" };
        let client = signature::verify(&known, parts, body, SystemTime::now(), skew)?;
        flight.note(|seen| seen.client = Some(client));
    }
    Ok(())
}

/// InvokeEndpoint.
pub(super) async fn invoke(
    state: &Arc<State>,
    mut flight: Flight,
    parts: &Parts,
    body: &[u8],
) -> Result<Response<Body>, Cut> {
    let path = parts.uri.path();
    let name = path.strip_prefix("/endpoints/").and_then(|rest| rest.strip_suffix("/invocations"));
    let Some(name) = name.filter(|_| parts.method == Method::POST) else {
        return Ok(error(flight, 404, "UnknownOperationException", &json!({})));
    };
    if let Err(denied) = known(state, &mut flight, parts, body) {
        return Ok(error(flight, 403, denied.name, &json!({"Message": denied.message})));
    }
    let found = state.config.model(name).and_then(|(id, model)| Some((id, model, model.embeds.as_ref()?)));
    let Some((id, model, embeds)) = found else {
        let message = format!("Endpoint {name} of account 123456789012 not found.");
        return Ok(error(flight, 400, "ValidationError", &json!({ "Message": message })));
    };
    let id = id.to_owned();
    flight.note(|seen| seen.model = Some(id.clone()));
    let field = if embeds.answers == Answers::OpenAi { "input" } else { "inputs" };
    let texts = match texts(embeds, field, body) {
        Ok(texts) => texts,
        Err((status, words)) => return Ok(of_container(flight, status, &words)),
    };
    let decision = state.script().decide(&id, &id, false);
    match decision.fault {
        Some(Fault::Error { name, .. }) => return Ok(scripted(flight, name)),
        Some(Fault::Status { status, body }) => {
            return Ok(serve::refuse(flight, "scripted status", whole(status, "text/html", body)));
        }
        _ => {}
    }
    let input = charge(&mut flight, &id, model, &texts);
    let answer = answer(embeds, embeds.answers, &texts, &id, input, decision.fault.as_ref());
    serve::send(state, flight, answer, decision.pace.unwrap_or_default(), decision.fault).await
}

/// The same container at `/v1/embeddings`, under its model's name.
pub(super) async fn openai(state: &Arc<State>, mut flight: Flight, body: &[u8]) -> Result<Response<Body>, Cut> {
    let asked: Value = serde_json::from_slice(body).unwrap_or_default();
    let id = asked["model"].as_str().unwrap_or_default().to_owned();
    let found = state.config.models.get(&id).and_then(|model| Some((model, model.embeds.as_ref()?)));
    let refused = |flight, status, words: &str| {
        let body = json!({"error": {"message": words, "type": "invalid_request_error", "code": null, "param": null}});
        serve::refuse(flight, "invalid_request_error", whole(status, "application/json", body.to_string()))
    };
    let Some((model, embeds)) = found else { return Ok(refused(flight, 404, "there is no such model")) };
    flight.note(|seen| seen.model = Some(id.clone()));
    let texts = match texts(embeds, "input", body) {
        Ok(texts) => texts,
        Err((status, words)) => return Ok(refused(flight, status, &words)),
    };
    let decision = state.script().decide(&id, &id, false);
    if let Some(Fault::Error { name, .. }) = decision.fault {
        return Ok(refused(flight, name.wire().1, name.wire().2));
    }
    let input = charge(&mut flight, &id, model, &texts);
    let answer = answer(embeds, Answers::OpenAi, &texts, &id, input, decision.fault.as_ref());
    serve::send(state, flight, answer, decision.pace.unwrap_or_default(), decision.fault).await
}

pub(super) fn texts(embeds: &Embeds, field: &str, body: &[u8]) -> Result<Vec<String>, (u16, String)> {
    let body: Value = serde_json::from_slice(body).map_err(|error| (400, error.to_string()))?;
    let texts: Vec<String> = match &body[field] {
        Value::String(text) => vec![text.clone()],
        Value::Array(texts) => texts.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => return Err((422, format!("missing field `{field}`"))),
    };
    let truncates = body["truncate"] == true;
    if texts.is_empty() || texts.len() > embeds.most_texts {
        return Err((422, format!("batch size {} is not from 1 to {}", texts.len(), embeds.most_texts)));
    }
    if !truncates && texts.iter().any(|text| text.len() > embeds.most_bytes) {
        return Err((413, format!("`inputs` must have less than {} bytes", embeds.most_bytes)));
    }
    Ok(texts)
}

pub(super) fn charge(flight: &mut Flight, id: &str, model: &Model, texts: &[String]) -> u64 {
    let tokens = |text: &String| (text.len() as u64).div_ceil(model.bytes_per_token);
    let input = texts.iter().map(tokens).sum();
    flight.charge(Charge { model: id.to_owned(), price: model.price, input, cache_read: 0, cache_write: 0 });
    input
}

pub(super) fn answer(
    embeds: &Embeds,
    answers: Answers,
    texts: &[String],
    id: &str,
    input: u64,
    fault: Option<&Fault>,
) -> Answer {
    let too_long = matches!(fault, Some(Fault::Corrupt { kind: Corruption::Dimensions, .. }));
    let dimensions = embeds.dimensions + usize::from(too_long);
    let vectors: Vec<Vec<f32>> = texts.iter().map(|text| vector(text, dimensions)).collect();
    let plain = match answers {
        Answers::Object => json!({ "embeddings": vectors }),
        Answers::Bare => json!(vectors),
        Answers::Tokens => {
            let tokens = |vector: &Vec<f32>| {
                let scaled = |by: f32| vector.iter().map(|number| number * by).collect::<Vec<f32>>();
                [scaled(0.5), scaled(1.0), scaled(1.5)]
            };
            json!(vectors.iter().map(tokens).collect::<Vec<_>>())
        }
        Answers::OpenAi => {
            // Not in order: an index says where each belongs.
            let items = vectors.iter().enumerate().rev();
            let items: Vec<Value> =
                items.map(|(at, vector)| json!({"object": "embedding", "index": at, "embedding": vector})).collect();
            json!({"object": "list", "data": items, "model": id, "usage": {"prompt_tokens": input, "total_tokens": input}})
        }
    };
    Answer {
        content_type: "application/json",
        headers: vec![("x-amzn-invoked-production-variant", "AllTraffic".to_owned())],
        // Stands for the pace of a batch.
        events: vec![Event { bytes: Bytes::new(), tokens: 0, content: true }],
        plain: Some(Bytes::from(plain.to_string())),
        error_event: None,
    }
}
