//! What holds and why in, a list of conditions out, each with the time since when it holds.

use crate::{compile::Verdict, manifest::FieldError};
use jiff::Timestamp;
use tollway_crds::{Condition, Time};

/// Longest message an API server takes.
const LONGEST: usize = 32_000;

/// Whether a condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    Yes,
    No,
    Unknown,
}

impl Holds {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Yes => "True",
            Self::No => "False",
            Self::Unknown => "Unknown",
        }
    }
}

/// A state with its reason and message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Because {
    pub holds: Holds,
    pub reason: &'static str,
    pub message: String,
}

pub fn yes(reason: &'static str, message: impl Into<String>) -> Because {
    Because { holds: Holds::Yes, reason, message: message.into() }
}

pub fn no(reason: &'static str, message: impl Into<String>) -> Because {
    Because { holds: Holds::No, reason, message: message.into() }
}

pub fn unknown(reason: &'static str, message: impl Into<String>) -> Because {
    Because { holds: Holds::Unknown, reason, message: message.into() }
}

/// The conditions of one resource; what did not change keeps its time.
#[derive(Debug)]
pub struct Conditions<'a> {
    generation: i64,
    before: &'a [Condition],
    now: Timestamp,
    list: Vec<Condition>,
}

impl<'a> Conditions<'a> {
    pub fn new(generation: i64, before: &'a [Condition], now: Timestamp) -> Self {
        Self { generation, before, now, list: Vec::new() }
    }

    pub fn set(&mut self, type_: &str, because: &Because) {
        let Because { holds, reason, message } = because;
        let status = holds.as_str();
        let same = self.before.iter().find(|c| c.type_ == type_ && c.status == status);
        // Written with whole seconds, so that what is read back equals what was written.
        let now = Timestamp::from_second(self.now.as_second()).unwrap_or(self.now);
        self.list.push(Condition {
            type_: type_.to_owned(),
            status: status.to_owned(),
            reason: (*reason).to_owned(),
            message: shortened(message),
            observed_generation: Some(self.generation),
            last_transition_time: same.map_or(Time(now), |c| c.last_transition_time.clone()),
        });
    }

    pub fn finish(self) -> Vec<Condition> {
        self.list
    }
}

/// The condition of that type.
#[must_use]
pub fn condition<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions.iter().find(|c| c.type_ == type_)
}

/// Whether a spec is accepted, as every kind says it.
pub fn accepted(verdict: &Verdict) -> Because {
    use crate::compile::InForce;
    let in_force = match verdict.in_force {
        InForce::LastGood(generation) => format!("; generation {generation} stays in force"),
        InForce::Current | InForce::Nothing => String::new(),
    };
    if !verdict.errors.is_empty() {
        // What is not supported is told with it: whoever mends the mistakes should not meet it only then.
        let all: Vec<FieldError> = verdict.errors.iter().chain(&verdict.refused).cloned().collect();
        return no("Invalid", listed(&all) + &in_force);
    }
    if !verdict.refused.is_empty() {
        return no("NotSupported", listed(&verdict.refused) + &in_force);
    }
    if !verdict.conflicts.is_empty() {
        let lost = verdict.conflicts.iter().map(|c| format!("model name {:?} belongs to {}", c.model, c.winner));
        let message = lost.collect::<Vec<_>>().join("; ");
        return if verdict.models.is_empty() {
            no("Conflicted", message + ": use another name")
        } else {
            yes("Conflicted", message + ": use another name; the other names lead here")
        };
    }
    yes("Accepted", "the spec is valid")
}

/// Fields and what is wrong with them, in one line.
pub fn listed(errors: &[FieldError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

fn shortened(message: &str) -> String {
    if message.len() <= LONGEST {
        return message.to_owned();
    }
    let end = (0..=LONGEST).rev().find(|at| message.is_char_boundary(*at)).unwrap_or(0);
    format!("{} ...", &message[..end])
}
