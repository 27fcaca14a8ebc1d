//! InvokeEndpointAsync: the place of a batch's input in; at once where its result will be, and later, at S3, the result itself out.
//!
//! An answer that the script spoils is spoilt as follows: a `ModelError` is the container's own, so it becomes the failure object; any other
//! error and any status is the service's, at once; a connection cut at the headers is cut after the batch was taken.

use super::book::{Flight, Outcome, Surface};
use super::config::{Embeds, Model};
use super::embedder::{answer, charge, error, known, scripted, texts};
use super::script::{Decision, Exception, Fault, Point};
use super::serve::{self, Body, Cut, whole};
use super::server::State;
use crate::http as client;
use crate::moto::SIGNED;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Method, Response};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

pub(super) const SUFFIX: &str = "/async-invocations";

/// A batch that was taken.
struct Taken {
    s3: String,
    input: String,
    output: String,
    failure: String,
    model: String,
}

pub(super) async fn invoke(
    state: &Arc<State>,
    mut flight: Flight,
    parts: &Parts,
    body: &[u8],
) -> Result<Response<Body>, Cut> {
    if let Err(denied) = known(state, &mut flight, parts, body) {
        return Ok(error(flight, 403, denied.name, &json!({"Message": denied.message})));
    }
    let path = parts.uri.path();
    let name = path.strip_prefix("/endpoints/").and_then(|rest| rest.strip_suffix(SUFFIX)).unwrap_or_default();
    let found = state.config.model(name).filter(|(_, model)| model.embeds.is_some() && parts.method == Method::POST);
    let Some((id, _)) = found else {
        let message = format!("Endpoint {name} of account 123456789012 not found.");
        return Ok(error(flight, 400, "ValidationError", &json!({ "Message": message })));
    };
    let id = id.to_owned();
    flight.note(|seen| seen.model = Some(id.clone()));
    let location = parts.headers.get("x-amzn-sagemaker-inputlocation").and_then(|value| value.to_str().ok());
    let place = location.and_then(|uri| uri.strip_prefix("s3://")).and_then(|rest| rest.split_once('/'));
    let (Some((bucket, key)), Some(s3)) = (place, state.config.s3.clone()) else {
        return Ok(error(flight, 400, "ValidationError", &json!({"Message": "InputLocation is no S3 URI"})));
    };
    let decision = state.script().decide(&id, &id, false);
    match &decision.fault {
        Some(Fault::Error { name: Exception::ModelError, .. }) | None => {}
        Some(Fault::Error { name, .. }) => return Ok(scripted(flight, *name)),
        Some(Fault::Status { status, body }) => {
            return Ok(serve::refuse(flight, "scripted status", whole(*status, "text/html", body.clone())));
        }
        Some(_) => {}
    }
    let number = flight.id();
    let (output, failure) = (format!("{bucket}/results/{number}.out"), format!("{bucket}/failures/{number}-error.out"));
    let at = |place: &str| HeaderValue::from_str(&format!("s3://{place}"));
    let (output_at, failure_at) = (at(&output), at(&failure));
    let cut = matches!(decision.fault, Some(Fault::Cut { at: Point::Headers }));
    let taken = Taken { s3, input: format!("{bucket}/{key}"), output, failure, model: id };
    // The record of the request: when it arrives, not when its result is there.
    let mut record = state.book.open(Surface::SageMaker, parts, Bytes::new());
    let client = flight.client();
    record.note(|seen| (seen.status, seen.client, seen.model) = (202, client, Some(taken.model.clone())));
    flight.note(|seen| seen.path = "result".to_owned());
    let state = Arc::clone(state);
    tokio::spawn(async move { work(&state, flight, taken, decision).await });
    record.end(Outcome::Complete);
    if cut {
        return Err(Cut);
    }
    let inference = parts.headers.get("x-amzn-sagemaker-inference-id").and_then(|id| id.to_str().ok());
    let mut response = whole(202, "application/json", json!({ "InferenceId": inference }).to_string());
    for (name, value) in [("outputlocation", output_at), ("failurelocation", failure_at)] {
        if let (Ok(value), Ok(name)) = (value, http::HeaderName::try_from(format!("x-amzn-sagemaker-{name}"))) {
            response.headers_mut().insert(name, value);
        }
    }
    Ok(response)
}

async fn work(state: &State, mut flight: Flight, taken: Taken, decision: Decision) {
    tokio::time::sleep(Duration::from_millis(decision.pace.unwrap_or_default().first_token_ms)).await;
    // The sender lives in `state`, so the wait cannot fail.
    let _ = state.holding.subscribe().wait_for(|hold| !hold).await;
    let Taken { s3, input, output, failure, model: id } = taken;
    let input = client::get_as(&format!("{s3}/{input}"), &[SIGNED]).await.ok().body;
    flight.note(|seen| seen.body = input.clone());
    let found = state.config.models.get(&id).and_then(|model| Some((model, model.embeds.as_ref()?)));
    let Some((model, embeds)) = found else { return };
    let (place, body, outcome) = match embedded(&mut flight, (&id, model, embeds), &input, decision.fault.as_ref()) {
        Ok(body) => (output, body, Outcome::Complete),
        Err(words) => (failure, Bytes::from(words), Outcome::Refused),
    };
    // The record first: whoever finds the result finds the record too.
    flight.end(outcome);
    let put = client::put(&format!("{s3}/{place}"), &[SIGNED], body).await;
    assert!(put.is_ok_and(|reply| reply.status.is_success()), "the result is not at {place}");
}

fn embedded(
    flight: &mut Flight,
    (id, model, embeds): (&str, &Model, &Embeds),
    input: &[u8],
    fault: Option<&Fault>,
) -> Result<Bytes, String> {
    if matches!(fault, Some(Fault::Error { .. })) {
        return Err("Received server error (500) from primary with message \"out of memory\"".to_owned());
    }
    let field = if embeds.answers == super::config::Answers::OpenAi { "input" } else { "inputs" };
    let texts = texts(embeds, field, input)
        .map_err(|(status, words)| format!("Received client error ({status}) from primary with message \"{words}\""))?;
    let tokens = charge(flight, id, model, &texts);
    Ok(answer(embeds, embeds.answers, &texts, id, tokens, fault).plain.unwrap_or_default())
}
