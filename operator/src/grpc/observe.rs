//! One proxy's Observe stream in; its counters into the namespace's sums.

use super::{Tenure, not_leading};
use crate::auth::Caller;
use tollway_core::control::Observation;
use tonic::{Status, Streaming};

/// Runs the stream to its end.
pub(super) async fn run(caller: Caller, mut tenure: Tenure, mut up: Streaming<Observation>) -> Result<(), Status> {
    // A proxy without traffic has nothing to say yet.
    let first = tokio::select! {
        () = tenure.ended() => return Err(not_leading()),
        first = up.message() => first?,
    };
    let Some(observation) = first else { return Ok(()) };
    // Two Pods cannot be told to share numbers: what the token says is part of the name.
    let owner = caller.pod.as_ref().map_or(caller.account_uid.as_str(), |pod| pod.uid.as_str());
    let incarnation = format!("{owner}/{}", observation.incarnation);
    let place = Place { tenure: tenure.clone(), namespace: caller.namespace, incarnation };
    place.tenure.term.observed.joined(&place.namespace, &place.incarnation);
    place.note(observation);
    tokio::select! {
        () = tenure.ended() => Err(not_leading()),
        outcome = follow(&place, &mut up) => outcome,
    }
}

async fn follow(place: &Place, up: &mut Streaming<Observation>) -> Result<(), Status> {
    while let Some(observation) = up.message().await? {
        place.note(observation);
    }
    Ok(())
}

struct Place {
    tenure: Tenure,
    namespace: String,
    incarnation: String,
}

impl Place {
    fn note(&self, observation: Observation) {
        let observation = Observation { incarnation: self.incarnation.clone(), ..observation };
        self.tenure.term.observed.observe(&self.namespace, observation);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.tenure.term.observed.left(&self.namespace, &self.incarnation);
    }
}
