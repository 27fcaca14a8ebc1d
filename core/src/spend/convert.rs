//! The control channel's messages in, the ledger's events and the purse's messages out, and back: one place for operator and proxy.

use super::ledger::{DeniedReason, Effect, Event, Figures, ShownGrant, Spent};
use super::nano::Nano;
use super::purse::{Granted, In, Out, Spending, State};
use crate::control::{self, ledger_down, ledger_up};

impl From<DeniedReason> for control::DeniedReason {
    fn from(reason: DeniedReason) -> Self {
        match reason {
            DeniedReason::Exhausted => Self::Exhausted,
            DeniedReason::Contended => Self::Contended,
            DeniedReason::Frozen => Self::Frozen,
            DeniedReason::Unavailable => Self::Unavailable,
        }
    }
}

impl From<control::DeniedReason> for DeniedReason {
    /// A reason of a later version is one to ask again after.
    fn from(reason: control::DeniedReason) -> Self {
        match reason {
            control::DeniedReason::Exhausted => Self::Exhausted,
            control::DeniedReason::Contended => Self::Contended,
            control::DeniedReason::Frozen => Self::Frozen,
            control::DeniedReason::Unavailable | control::DeniedReason::Unspecified => Self::Unavailable,
        }
    }
}

/// The purse's message about `budget`, for the proxy to send.
#[must_use]
pub fn up(budget: &str, out: Out) -> control::LedgerUp {
    let budget = budget.to_owned();
    let message = match out {
        Out::Ask { id, min, want } => ledger_up::Message::Ask(control::Ask { budget, id, min: min.0, want: want.0 }),
        Out::Report(Spending { ledger, grant, spent, estimated, bound_exceeded }) => {
            let (spent, estimated) = (spent.0, estimated.0);
            ledger_up::Message::Report(control::Report { budget, ledger, grant, spent, estimated, bound_exceeded })
        }
        Out::Close(Spending { ledger, grant, spent, estimated, bound_exceeded }) => {
            let (spent, estimated) = (spent.0, estimated.0);
            ledger_up::Message::Close(control::Close { budget, ledger, grant, spent, estimated, bound_exceeded })
        }
    };
    control::LedgerUp { message: Some(message) }
}

/// A grant of `budget` as a connecting proxy shows it: one entry of what [`super::Purse::hello`] returns.
#[must_use]
pub fn held(budget: &str, ledger: String, shown: ShownGrant) -> control::HeldGrant {
    let ShownGrant { grant, amount, spent, estimated } = shown;
    let (amount, spent, estimated) = (amount.0, spent.0, estimated.0);
    control::HeldGrant { budget: budget.to_owned(), ledger, grant, amount, spent, estimated }
}

/// A shown grant, for the operator to sort by budget and ledger into [`Event::Hello`].
#[must_use]
pub fn shown(held: &control::HeldGrant) -> ShownGrant {
    let control::HeldGrant { grant, amount, spent, estimated, budget: _, ledger: _ } = held;
    ShownGrant { grant: *grant, amount: Nano(*amount), spent: Nano(*spent), estimated: Nano(*estimated) }
}

/// A proxy's ask as an event of its budget's ledger.
#[must_use]
pub fn ask(pod: &str, incarnation: &str, ask: &control::Ask) -> Event {
    let (pod, incarnation) = (pod.to_owned(), incarnation.to_owned());
    Event::Ask { pod, incarnation, id: ask.id, min: Nano(ask.min), want: Nano(ask.want) }
}

/// A proxy's report as an event of the ledger it names.
#[must_use]
pub fn report(incarnation: &str, report: control::Report) -> Event {
    let control::Report { budget: _, ledger: _, grant, spent, estimated, bound_exceeded } = report;
    Event::Report(figures(incarnation, grant, spent, estimated, bound_exceeded))
}

/// A proxy's close as an event of the ledger it names.
#[must_use]
pub fn close(incarnation: &str, close: control::Close) -> Event {
    let control::Close { budget: _, ledger: _, grant, spent, estimated, bound_exceeded } = close;
    Event::Close(figures(incarnation, grant, spent, estimated, bound_exceeded))
}

fn figures(incarnation: &str, grant: u64, spent: u64, estimated: u64, bound_exceeded: Vec<String>) -> Spent {
    let incarnation = incarnation.to_owned();
    Spent { incarnation, grant, spent: Nano(spent), estimated: Nano(estimated), bound_exceeded }
}

/// An effect of the ledger `uid` of `budget` as a message, and the incarnation it goes to; none for what is not told to one proxy.
#[must_use]
pub fn down(budget: &str, uid: &str, window_end_ms: i64, effect: Effect) -> Option<(String, control::LedgerDown)> {
    let (budget, own) = (budget.to_owned(), uid.to_owned());
    let (to, message) = match effect {
        Effect::Granted { incarnation, ask, grant, amount, life_end_ms } => {
            let (to, amount, ledger) = (incarnation.clone(), amount.0, own);
            let made = control::Grant { budget, ledger, grant, incarnation, ask, amount, window_end_ms, life_end_ms };
            (to, ledger_down::Message::Grant(made))
        }
        Effect::Denied { incarnation, ask, reason, fits } => {
            let reason = control::DeniedReason::from(reason).into();
            let denied = control::Denied { budget, incarnation: incarnation.clone(), ask, reason, fits: fits.0 };
            (incarnation, ledger_down::Message::Denied(denied))
        }
        Effect::Recall { incarnation, grant } => {
            (incarnation, ledger_down::Message::Recall(control::Recall { budget, ledger: own, grant }))
        }
        Effect::Closed { incarnation, ledger, grant } => {
            let ledger = ledger.unwrap_or(own);
            (incarnation, ledger_down::Message::Closed(control::Closed { budget, ledger, grant }))
        }
        Effect::Burned { .. } | Effect::Frozen { .. } | Effect::StateChanged => return None,
    };
    Some((to, control::LedgerDown { message: Some(message) }))
}

/// Where `budget` stands, for every proxy of it.
#[must_use]
pub fn state(budget: &str, window_end_ms: i64, figures: &Figures) -> control::LedgerDown {
    let state = control::BudgetState {
        budget: budget.to_owned(),
        limit: figures.limit.0,
        spent: figures.spent.0,
        remaining: figures.remaining.0,
        exhausted: figures.exhausted,
        frozen: figures.frozen.is_some(),
        denied_models: figures.denied_models.clone(),
        window_end_ms,
    };
    control::LedgerDown { message: Some(ledger_down::Message::State(state)) }
}

/// A message of the operator as the budget it is about and what that budget's purse takes; none for one of a later version.
#[must_use]
pub fn taken(down: control::LedgerDown) -> Option<(String, In)> {
    Some(match down.message? {
        ledger_down::Message::Grant(made) => {
            let control::Grant { budget, ledger, grant, incarnation, ask, amount, window_end_ms, life_end_ms } = made;
            let amount = Nano(amount);
            (budget, In::Grant(Granted { ledger, grant, incarnation, ask, amount, window_end_ms, life_end_ms }))
        }
        ledger_down::Message::Denied(denied) => {
            let reason = DeniedReason::from(denied.reason());
            let control::Denied { budget, incarnation, ask, reason: _, fits } = denied;
            (budget, In::Denied { incarnation, ask, reason, fits: Nano(fits) })
        }
        ledger_down::Message::Recall(control::Recall { budget, ledger, grant }) => {
            (budget, In::Recall { ledger, grant })
        }
        ledger_down::Message::Closed(control::Closed { budget, ledger, grant }) => {
            (budget, In::Closed { ledger, grant })
        }
        ledger_down::Message::State(state) => {
            let control::BudgetState {
                budget,
                limit,
                spent,
                remaining,
                exhausted,
                frozen,
                denied_models,
                window_end_ms,
            } = state;
            let state = State {
                limit: Nano(limit),
                spent: Nano(spent),
                remaining: Nano(remaining),
                exhausted,
                frozen,
                denied_models: denied_models.into_iter().collect(),
                window_end_ms,
            };
            (budget, In::State(state))
        }
    })
}
