//! Every ledger of a standalone proxy: budgets' terms and purses' messages in, answers out; what must be on disk first is.

use super::files::{FileError, Files, Found, Record};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use tollway_core::spend::ledger::{Adjustment, Spent, fold};
use tollway_core::spend::purse::Spending;
use tollway_core::spend::{Effect, Event, Figures, In, LedgerState, Nano, Out, Subject, Transition, Window, convert};
use tollway_core::table::{Mode, Table};

/// This process is the only holder; a restart is a newer incarnation of the same one.
const POD: &str = "standalone";
/// How often time passes for a ledger.
const TICK_MS: i64 = 1_000;
/// How long the file of a window that is over is kept.
const KEEP_MS: i64 = 35 * 24 * 3_600_000;

/// What the manifests say of every budget.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Terms {
    pub table: Arc<Table>,
    /// Adjustments by budget, in their order.
    pub adjustments: BTreeMap<String, Vec<(String, Adjustment)>>,
}

/// Every ledger by name.
#[derive(Debug)]
pub struct Book {
    files: Files,
    incarnation: String,
    ledgers: BTreeMap<String, Ledger>,
    /// The ledger of each budget's running window.
    current: BTreeMap<String, String>,
    /// Names of ledgers whose file was damaged, with what was wrong.
    damaged: BTreeMap<String, String>,
    last_tick_ms: i64,
}

#[derive(Debug)]
struct Ledger {
    record: Record,
    /// The cap, mode and adjustments that the state has taken.
    applied: Option<Applied>,
    told: Option<Figures>,
    failing: bool,
}

/// What a purse is told: the budget, whose shares it is about, the message.
type Answer = (String, Subject, In);

#[derive(Debug, PartialEq)]
struct Applied {
    cap: Nano,
    observe: bool,
    /// Of each user and of each client.
    shares: [Option<Nano>; 2],
    adjustments: Vec<(String, Adjustment)>,
}

impl Book {
    /// # Errors
    /// The folder is in use, or cannot be read.
    pub fn open(dir: PathBuf, incarnation: &str, now_ms: i64) -> Result<Self, FileError> {
        let files = Files::open(&dir)?;
        let all = files.all()?;
        let (ledgers, current) = Default::default();
        let mut book = Self {
            files,
            incarnation: incarnation.to_owned(),
            ledgers,
            current,
            damaged: BTreeMap::new(),
            last_tick_ms: 0,
        };
        for Found { name, read } in all {
            match read {
                Ok(record) => {
                    book.ledgers.insert(name, Ledger { record, applied: None, told: None, failing: false });
                }
                Err(what) => {
                    tracing::error!(file = %book.files.path(&name).display(), %what, "a ledger is damaged: its budget is frozen");
                    book.files.set_aside(&name);
                    book.damaged.insert(name, what);
                }
            }
        }
        let (pod, incarnation) = (POD.to_owned(), incarnation.to_owned());
        // The files' lock was free: whoever held it is gone.
        let replaced = Event::Replaced { pod, live: vec![incarnation] };
        let names: Vec<_> = book.ledgers.keys().cloned().collect();
        for name in names {
            book.apply(now_ms, &name, std::slice::from_ref(&replaced));
        }
        Ok(book)
    }

    /// One exchange: what the purses sent, and what each is answered.
    pub fn turn(&mut self, now_ms: i64, terms: &Terms, due: Vec<(Arc<str>, Out)>) -> Vec<Answer> {
        let mut events = self.settle_terms(now_ms, terms);
        let mut answers = Vec::new();
        for (budget, out) in due {
            match self.event(&budget, out) {
                Ok((ledger, event)) => events.entry(ledger).or_default().push(event),
                Err((subject, answer)) => answers.push((budget.to_string(), subject, answer)),
            }
        }
        if now_ms - self.last_tick_ms >= TICK_MS {
            self.last_tick_ms = now_ms;
            for name in self.ledgers.keys() {
                events.entry(name.clone()).or_default().push(Event::Tick);
            }
        }
        for (name, events) in events {
            answers.extend(self.apply(now_ms, &name, &events));
        }
        answers.extend(self.states());
        self.forget(now_ms);
        answers
    }

    /// Where each budget of the running windows stands.
    pub fn figures(&self) -> Vec<(&str, Figures)> {
        let told = |name: &String| self.ledgers.get(name)?.told.clone();
        self.current.iter().filter_map(|(budget, name)| Some((budget.as_str(), told(name)?))).collect()
    }

    /// Opens the window that is running for every budget; the events that bring its ledger up to the terms.
    fn settle_terms(&mut self, now_ms: i64, terms: &Terms) -> BTreeMap<String, Vec<Event>> {
        let mut events = BTreeMap::new();
        self.current.clear();
        for (budget, of) in &terms.table.budgets {
            let window = match Window::at(of.period, &of.time_zone, now_ms) {
                Ok(window) => window,
                Err(error) => {
                    tracing::error!(%budget, %error, "this budget has no window just now and denies");
                    continue;
                }
            };
            let name = window.ledger_name(&terms.table.namespace, budget);
            self.current.insert(budget.clone(), name.clone());
            self.begin(&name, &terms.table.namespace, budget, of.limit, window);
            let Some(ledger) = self.ledgers.get(&name) else { continue };
            let observe = of.mode == Mode::Observe;
            let adjustments = terms.adjustments.get(budget).cloned().unwrap_or_default();
            let wanted = Applied { cap: of.limit, observe, shares: [of.per_user, of.per_client], adjustments };
            if ledger.applied.as_ref() != Some(&wanted) {
                let Applied { cap, observe, shares: [per_user, per_client], adjustments } = wanted;
                let adjust = |(id, adjustment)| Event::Adjust { id, adjustment };
                let terms = [Event::SetCap { cap, observe }, Event::SetShares { per_user, per_client }];
                events.insert(name, terms.into_iter().chain(adjustments.into_iter().map(adjust)).collect());
            }
        }
        events
    }

    /// A window without a ledger gets one: after a damaged file a frozen one, else the successor of the window before.
    fn begin(&mut self, name: &str, namespace: &str, budget: &str, cap: Nano, window: Window) {
        if self.ledgers.contains_key(name) {
            return;
        }
        let same = |l: &&Ledger| l.record.namespace == namespace && l.record.budget == budget;
        let before = self.ledgers.values().filter(same).filter(|l| l.record.state.window.start_ms < window.start_ms);
        let before = before.max_by_key(|l| l.record.state.window.start_ms);
        let state = match (self.damaged.get(name), before) {
            (Some(what), _) => {
                let reason = format!(
                    "the ledger's file was damaged ({what}): check what was spent, then add a `resume` adjustment"
                );
                LedgerState::frozen(cap, window, &reason)
            }
            (None, Some(before)) => before.record.state.successor(window),
            (None, None) => LedgerState::new(cap, window),
        };
        let record = Record { namespace: namespace.to_owned(), budget: budget.to_owned(), state };
        if self.damaged.contains_key(name)
            && let Err(error) = self.files.write(name, &record)
        {
            tracing::error!(%budget, %error, "the frozen ledger cannot be written; the damaged file stays in its place");
        }
        self.ledgers.insert(name.to_owned(), Ledger { record, applied: None, told: None, failing: false });
    }

    /// The ledger a purse's message is for, and the message as its event; or the answer when there is no such ledger.
    fn event(&self, budget: &str, out: Out) -> Result<(String, Event), (Subject, In)> {
        let incarnation = self.incarnation.clone();
        let figures = |spending: Spending| {
            let Spending { ledger, grant, spent, estimated, bound_exceeded } = spending;
            (ledger, Spent { incarnation: self.incarnation.clone(), grant, spent, estimated, bound_exceeded })
        };
        let known = |ledger: String, grant: u64, event: Event| {
            if self.ledgers.contains_key(&ledger) {
                Ok((ledger, event))
            } else {
                Err((Subject::default(), In::Closed { ledger, grant }))
            }
        };
        match out {
            Out::Ask { id, min, want, subject } => match self.current.get(budget) {
                Some(name) => {
                    Ok((name.clone(), Event::Ask { pod: POD.to_owned(), incarnation, id, min, want, subject }))
                }
                None => Err((subject, unavailable(incarnation, id))),
            },
            Out::Report(spending) => {
                let (ledger, spent) = figures(spending);
                known(ledger, spent.grant, Event::Report(spent))
            }
            Out::Close(spending) => {
                let (ledger, spent) = figures(spending);
                known(ledger, spent.grant, Event::Close(spent))
            }
        }
    }

    /// Folds the events; nothing that needs the disk leaves before it is there. What cannot be written did not happen:
    /// asks are denied, closes are repeated by the purse.
    fn apply(&mut self, now_ms: i64, name: &str, events: &[Event]) -> Vec<Answer> {
        let Some(ledger) = self.ledgers.get_mut(name) else { return Vec::new() };
        let (next, Transition { persist, effects }) = fold(&ledger.record.state, now_ms, events);
        let record = Record { state: next, ..ledger.record.clone() };
        if persist && let Err(error) = self.files.write(name, &record) {
            if !ledger.failing {
                tracing::error!(budget = %ledger.record.budget, %error, "the ledger cannot be written: nothing is granted until it can");
            }
            ledger.failing = true;
            ledger.record.state.absorb_reports(&record.state);
            let asked = events.iter().filter_map(|event| match event {
                Event::Ask { incarnation, id, subject, .. } => Some((*subject, unavailable(incarnation.clone(), *id))),
                _ => None,
            });
            return asked.map(|(subject, denied)| (ledger.record.budget.clone(), subject, denied)).collect();
        }
        ledger.record = record;
        ledger.failing &= !persist;
        ledger.note(events);
        let budget = &ledger.record.budget;
        let window_end_ms = ledger.record.state.window.ends_ms();
        let mut answers = Vec::new();
        for effect in effects {
            match &effect {
                Effect::Burned { grant, amount, .. } => {
                    tracing::warn!(%budget, grant, %amount, "a grant whose holder died was charged in full");
                }
                Effect::Frozen { reason } => tracing::error!(%budget, %reason, "budget frozen"),
                _ => {}
            }
            answers
                .extend(convert::down(budget, name, window_end_ms, effect).and_then(|(_, down)| convert::taken(down)));
        }
        answers
    }

    /// What changed about the budgets of the running windows since purses were told.
    fn states(&mut self) -> Vec<Answer> {
        let mut answers = Vec::new();
        for (budget, name) in &self.current {
            let Some(ledger) = self.ledgers.get_mut(name) else { continue };
            let figures = ledger.record.state.figures();
            if ledger.told.as_ref() != Some(&figures) {
                let down = convert::state(budget, ledger.record.state.window.ends_ms(), &figures);
                answers.extend(convert::taken(down));
                ledger.told = Some(figures);
            }
        }
        answers
    }

    /// A window that was over long ago and has every grant back is forgotten, file and all.
    fn forget(&mut self, now_ms: i64) {
        let expired =
            |state: &LedgerState| state.drained(now_ms) && state.window.ends_ms().saturating_add(KEEP_MS) < now_ms;
        for (name, _) in self.ledgers.extract_if(.., |_, ledger| expired(&ledger.record.state)) {
            self.files.remove(&name);
        }
    }
}

impl Ledger {
    /// Remembers which terms the state has taken, so that they are not folded again at every turn.
    fn note(&mut self, events: &[Event]) {
        let Some(shares) = events.iter().find_map(|event| match event {
            Event::SetShares { per_user, per_client } => Some([*per_user, *per_client]),
            _ => None,
        }) else {
            return;
        };
        let Some((cap, observe)) = events.iter().find_map(|event| match event {
            Event::SetCap { cap, observe } => Some((*cap, *observe)),
            _ => None,
        }) else {
            return;
        };
        let adjustments = events.iter().filter_map(|event| match event {
            Event::Adjust { id, adjustment } => Some((id.clone(), *adjustment)),
            _ => None,
        });
        self.applied = Some(Applied { cap, observe, shares, adjustments: adjustments.collect() });
    }
}

fn unavailable(incarnation: String, ask: u64) -> In {
    use tollway_core::spend::ledger::DeniedReason::Unavailable;
    In::Denied { incarnation, ask, reason: Unavailable, fits: Nano::ZERO }
}
