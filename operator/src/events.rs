//! What happened to a resource in; Kubernetes events on it out, alike ones aggregated.

use crate::ledger::{Key, View};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use tokio::sync::mpsc;
use tollway_core::spend::Nano;

/// Notes that wait; further ones are dropped, since an event is never the only place where something can be seen.
const WAITING: usize = 1_024;
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

    /// A grant was charged in full.
    pub fn burned(key: &Key, pod: &str, grant: u64, amount: Nano) -> Note {
        let text = format!(
            "Grant {grant} of Pod uid {pod} was charged in full, {amount} USD beyond what was reported: its holder died or its life ended"
        );
        Note::budget(key, true, "GrantBurned", text)
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

/// Where notes are left.
#[derive(Clone)]
pub struct Notes(mpsc::Sender<Note>);

impl Notes {
    /// A place for notes, and the task that writes them.
    pub fn new(client: Client, instance: String) -> (Notes, impl Future<Output = ()>) {
        let (sender, receiver) = mpsc::channel(WAITING);
        (Notes(sender), publish(client, instance, receiver))
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
        if let Err(error) = self.0.try_send(note) {
            tracing::warn!(%error, "an event is dropped");
        }
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
    use tollway_core::spend::{Figures, Window};

    fn view(spent: u64, threshold: Option<u32>, exhausted: bool) -> View {
        let figures = Figures { limit: Nano(100), spent: Nano(spent), exhausted, ..Figures::default() };
        let window = Window { id: "w".into(), start_ms: 0, end_ms: None };
        View { figures, window, ledger: "l".into(), uid: "u".into(), threshold, adjustments: vec![], forecast: None }
    }

    fn reasons(before: &View, after: &View) -> Vec<&'static str> {
        let key = Key { namespace: "ns".into(), name: "b".into() };
        Note::crossed(&key, before, after).into_iter().map(|note| note.reason).collect()
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
