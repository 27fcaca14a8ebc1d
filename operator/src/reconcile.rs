//! Events of watches, proxies and ledgers in; tables, terms and status out. The steps are the files below, in this order.
//!
//! | step | needs a client | what it does |
//! | --- | --- | --- |
//! | `dereference` | yes | reads the ConfigMaps and Secrets that resources name |
//! | `compile` | no | snapshot and facts into a table and a verdict for each resource |
//! | `apply` | no | publishes the table, tells the ledgers their terms |
//! | `attend` | no | has exhausted budgets hold endpoints, tells ledgers the instance-hours |
//! | `build` | no | verdicts and observations into status documents |
//! | `update_status` | yes | writes the documents that changed |

mod apply;
mod attend;
mod build;
mod compile;
mod dereference;
pub mod update_status;

use crate::index::{Event, Index};
use crate::term::Term;
use build::{Built, Due};
use compile::Compiled;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::Receiver;
use tokio::time::Instant;

/// Changes that come together are compiled together.
const TOGETHER: Duration = Duration::from_millis(15);

/// A new leader waits so long for the proxies of the one before, so that `Programmed` does not flap when leaders change.
const GATHERING: Duration = Duration::from_secs(2);

/// Reconciles until the watches end.
pub async fn run(term: Arc<Term>, mut events: Receiver<Event>) {
    let mut state = State { index: Index::default(), compiled: BTreeMap::new(), waiting: BTreeSet::new() };
    let gathered = Instant::now() + GATHERING;
    let mut held = BTreeSet::new();
    loop {
        let mut changed = BTreeSet::new();
        let mut shown = BTreeSet::new();
        tokio::select! {
            () = tokio::time::sleep_until(gathered), if !held.is_empty() => shown = std::mem::take(&mut held),
            event = events.recv() => match event {
                Some(event) => changed = state.index.apply(event),
                None => return,
            },
            wanted = term.hub.wanted.take() => changed = wanted,
            content = term.objects.changed.take() => changed = content,
            _ = term.prices.objects.changed.take() => changed = state.compiled.keys().cloned().collect(),
            moved = term.hub.moved.take() => shown = moved,
            figures = term.books.changed.take() => shown = figures,
            seen = term.observed.changed.take() => shown = seen,
            told = term.aws.changed.take() => shown = told,
            looked = term.aws.scaling.changed.take() => shown = looked,
        }
        let began = Instant::now();
        if !changed.is_empty() {
            tokio::time::sleep(TOGETHER).await;
            while let Ok(event) = events.try_recv() {
                changed.append(&mut state.index.apply(event));
            }
        }
        state.waiting.append(&mut changed);
        if !state.index.complete() {
            continue;
        }
        for namespace in std::mem::take(&mut state.waiting) {
            state.reconcile(&term, &namespace).await;
            shown.insert(namespace);
        }
        if began.elapsed() > TOGETHER {
            term.setting.metrics.reconcile_seconds.observe(began.elapsed().as_secs_f64());
        }
        if Instant::now() < gathered {
            held.append(&mut shown);
        }
        for namespace in shown {
            state.show(&term, &namespace);
        }
    }
}

struct State {
    index: Index,
    compiled: BTreeMap<String, Compiled>,
    /// Namespaces to compile once every kind was listed.
    waiting: BTreeSet<String>,
}

impl State {
    async fn reconcile(&mut self, term: &Term, namespace: &str) {
        let space = self.index.space(namespace);
        let found = dereference::dereference(term, &space).await;
        let compiled = compile::compile(&space, &found.facts);
        self.index.accepted(namespace, compiled.accepted());
        apply::apply(term, &space, &compiled, found);
        term.setting.metrics.reconciles.inc();
        self.compiled.insert(namespace.to_owned(), compiled);
    }

    fn show(&self, term: &Term, namespace: &str) {
        let Some(compiled) = self.compiled.get(namespace) else { return };
        let space = self.index.space(namespace);
        term.writer.retain(namespace, |id| space.about.contains_key(id));
        let now = jiff::Timestamp::now();
        let ran = attend::attend(term, &space, compiled, now);
        let Built { documents, notes, notices } = build::build(term, &space, compiled, &ran, now);
        documents.into_iter().for_each(|document| term.writer.want(document));
        notes.into_iter().for_each(|note| term.setting.notes.note(note));
        notices.into_iter().for_each(|Due { key, window, notices }| term.aws.due(&key, window.as_deref(), notices));
    }
}
