//! AdmissionReviews in, AdmissionReviews out: what `inject` and `judge` found, in the words of the API server.

use super::Desk;
use super::judge::{Judgement, judge};
use crate::inject::{self, Outcome};
use axum::Json;
use axum::extract::State;
use kube::core::admission::{AdmissionRequest, AdmissionResponse, AdmissionReview};
use kube::core::response::{StatusCause, StatusDetails, StatusSummary};
use kube::core::{DynamicObject, Status};
use serde_json::Value;
use std::sync::Arc;
use std::time::Instant;
use tollway_core::manifest::{FieldError, Kind};

type Review = Json<AdmissionReview<DynamicObject>>;
type Request = AdmissionRequest<DynamicObject>;

/// A Pod that may want the proxy.
pub async fn inject(State(desk): State<Arc<Desk>>, Json(review): Review) -> Review {
    answered(&desk, "inject", review, |request, response| {
        match inject::inject(&object(request.object.as_ref()), &desk.inject) {
            Outcome::Left(None) => response,
            Outcome::Left(Some(why)) => warned(response, vec![why]),
            Outcome::Patched { patch, warnings } => warned(patched(response, patch), warnings),
            Outcome::Refused(mistakes) => refused(response, request, &mistakes),
        }
    })
}

/// A namespace whose annotation asks for the proxy.
pub async fn mark(State(desk): State<Arc<Desk>>, Json(review): Review) -> Review {
    answered(&desk, "mark", review, |request, response| {
        let before = request.old_object.as_ref().map(|before| object(Some(before)));
        patched(response, inject::mark(&object(request.object.as_ref()), before.as_ref()))
    })
}

/// A resource of Tollway's, before it is stored.
pub async fn validate(State(desk): State<Arc<Desk>>, Json(review): Review) -> Review {
    let facts = desk.facts().await;
    answered(&desk, "validate", review, |request, response| {
        let Judgement { mistakes, warnings } = judged(request, &facts);
        let response = warned(response, warnings.iter().map(ToString::to_string).collect());
        if mistakes.is_empty() { response } else { refused(response, request, &mistakes) }
    })
}

/// The same, before the API server applies the schema: so that mistakes of form and of meaning are told together.
pub async fn validate_early(State(desk): State<Arc<Desk>>, Json(review): Review) -> Review {
    let facts = desk.facts().await;
    answered(&desk, "validate", review, |request, response| {
        let mistakes = judged(request, &facts).mistakes;
        if mistakes.is_empty() { response } else { refused(response, request, &mistakes) }
    })
}

fn judged(request: &Request, facts: &tollway_core::snapshot::Facts) -> Judgement {
    let Some(kind) = Kind::from_name(&request.kind.kind) else { return Judgement::default() };
    let before = request.old_object.as_ref().map(|before| object(Some(before)));
    let namespace = request.namespace.as_deref().unwrap_or_default();
    judge(kind, namespace, &object(request.object.as_ref()), before.as_ref(), facts)
}

fn answered(
    desk: &Desk,
    call: &str,
    review: AdmissionReview<DynamicObject>,
    answer: impl FnOnce(&Request, AdmissionResponse) -> AdmissionResponse,
) -> Review {
    let begun = Instant::now();
    let response = match TryInto::<Request>::try_into(review) {
        Ok(request) => answer(&request, AdmissionResponse::from(&request)),
        Err(error) => AdmissionResponse::invalid(error),
    };
    desk.metrics.admission_seconds.with_label_values(&[call]).observe(begun.elapsed().as_secs_f64());
    desk.metrics.admissions.with_label_values(&[call, if response.allowed { "allowed" } else { "denied" }]).inc();
    Json(response.into_review())
}

fn object(object: Option<&DynamicObject>) -> Value {
    // It was JSON a moment ago.
    object.and_then(|object| serde_json::to_value(object).ok()).unwrap_or_default()
}

fn patched(response: AdmissionResponse, patch: json_patch::Patch) -> AdmissionResponse {
    if patch.is_empty() {
        return response;
    }
    match response.clone().with_patch(patch) {
        Ok(response) => response,
        Err(error) => response.deny(error),
    }
}

fn warned(mut response: AdmissionResponse, warnings: Vec<String>) -> AdmissionResponse {
    if !warnings.is_empty() {
        response.warnings = Some(warnings);
    }
    response
}

/// A refusal that names every field, for people in its message and for programs in its causes.
fn refused(mut response: AdmissionResponse, request: &Request, mistakes: &[FieldError]) -> AdmissionResponse {
    let cause = |mistake: &FieldError| StatusCause {
        reason: "FieldValueInvalid".to_owned(),
        message: mistake.message.clone(),
        field: mistake.field.clone(),
    };
    let lines: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
    response.allowed = false;
    response.result = Status {
        status: Some(StatusSummary::Failure),
        code: 422,
        reason: "Invalid".to_owned(),
        message: if lines.len() == 1 {
            lines.concat()
        } else {
            format!("{} mistakes:\n- {}", lines.len(), lines.join("\n- "))
        },
        metadata: None,
        details: Some(StatusDetails {
            name: request.name.clone(),
            group: request.kind.group.clone(),
            kind: request.kind.kind.clone(),
            uid: String::new(),
            causes: mistakes.iter().map(cause).collect(),
            retry_after_seconds: 0,
        }),
    };
    response
}
