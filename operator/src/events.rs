//! What happened to a resource in; Kubernetes events on it out, alike ones aggregated.

use crate::ledger::{Key, View};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use serde_json::Value;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;
use tollway_core::spend::Nano;
use tollway_core::spend::ledger::Adjustment;

/// Notes that wait; further ones are dropped, since an event is never the only place where something can be seen.
const WAITING: usize = 1_024;
/// Notes remembered for the status page.
const RECENT: usize = 50;
/// Text of an event at most; the API server refuses longer ones.
const TEXT: usize = 1_000;

/// One thing that happened to one resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Kind of the resource.
    pub kind: &'static str,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: Option<String>,
    /// Whether somebody should act on it.
    pub warning: bool,
    /// One word for it.
    pub reason: &'static str,
    /// What the operator was doing.
    pub action: &'static str,
    /// A sentence for people.
    pub text: String,
}

impl Note {
    fn budget(key: &Key, warning: bool, reason: &'static str, text: String) -> Note {
        let Key { namespace, name } = key.clone();
        Note { kind: "CostBudget", namespace, name, uid: None, warning, reason, action: "Ledger", text }
    }

    /// What changed between two statuses of a resource that a person should hear of; `before` is the status at the API server
    /// when nothing was written yet, so that a new leader repeats nothing.
    pub fn judged(
        kind: &'static str,
        namespace: &str,
        name: &str,
        uid: &str,
        before: &Value,
        after: &Value,
    ) -> Vec<Note> {
        let note = |warning, reason: &'static str, text: String| Note {
            kind,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            uid: Some(uid.to_owned()),
            warning,
            reason,
            action: "Reconcile",
            text,
        };
        let generation = &after["observedGeneration"];
        let same_generation = before["observedGeneration"] == *generation;
        let mut out = Vec::new();
        if let Some(now) = condition(after, "Accepted") {
            let then = condition(before, "Accepted");
            let said = |c: &Value| (c["status"].clone(), c["message"].clone());
            let accepted = now["status"] == "True";
            if !same_generation && accepted || then.map(said) != Some(said(now)) {
                let message = now["message"].as_str().unwrap_or_default();
                let reason = if accepted { "Accepted" } else { "Refused" };
                out.push(note(!accepted, reason, format!("Generation {generation}: {message}")));
            }
        }
        if let Some(now) = condition(after, "Programmed").filter(|now| now["status"] == "True") {
            let then = condition(before, "Programmed").filter(|then| then["status"] == "True");
            if then.is_none_or(|then| then["observedGeneration"] != now["observedGeneration"]) {
                let message = now["message"].as_str().unwrap_or_default();
                out.push(note(false, "Programmed", format!("Generation {generation}: {message}")));
            }
        }
        let health = |status| Some(condition(status, "Healthy")?["status"].as_str()?.to_owned());
        if let Some(now) = condition(after, "Healthy").filter(|now| health(before).as_deref() != now["status"].as_str())
        {
            let message = now["message"].as_str().unwrap_or_default().to_owned();
            match (health(before).as_deref(), now["status"].as_str()) {
                (_, Some("False")) => out.push(note(true, "Unhealthy", message)),
                (Some("False"), Some("True")) => out.push(note(false, "Healthy", message)),
                _ => {}
            }
        }
        out
    }

    /// A grant was charged in full.
    pub fn burned(key: &Key, pod: &str, grant: u64, amount: Nano) -> Note {
        let text = format!(
            "Grant {grant} of Pod uid {pod} was charged in full, {amount} USD beyond what was reported: its holder died or its life ended"
        );
        Note::budget(key, true, "GrantBurned", text)
    }

    /// The ledger took an adjustment of the spec; it takes each once.
    pub fn adjusted(key: &Key, id: &str, adjustment: Adjustment) -> Note {
        let what = match adjustment {
            Adjustment::Credit(amount) => format!("{amount} USD more may be spent in this window"),
            Adjustment::Resume => "a frozen budget and denied models serve again".to_owned(),
        };
        Note::budget(key, false, "AdjustmentApplied", format!("Adjustment {id} is applied: {what}"))
    }

    /// The ledger cannot be trusted.
    pub fn frozen(key: &Key, reason: &str) -> Note {
        Note::budget(key, true, "LedgerFrozen", format!("Nothing is granted until an adjustment resumes: {reason}"))
    }

    /// What a person should hear when a budget goes from one view to the next; the first view of a term is no news.
    pub fn crossed(key: &Key, before: &View, after: &View) -> Vec<Note> {
        let mut out = Vec::new();
        let (was, is) = (&before.figures, &after.figures);
        let same_window = before.window == after.window;
        if let Some(percent) =
            after.threshold.filter(|now| before.threshold.is_none_or(|then| then < *now) || !same_window)
        {
            let text = format!("{percent} % of the limit reached: {} of {} USD spent", is.spent, is.limit);
            out.push(Note::budget(key, true, "ThresholdReached", text));
        }
        if is.exhausted && !(was.exhausted && same_window) {
            let text = format!(
                "{} of {} USD spent, {} USD left: requests that need more are refused",
                is.spent, is.limit, is.remaining
            );
            out.push(Note::budget(key, true, "BudgetExhausted", text));
        }
        if was.exhausted && !is.exhausted {
            out.push(Note::budget(key, false, "BudgetAvailable", format!("{} USD may be spent again", is.remaining)));
        }
        if was.frozen.is_some() && is.frozen.is_none() {
            out.push(Note::budget(key, false, "LedgerResumed", "An adjustment resumed the budget".to_owned()));
        }
        for model in is.denied_models.iter().filter(|model| !was.denied_models.contains(model)) {
            let text = format!(
                "Model {model} used more than the bound computed before the call and is denied until an adjustment resumes"
            );
            out.push(Note::budget(key, true, "BoundExceeded", text));
        }
        out
    }
}

fn condition<'a>(status: &'a Value, type_: &str) -> Option<&'a Value> {
    status["conditions"].as_array()?.iter().find(|condition| condition["type"] == type_)
}

/// Where notes are left.
#[derive(Clone)]
pub struct Notes {
    sender: mpsc::Sender<Note>,
    recent: Arc<Mutex<VecDeque<(jiff::Timestamp, Note)>>>,
    dropped: Arc<AtomicU64>,
}

impl Notes {
    /// A place for notes, and the task that writes them.
    pub fn new(client: Client, instance: String) -> (Notes, impl Future<Output = ()>) {
        let (sender, receiver) = mpsc::channel(WAITING);
        (Notes { sender, recent: Arc::default(), dropped: Arc::default() }, publish(client, instance, receiver))
    }

    /// Leaves a note.
    pub fn note(&self, note: Note) {
        tracing::info!(
            kind = note.kind,
            namespace = note.namespace,
            name = note.name,
            reason = note.reason,
            "{}",
            note.text
        );
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.truncate(RECENT - 1);
        recent.push_front((jiff::Timestamp::now(), note.clone()));
        drop(recent);
        if self.sender.try_send(note).is_err() {
            let dropped = self.dropped.fetch_add(1, Ordering::Relaxed) + 1;
            // A fleet that comes back has thousands to say at once; the log has them all, one line above.
            if dropped.is_power_of_two() {
                tracing::warn!(
                    dropped,
                    "too much happens at once: so many events were written to the log only since the start"
                );
            }
        }
    }

    /// The last notes, the newest first, for the status page.
    pub fn recent(&self) -> Vec<(jiff::Timestamp, Note)> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

async fn publish(client: Client, instance: String, mut notes: mpsc::Receiver<Note>) {
    let reporter = Reporter { controller: "tollway.dev/operator".to_owned(), instance: Some(instance) };
    let recorder = Recorder::new(client, reporter);
    while let Some(note) = notes.recv().await {
        let Note { kind, namespace, name, uid, warning, reason, action, text } = note;
        let about = ObjectReference {
            api_version: Some(tollway_crds::API_VERSION.to_owned()),
            kind: Some(kind.to_owned()),
            namespace: Some(namespace),
            name: Some(name),
            uid,
            ..ObjectReference::default()
        };
        let event = Event {
            type_: if warning { EventType::Warning } else { EventType::Normal },
            reason: reason.to_owned(),
            note: Some(text.chars().take(TEXT).collect()),
            action: action.to_owned(),
            secondary: None,
        };
        if let Err(error) = recorder.publish(&event, &about).await {
            tracing::warn!(%error, reason, "event not written");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use tollway_core::spend::{Figures, Forecast, Window};

    fn view(spent: u64, threshold: Option<u32>, exhausted: bool) -> View {
        let figures = Figures { limit: Nano(100), spent: Nano(spent), exhausted, ..Figures::default() };
        let window = Window { id: "w".into(), start_ms: 0, end_ms: None };
        View {
            figures,
            window,
            ledger: "l".into(),
            uid: "u".into(),
            threshold,
            adjustments: vec![],
            forecast: Forecast::default(),
        }
    }

    fn reasons(before: &View, after: &View) -> Vec<&'static str> {
        let key = Key { namespace: "ns".into(), name: "b".into() };
        Note::crossed(&key, before, after).into_iter().map(|note| note.reason).collect()
    }

    #[test]
    fn a_verdict_is_told_when_it_changes_and_not_by_a_new_leader() {
        let status = |generation: i64, accepted: &str, message: &str, programmed: &str| {
            json!({"observedGeneration": generation, "conditions": [
                {"type": "Accepted", "status": accepted, "message": message},
                {"type": "Programmed", "status": programmed, "message": "m", "observedGeneration": generation},
            ]})
        };
        let told = |before: &Value, after: &Value| -> Vec<(bool, &'static str)> {
            let notes = Note::judged("ModelRoute", "ns", "r", "u", before, after);
            notes.into_iter().map(|note| (note.warning, note.reason)).collect()
        };
        let good = status(1, "True", "valid", "True");
        assert_eq!(told(&Value::Null, &good), [(false, "Accepted"), (false, "Programmed")]);
        assert_eq!(told(&good, &good), []);
        let bad = status(2, "False", "spec.x", "False");
        assert_eq!(told(&good, &bad), [(true, "Refused")]);
        assert_eq!(told(&bad, &status(2, "False", "spec.y", "False")), [(true, "Refused")]);
        let edited = status(2, "True", "valid", "False");
        assert_eq!(told(&good, &edited), [(false, "Accepted")]);
        assert_eq!(told(&edited, &status(2, "True", "valid", "True")), [(false, "Programmed")]);
    }

    #[test]
    fn an_endpoint_that_falls_ill_and_recovers_is_told() {
        let status = |healthy: &str| json!({"conditions": [{"type": "Healthy", "status": healthy, "message": "why"}]});
        let told = |before: &str, after: &str| -> Vec<(bool, &'static str)> {
            let notes = Note::judged("EmbeddingEndpoint", "ns", "e", "u", &status(before), &status(after));
            notes.into_iter().map(|note| (note.warning, note.reason)).collect()
        };
        assert_eq!((told("Unknown", "True"), told("False", "False")), (vec![], vec![]));
        assert_eq!(told("True", "False"), [(true, "Unhealthy")]);
        assert_eq!(told("False", "True"), [(false, "Healthy")]);
    }

    #[test]
    fn each_threshold_and_the_end_are_told_once() {
        let (none, eighty, end) = (view(10, None, false), view(85, Some(80), false), view(100, Some(80), true));
        assert_eq!(reasons(&none, &eighty), ["ThresholdReached"]);
        assert_eq!(reasons(&eighty, &eighty), Vec::<&str>::new());
        assert_eq!(reasons(&eighty, &end), ["BudgetExhausted"]);
        assert_eq!(reasons(&end, &none), ["BudgetAvailable"]);
    }
}
