//! A trace in, sentences out.

use super::network::Message;
use super::operators::Fate;
use super::search::{Act, Search};
use super::setups::Ending;
use crate::spend::purse::{In, Out};
use stateright::{Model, Path};

/// Numbered sentences, and what the last state is.
pub(super) fn story(search: &Search, path: Path<super::world::World, Act>) -> Vec<String> {
    let mut steps = path.into_actions().into_iter().map(|act| sentence(search, &act)).collect::<Vec<_>>();
    for (number, step) in steps.iter_mut().enumerate() {
        *step = format!("{:>2}. {step}", number + 1);
    }
    steps
}

fn proxy(index: usize) -> char {
    char::from(b'a' + u8::try_from(index).unwrap())
}

fn sentence(search: &Search, act: &Act) -> String {
    let _ = search.init_states();
    match act {
        Act::Request { proxy: p, worst } => format!("proxy {} wants to send a request of at most {worst}", proxy(*p)),
        Act::End { proxy: p, how, .. } => {
            let how = match how {
                Ending::Dear => "ends at its worst case",
                Ending::Cheap => "ends one under its worst case",
                Ending::Refused => "was never sent",
                Ending::CutDear => "is cut off; in truth it cost its worst case",
                Ending::CutFree => "is cut off; in truth it cost nothing",
                Ending::Over => "ends one above its bound",
            };
            format!("a request of proxy {} {how}", proxy(*p))
        }
        Act::Poll { proxy: p } => format!("proxy {} sends what is due", proxy(*p)),
        Act::Connect { proxy: p } => format!("proxy {} connects and shows what it holds", proxy(*p)),
        Act::Restart { proxy: p, gone: false } => format!("the process of proxy {} dies, another starts", proxy(*p)),
        Act::Restart { proxy: p, gone: true } => format!("the Pod of proxy {} is gone, another starts", proxy(*p)),
        Act::CloseEarly { proxy: p } => format!("proxy {} closes what it holds, with work in flight", proxy(*p)),
        Act::Inform { proxy: p } => format!("proxy {} is told where the budget stands", proxy(*p)),
        Act::Serve { op, message, fate } => {
            let fate = match fate {
                Fate::Known => "",
                Fate::Unsure => "; its write happens, but it is told of a time-out and reads",
                Fate::Never => "; it answers, then dies before it writes",
            };
            format!("operator {} takes: {}{fate}", op + 1, said(message))
        }
        Act::Take { proxy: p, message } => format!("proxy {} takes: {}", proxy(*p), said(message)),
        Act::Tick { op } => format!("operator {} looks at the clock", op + 1),
        Act::Bury { op, proxy: p } => {
            format!("operator {} learns that older processes of {} are dead", op + 1, proxy(*p))
        }
        Act::Spec => "the limit in the spec changes".to_owned(),
        Act::Limit { op, cap } => format!("operator {} reads a limit of {cap} in the spec", op + 1),
        Act::Resume { op } => format!("operator {} reads a resume in the spec", op + 1),
        Act::Crash { op } => format!("operator {} dies and starts anew", op + 1),
        Act::PassAll => "time passes".to_owned(),
        Act::PassOperator { op } => format!("time passes for operator {}", op + 1),
        Act::PassProxy { proxy: p } => format!("time passes for proxy {}", proxy(*p)),
        Act::Save => "a backup of the ledger is made".to_owned(),
        Act::Lose => "the ledger is lost: put back to the backup, or deleted".to_owned(),
    }
}

fn said(message: &Message) -> String {
    match message {
        Message::Hello { incarnation, held, .. } => {
            let held: Vec<_> =
                held.iter().map(|(_, uid, g)| format!("grant {} of {} ({uid})", g.grant, g.amount.0)).collect();
            format!(
                "{incarnation} is here and holds {}",
                if held.is_empty() { "nothing".into() } else { held.join(", ") }
            )
        }
        Message::Up { incarnation, out, .. } => match out {
            Out::Ask { id, min, want, .. } => format!("{incarnation} asks ({id}) for {} to {}", min.0, want.0),
            Out::Report(s) => format!("{incarnation} has spent {} on grant {}", s.spent.0, s.grant),
            Out::Close(s) => format!("{incarnation} closes grant {}, {} spent", s.grant, s.spent.0),
        },
        Message::Down { incarnation, message, .. } => match message {
            In::Grant(g) => format!("grant {} of {} for ask {} of {}", g.grant, g.amount.0, g.ask, g.incarnation),
            In::Denied { ask, reason, fits, .. } => {
                format!("ask {ask} of {incarnation} denied: {reason:?}, {} fits", fits.0)
            }
            In::Recall { grant, .. } => format!("give grant {grant} back, {incarnation}"),
            In::Closed { grant, .. } => format!("forget grant {grant}, {incarnation}"),
            In::State(_) => "where the budget stands".to_owned(),
        },
    }
}
