//! The verdict on an EmbeddingEndpoint in, its status out.

use super::{
    condition::{Conditions, accepted, no, unknown},
    last_accepted,
};
use crate::compile::Verdict;
use jiff::Timestamp;
use tollway_crds::{Condition, EmbeddingEndpointStatus};

/// The status of an EmbeddingEndpoint. Nothing serves it yet, so all but `Accepted` say that.
#[must_use]
pub fn embedding_endpoint(verdict: &Verdict, before: &[Condition], now: Timestamp) -> EmbeddingEndpointStatus {
    let accepted = accepted(verdict);
    let mut conditions = Conditions::new(verdict.generation, before, now);
    for type_ in ["EndpointInService", "ScalingActive", "MeetsLatencyTarget"] {
        conditions.set(type_, &unknown("NotServed", "embeddings are not served yet"));
    }
    conditions.set("Programmed", &no("NotServed", "embeddings are not served yet"));
    conditions.set("Ready", &no(accepted.reason, accepted.message.clone()));
    conditions.set("Accepted", &accepted);
    EmbeddingEndpointStatus {
        observed_generation: Some(verdict.generation),
        last_accepted: verdict.last_accepted.as_ref().map(last_accepted),
        conditions: conditions.finish(),
        ..EmbeddingEndpointStatus::default()
    }
}
