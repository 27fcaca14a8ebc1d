//! One budget: what its spec says and what its proxies say in; grants, state and figures out. Opens each window's ledger in turn.
//!
//! # Why a ledger that is over lives on
//! A request is charged to the window that admitted it, so grants of the window before are reported and closed on its own ledger
//! until none is open.

use super::open::{self, Opening};
use super::pace::Pace;
use super::plan::Plan;
use super::record::{Outcome, Record};
use super::store::{Object, Stored};
use super::streams::Holder;
use super::{Books, Key, View};
use crate::events::Note;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::Receiver;
use tokio::time::MissedTickBehavior;
use tollway_core::control::{self, HeldGrant};
use tollway_core::spend::ledger::{Adjustment, Effect, Event};
use tollway_core::spend::{Nano, Trend, Window, convert};
use tollway_core::table::Period;

/// Messages taken at once: one write for all of them.
pub(super) const BATCH: usize = 256;
/// Life ends, windows end and figures are looked at this often.
const TICK: Duration = Duration::from_millis(500);

/// What the budget's spec says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Uid of the CostBudget: one that was deleted and made again is told where its ledger is.
    pub uid: String,
    /// The cap.
    pub limit: Nano,
    /// The calendar.
    pub period: Period,
    /// The calendar's time zone.
    pub time_zone: String,
    /// Counts and never denies.
    pub observe: bool,
    /// What each user may spend; absent: as much as anyone.
    pub per_user: Option<Nano>,
    /// What each client may spend; absent: as much as anyone.
    pub per_client: Option<Nano>,
    /// Corrections, in the order of the spec.
    pub adjustments: Vec<(String, Adjustment)>,
    /// Percentages worth a word, ascending.
    pub thresholds: Vec<u32>,
}

/// What a keeper is told.
#[derive(Debug)]
pub enum Input {
    /// The budget as it is now; `None`: it is gone.
    Terms(Option<Terms>),
    /// A proxy connected.
    Hello(Holder, Vec<HeldGrant>),
    /// It asks.
    Ask(Holder, control::Ask),
    /// It reports.
    Report(Holder, control::Report),
    /// It closes.
    Close(Holder, control::Close),
    /// A Pod is gone for good.
    PodGone(String),
    /// The instances of an endpoint that the budget covers ran until now.
    Instances(Ran),
    /// The object of that uid was deleted.
    LedgerGone(String),
    /// The object was written, by whomever.
    LedgerWritten {
        /// Its uid.
        uid: String,
        /// The resourceVersion it has since.
        version: String,
    },
}

/// The instances of an endpoint, running until now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    /// Uid of the EmbeddingEndpoint.
    pub endpoint: String,
    /// Since when they are known to run at that price, Unix milliseconds; `None`: since they were counted last.
    pub since_ms: Option<i64>,
    /// What all of them cost an hour.
    pub per_hour: Nano,
}

impl Ran {
    pub(super) fn event(&self) -> Event {
        let Ran { endpoint, since_ms, per_hour } = self.clone();
        Event::Instances { endpoint, since_ms, per_hour }
    }
}

/// The task of one budget.
pub(super) struct Keeper {
    key: Key,
    books: Arc<Books>,
    terms: Option<Terms>,
    current: Option<Record<Object>>,
    /// Ledgers of earlier windows with grants still open.
    old: Vec<Record<Object>>,
    /// Uids of ledgers that are drained.
    past: BTreeSet<String>,
    /// What could not be put on record yet; asks never wait.
    waiting: Vec<Input>,
    pace: Pace,
    /// Terms were not folded into the current ledger yet.
    unfolded: bool,
    shown: Option<View>,
    trend: Trend,
    retry_at: i64,
}

impl Keeper {
    pub(super) fn new(key: Key, books: Arc<Books>, known: Vec<Stored>) -> Keeper {
        let (open, drained): (Vec<_>, Vec<_>) = known.into_iter().partition(|stored| !stored.state.grants.is_empty());
        let past = drained.into_iter().map(|stored| stored.uid).collect();
        let old = open
            .into_iter()
            .map(|stored| {
                let name = stored.state.window.ledger_name(&key.namespace, &key.name);
                Record::new(books.object(&key, name), stored, books.metrics.clone())
            })
            .collect();
        let pace = Pace::new(now());
        Keeper {
            key,
            books,
            terms: None,
            current: None,
            old,
            past,
            waiting: vec![],
            pace,
            unfolded: false,
            shown: None,
            trend: Trend::default(),
            retry_at: 0,
        }
    }

    /// Runs until the term ends.
    pub(super) async fn run(mut self, mut inputs: Receiver<Input>) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            let ticked = tokio::select! {
                count = inputs.recv_many(&mut batch, BATCH) => {
                    if count == 0 {
                        return;
                    }
                    false
                }
                _ = tick.tick() => true,
            };
            let now = now();
            for input in batch.iter() {
                match input {
                    Input::Terms(terms) => self.agree(terms.clone()),
                    Input::LedgerGone(uid) => self.lose(uid),
                    Input::LedgerWritten { uid, version } => {
                        let records = self.old.iter_mut().chain(&mut self.current);
                        records.filter(|record| record.uid() == uid).for_each(|record| record.written(version));
                    }
                    _ => {}
                }
            }
            self.turn(now).await;
            let mut inputs = std::mem::take(&mut self.waiting);
            inputs.append(&mut batch);
            self.serve(now, inputs, ticked).await;
            self.show(now);
        }
    }

    fn agree(&mut self, terms: Option<Terms>) {
        if self.terms == terms {
            return;
        }
        let same = self.terms.as_ref().zip(terms.as_ref()).is_some_and(|(before, after)| before.uid == after.uid);
        if !same && let Some(current) = self.current.take() {
            // Found again, and its uid told to the new object, when there is one.
            self.old.push(current);
            self.shown = None;
        }
        self.terms = terms;
        self.unfolded = true;
        self.retry_at = 0;
    }

    /// The current ledger is gone: the next turn finds that out from the budget's status and freezes.
    fn lose(&mut self, uid: &str) {
        if let Some(current) = self.current.take_if(|current| current.uid() == uid) {
            tracing::error!(budget = %self.key, ledger = current.store().name(), "ledger is gone");
            self.retry_at = 0;
            // They connect again and show every grant that the lost ledger made.
            self.books.streams(&self.key.namespace).cut_all();
        }
    }

    /// Sees to it that the ledger of this moment's window is open, its uid in the budget's status.
    async fn turn(&mut self, now: i64) {
        let Some(terms) = &self.terms else { return };
        let window = match Window::at(terms.period, &terms.time_zone, now) {
            Ok(window) => window,
            Err(error) => {
                tracing::warn!(budget = %self.key, %error, "no window");
                return;
            }
        };
        if now < self.retry_at {
            return;
        }
        if let Some(current) = self.current.as_mut().filter(|current| current.state().window.id == window.id) {
            // Another time zone moves the ends of the same window.
            if current.state().window != window && current.rewindow(window).await != Outcome::Done(vec![]) {
                self.retry_at = now + 1_000;
            }
            return;
        }
        self.old.extend(self.current.take());
        let opened = open::open(Opening { books: &self.books, key: &self.key, terms, window }).await;
        match opened {
            Ok(mut record) => {
                self.past.remove(record.uid());
                if let Some(same) = self.old.iter().position(|old| old.uid() == record.uid()) {
                    record.absorb(&self.old.swap_remove(same));
                }
                self.current = Some(record);
                self.unfolded = true;
            }
            Err(error) => {
                self.retry_at = now + 1_000;
                tracing::warn!(budget = %self.key, %error, "ledger not open: asks are denied until it is");
            }
        }
    }

    async fn serve(&mut self, now: i64, inputs: Vec<Input>, ticked: bool) {
        let mut plan = Plan::new(self.current.as_ref().map(Record::uid), self.old.iter().map(Record::uid), &self.past);
        if let Some(terms) = self.terms.as_ref().filter(|_| self.unfolded && self.current.is_some()) {
            plan.current.push(Event::SetCap { cap: terms.limit, observe: terms.observe });
            plan.current.push(Event::SetShares { per_user: terms.per_user, per_client: terms.per_client });
            for (id, adjustment) in &terms.adjustments {
                plan.current.push(Event::Adjust { id: id.clone(), adjustment: *adjustment });
            }
        }
        for input in &inputs {
            plan.take(input);
        }
        if ticked {
            plan.tick();
            let mut living = self.books.streams(&self.key.namespace).living(Instant::now());
            living.retain(|pod, live| self.records().any(|record| record.state().outlived(pod, live)));
            for (pod, live) in living {
                plan.everywhere(&Event::Replaced { pod, live });
            }
        }
        let Plan { current: events, old: old_events, connected, done, .. } = plan;
        for (incarnation, ledger, grant) in done {
            let closed = Effect::Closed { incarnation, ledger: Some(ledger), grant };
            self.books.send(&self.key, "", i64::MAX, closed);
        }
        let mut failed = false;
        let mut open = Vec::new();
        for (mut record, events) in self.old.drain(..).zip(old_events) {
            let kept = commit(&self.books, &self.key, &mut record, now, &events).await;
            failed |= kept == Kept::Later;
            if kept == Kept::Lost || record.state().grants.is_empty() {
                self.past.insert(record.uid().to_owned());
            } else {
                open.push(record);
            }
        }
        self.old = open;
        let mut served = false;
        if let Some(current) = &mut self.current {
            if events.is_empty() {
                served = true;
            } else {
                let applied = current.state().adjustments.clone();
                match current.commit(now, &events).await {
                    Outcome::Done(effects) => {
                        served = true;
                        for (id, adjustment) in self.terms.iter().flat_map(|terms| &terms.adjustments) {
                            if !applied.contains(id) && current.state().adjustments.contains(id) {
                                self.books.about(&self.key, Note::adjusted(&self.key, id, *adjustment));
                            }
                        }
                        tell(&self.books, &self.key, current, effects);
                        // Another ledger, a new window: what proxies know is of the one before.
                        if std::mem::take(&mut self.unfolded) {
                            tell(&self.books, &self.key, current, vec![Effect::StateChanged]);
                        }
                    }
                    Outcome::Unavailable(error) => {
                        tracing::warn!(budget = %self.key, %error, "ledger not written: nothing is granted until it is");
                    }
                    Outcome::Gone => {
                        let uid = current.uid().to_owned();
                        self.lose(&uid);
                    }
                }
            }
        }
        if served {
            self.greet(&connected);
        }
        let unserved = !served && self.terms.is_some();
        self.settle(inputs, !served, unserved || failed);
        self.books.hold(&self.key, self.pods());
    }

    /// Asks that were not served are denied, the proxy asks again; the rest of a batch that failed comes again with the next.
    fn settle(&mut self, inputs: Vec<Input>, deny: bool, keep: bool) {
        for input in inputs {
            match input {
                Input::Ask(holder, ask) if deny => self.deny(&holder, &ask),
                Input::Ask(..) | Input::Terms(_) | Input::LedgerGone(_) | Input::LedgerWritten { .. } => {}
                kept if keep && self.waiting.len() < 4 * BATCH => self.waiting.push(kept),
                _ => {}
            }
        }
    }

    fn deny(&self, holder: &Holder, ask: &control::Ask) {
        let denied = convert::unavailable(&holder.incarnation, ask);
        self.books.streams(&self.key.namespace).send(&holder.incarnation, denied);
    }

    /// A proxy that connects learns where the budget stands.
    fn greet(&self, connected: &[Holder]) {
        let Some(current) = &self.current else { return };
        let state = current.state();
        let message = convert::state(&self.key.name, state.window.ends_ms(), &state.figures());
        for holder in connected {
            self.books.streams(&self.key.namespace).send(&holder.incarnation, message.clone());
        }
    }

    fn records(&self) -> impl Iterator<Item = &Record<Object>> {
        self.current.iter().chain(&self.old)
    }

    fn pods(&self) -> Vec<String> {
        self.records().flat_map(|record| record.state().pods()).map(str::to_owned).collect()
    }

    /// Figures for status, when they are due.
    fn show(&mut self, now: i64) {
        let Some((current, terms)) = self.current.as_ref().zip(self.terms.as_ref()) else { return };
        let state = current.state();
        let forecast = self.trend.forecast(&state.window, &state.figures(), now);
        let view = View::of(current.state(), current.store().name(), current.uid(), &terms.thresholds, forecast);
        if self.shown.as_ref().is_none_or(|shown| !shown.same_figures(&view)) {
            let urgent = self.shown.as_ref().is_none_or(|shown| shown.acted_on_differs(&view));
            self.pace.change(now, urgent);
            self.books.metrics.budgets.show(&self.key, &view);
            self.shown = Some(view);
        }
        if self.pace.due(now)
            && let Some(view) = &self.shown
        {
            self.books.show(&self.key, view.clone());
        }
    }
}

/// What became of a batch for a ledger of an earlier window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kept {
    /// On record.
    Now,
    /// To be tried again.
    Later,
    /// Nothing can be charged to it any more; its proxies are told to forget their grants.
    Lost,
}

async fn commit(books: &Books, key: &Key, record: &mut Record<Object>, now: i64, events: &[Event]) -> Kept {
    if events.is_empty() {
        return Kept::Now;
    }
    match record.commit(now, events).await {
        Outcome::Done(mut effects) => {
            // Where the budget stands is what its current ledger says.
            effects.retain(|effect| *effect != Effect::StateChanged);
            tell(books, key, record, effects);
            Kept::Now
        }
        Outcome::Unavailable(error) => {
            tracing::warn!(budget = %key, ledger = record.store().name(), %error, "ledger of an earlier window not written");
            Kept::Later
        }
        Outcome::Gone => {
            tracing::error!(budget = %key, ledger = record.store().name(), "ledger of an earlier window is gone");
            Kept::Lost
        }
    }
}

/// Lets the effects of a recorded state out.
fn tell(books: &Books, key: &Key, record: &Record<Object>, effects: Vec<Effect>) {
    let state = record.state();
    let window_end = state.window.ends_ms();
    for effect in effects {
        books.note(key, &effect);
        match effect {
            Effect::StateChanged => books.broadcast(key, &convert::state(&key.name, window_end, &state.figures())),
            effect => books.send(key, record.uid(), window_end, effect),
        }
    }
}

pub(super) fn now() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}
