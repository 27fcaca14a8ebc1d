//! The control channel's messages in, the ledger's events and the purse's messages out, and back: one place for operator and proxy.

use super::ledger::{DeniedReason, Effect, Event, Figures, ShownGrant, Spent};
use super::nano::Nano;
use super::purse::{Granted, In, Out, Spending, State};
use super::subject::{Share, Subject, Who};
use crate::control::{self, ledger_down, ledger_up};

impl From<DeniedReason> for control::DeniedReason {
    fn from(reason: DeniedReason) -> Self {
        match reason {
            DeniedReason::Exhausted => Self::Exhausted,
            DeniedReason::ShareExhausted(Share::User) => Self::UserExhausted,
            DeniedReason::ShareExhausted(Share::Client) => Self::ClientExhausted,
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
            control::DeniedReason::UserExhausted => Self::ShareExhausted(Share::User),
            control::DeniedReason::ClientExhausted => Self::ShareExhausted(Share::Client),
            control::DeniedReason::Contended => Self::Contended,
            control::DeniedReason::Frozen => Self::Frozen,
            control::DeniedReason::Unavailable | control::DeniedReason::Unspecified => Self::Unavailable,
        }
    }
}

/// A hash as messages carry it: text, empty for nobody.
fn text(who: Option<Who>) -> String {
    who.map(|who| who.to_string()).unwrap_or_default()
}

/// What is no hash counts as one all the same, so that nobody is served outside every share by saying nonsense.
fn subject(user: &str, client: &str) -> Subject {
    let who = |text: &str| (!text.is_empty()).then(|| text.parse().unwrap_or_else(|_| Who::default()));
    Subject { user: who(user), client: who(client) }
}

/// The purse's message about `budget`, for the proxy to send.
#[must_use]
pub fn up(budget: &str, out: Out) -> control::LedgerUp {
    let budget = budget.to_owned();
    let message = match out {
        Out::Ask { id, min, want, subject: Subject { user, client } } => {
            let (user, client) = (text(user), text(client));
            ledger_up::Message::Ask(control::Ask { budget, id, min: min.0, want: want.0, user, client })
        }
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
    let ShownGrant { grant, amount, spent, estimated, subject: Subject { user, client } } = shown;
    let (user, client) = (text(user), text(client));
    let (amount, spent, estimated) = (amount.0, spent.0, estimated.0);
    control::HeldGrant { budget: budget.to_owned(), ledger, grant, amount, spent, estimated, user, client }
}

/// A shown grant, for the operator to sort by budget and ledger into [`Event::Hello`].
#[must_use]
pub fn shown(held: &control::HeldGrant) -> ShownGrant {
    let control::HeldGrant { grant, amount, spent, estimated, user, client, budget: _, ledger: _ } = held;
    let (amount, spent, estimated) = (Nano(*amount), Nano(*spent), Nano(*estimated));
    ShownGrant { grant: *grant, amount, spent, estimated, subject: subject(user, client) }
}

/// A proxy's ask as an event of its budget's ledger.
#[must_use]
pub fn ask(pod: &str, incarnation: &str, ask: &control::Ask) -> Event {
    let control::Ask { budget: _, id, min, want, user, client } = ask;
    let (pod, incarnation, subject) = (pod.to_owned(), incarnation.to_owned(), subject(user, client));
    Event::Ask { pod, incarnation, id: *id, min: Nano(*min), want: Nano(*want), subject }
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
        Effect::Granted { incarnation, ask, subject: Subject { user, client }, grant, amount, life_end_ms } => {
            let (to, amount, ledger) = (incarnation.clone(), amount.0, own);
            let (user, client) = (text(user), text(client));
            let made = control::Grant {
                budget,
                ledger,
                grant,
                incarnation,
                ask,
                amount,
                window_end_ms,
                life_end_ms,
                user,
                client,
            };
            (to, ledger_down::Message::Grant(made))
        }
        Effect::Denied { incarnation, ask, subject, reason, fits } => {
            let message = denied(&budget, &incarnation, ask, subject, reason, fits);
            (incarnation, message)
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

fn denied(
    budget: &str,
    incarnation: &str,
    ask: u64,
    Subject { user, client }: Subject,
    reason: DeniedReason,
    fits: Nano,
) -> ledger_down::Message {
    let reason = control::DeniedReason::from(reason).into();
    let (budget, incarnation) = (budget.to_owned(), incarnation.to_owned());
    let (user, client) = (text(user), text(client));
    ledger_down::Message::Denied(control::Denied { budget, incarnation, ask, reason, fits: fits.0, user, client })
}

/// What a proxy is told whose ask could not be looked at: it asks again.
#[must_use]
pub fn unavailable(incarnation: &str, ask: &control::Ask) -> control::LedgerDown {
    let whose = subject(&ask.user, &ask.client);
    let message = denied(&ask.budget, incarnation, ask.id, whose, DeniedReason::Unavailable, Nano::ZERO);
    control::LedgerDown { message: Some(message) }
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

/// A message of the operator as the budget and the subject it is about and what that purse takes; none for one of a later version.
/// What is about no one's shares in particular is for every purse of the budget.
#[must_use]
pub fn taken(down: control::LedgerDown) -> Option<(String, Subject, In)> {
    Some(match down.message? {
        ledger_down::Message::Grant(made) => {
            let control::Grant {
                budget,
                ledger,
                grant,
                incarnation,
                ask,
                amount,
                window_end_ms,
                life_end_ms,
                user,
                client,
            } = made;
            let amount = Nano(amount);
            (
                budget,
                subject(&user, &client),
                In::Grant(Granted { ledger, grant, incarnation, ask, amount, window_end_ms, life_end_ms }),
            )
        }
        ledger_down::Message::Denied(denied) => {
            let reason = DeniedReason::from(denied.reason());
            let control::Denied { budget, incarnation, ask, reason: _, fits, user, client } = denied;
            (budget, subject(&user, &client), In::Denied { incarnation, ask, reason, fits: Nano(fits) })
        }
        ledger_down::Message::Recall(control::Recall { budget, ledger, grant }) => {
            (budget, Subject::default(), In::Recall { ledger, grant })
        }
        ledger_down::Message::Closed(control::Closed { budget, ledger, grant }) => {
            (budget, Subject::default(), In::Closed { ledger, grant })
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
            (budget, Subject::default(), In::State(state))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;

    /// What travels is bytes.
    fn over_the_wire<M: Message + Default>(message: &M) -> M {
        M::decode(message.encode_to_vec().as_slice()).unwrap()
    }

    fn ann() -> Subject {
        Subject::new(Some(Some("ann")), Some(None))
    }

    #[test]
    fn what_a_ledger_tells_reaches_the_purse_whole() {
        let to = |effect| down("b", "uid", 77, effect).map(|(to, m)| (to, taken(over_the_wire(&m)).unwrap()));
        let incarnation = || "me".to_owned();
        let granted = Effect::Granted {
            incarnation: incarnation(),
            ask: 3,
            subject: ann(),
            grant: 9,
            amount: Nano(5),
            life_end_ms: 88,
        };
        let (ledger, window_end_ms) = ("uid".to_owned(), 77);
        let made = Granted {
            ledger,
            grant: 9,
            incarnation: incarnation(),
            ask: 3,
            amount: Nano(5),
            window_end_ms,
            life_end_ms: 88,
        };
        assert_eq!(to(granted), Some((incarnation(), ("b".to_owned(), ann(), In::Grant(made)))));
        for reason in [
            DeniedReason::Exhausted,
            DeniedReason::ShareExhausted(Share::User),
            DeniedReason::ShareExhausted(Share::Client),
            DeniedReason::Contended,
            DeniedReason::Frozen,
            DeniedReason::Unavailable,
        ] {
            let (ask, fits) = (4, Nano(6));
            let denied = Effect::Denied { incarnation: incarnation(), ask, subject: ann(), reason, fits };
            let arrives = In::Denied { incarnation: incarnation(), ask, reason, fits };
            assert_eq!(to(denied), Some((incarnation(), ("b".to_owned(), ann(), arrives))));
        }
        let recall = Effect::Recall { incarnation: incarnation(), grant: 2 };
        assert_eq!(to(recall).unwrap().1.2, In::Recall { ledger: "uid".into(), grant: 2 });
        let closed = Effect::Closed { incarnation: incarnation(), ledger: Some("old".into()), grant: 2 };
        assert_eq!(to(closed).unwrap().1.2, In::Closed { ledger: "old".into(), grant: 2 });
        assert_eq!(to(Effect::StateChanged), None);
    }

    #[test]
    fn what_a_purse_says_reaches_the_ledger_whole() {
        let spending = || Spending {
            ledger: "uid".into(),
            grant: 2,
            spent: Nano(7),
            estimated: Nano(3),
            bound_exceeded: vec!["m".into()],
        };
        let figures = Spent {
            incarnation: "me".into(),
            grant: 2,
            spent: Nano(7),
            estimated: Nano(3),
            bound_exceeded: vec!["m".into()],
        };
        match over_the_wire(&up("b", Out::Report(spending()))).message.unwrap() {
            ledger_up::Message::Report(r) => assert_eq!(report("me", r), Event::Report(figures.clone())),
            other => panic!("{other:?}"),
        }
        match over_the_wire(&up("b", Out::Close(spending()))).message.unwrap() {
            ledger_up::Message::Close(c) => assert_eq!(close("me", c), Event::Close(figures)),
            other => panic!("{other:?}"),
        }
        match over_the_wire(&up("b", Out::Ask { id: 5, min: Nano(1), want: Nano(2), subject: ann() })).message.unwrap()
        {
            ledger_up::Message::Ask(a) => {
                let (pod, incarnation) = ("p".to_owned(), "me".to_owned());
                let (min, want, subject) = (Nano(1), Nano(2), ann());
                assert_eq!(ask("p", "me", &a), Event::Ask { pod, incarnation, id: 5, min, want, subject });
            }
            other => panic!("{other:?}"),
        }
        let grant = ShownGrant { grant: 1, amount: Nano(9), spent: Nano(4), estimated: Nano(2), subject: ann() };
        assert_eq!(shown(&over_the_wire(&held("b", "uid".into(), grant))), grant);
    }

    #[test]
    fn where_a_budget_stands_reaches_the_purse() {
        let figures = Figures {
            limit: Nano(10),
            spent: Nano(8),
            remaining: Nano(2),
            exhausted: true,
            frozen: Some("why".into()),
            denied_models: vec!["m".into()],
            ..Figures::default()
        };
        let (budget, _, message) = taken(over_the_wire(&state("b", 77, &figures))).unwrap();
        let In::State(told) = message else { panic!("{message:?}") };
        assert_eq!((budget.as_str(), told.percent(), told.window_end_ms), ("b", 80, 77));
        assert!(told.exhausted && told.frozen && told.denied_models.contains("m"));
        assert_eq!((told.limit, told.remaining), (Nano(10), Nano(2)));
    }
}
