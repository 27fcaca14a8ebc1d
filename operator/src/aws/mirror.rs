//! What a budget in AWS should be and what it is in; the calls that make it so out. Pure; `keep` runs it.
//!
//! # Why a claim on the CostBudget itself
//! What was made must be deleted with the resource, and what somebody else made must never be touched. Before the first call that
//! creates anything, the resource gets a finalizer and an annotation with the place, in one write: whoever leads next knows from it
//! what is ours, whatever was interrupted.

pub mod keep;

use std::collections::BTreeMap;
use std::fmt;
use tollway_core::spend::Nano;
use tollway_core::table::Period;
use tollway_crds::{CostBudgetSpec, cost_budget};

/// AWS takes so many notifications for a budget; of more thresholds, the highest are told.
const MOST_ALERTS: usize = 10;

/// Where a budget is in AWS.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The account.
    pub account: String,
    /// The name there.
    pub name: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.account, self.name)
    }
}

impl std::str::FromStr for Place {
    type Err = ();

    fn from_str(text: &str) -> Result<Place, ()> {
        let (account, name) = text.split_once('/').ok_or(())?;
        Ok(Place { account: account.to_owned(), name: name.to_owned() })
    }
}

/// What a mirror should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The limit.
    pub limit: Nano,
    /// The window.
    pub period: Period,
    /// Percent of the limit, and the topic that is told.
    pub alerts: BTreeMap<u32, String>,
}

impl Wanted {
    /// The mirror that a checked spec asks for, and its place.
    pub fn of(spec: &CostBudgetSpec) -> Option<(Place, Wanted)> {
        let place = spec.aws_budget.as_ref()?;
        let limit = spec.limit.amount.0.parse().ok()?;
        let period = match spec.period {
            cost_budget::Period::Daily => Period::Daily,
            cost_budget::Period::Monthly => Period::Monthly,
            cost_budget::Period::Weekly | cost_budget::Period::Once => return None,
        };
        let place = Place { account: place.account_id.clone(), name: place.name.clone() };
        let first = |actions: &[cost_budget::Action]| {
            actions.iter().find_map(|action| action.notify.as_ref().map(|notify| notify.sns_topic_arn.0.clone()))
        };
        let told = spec.thresholds.iter().filter_map(|t| Some((t.percent, first(&t.actions)?)));
        let mut alerts: BTreeMap<u32, String> = told.collect();
        while alerts.len() > MOST_ALERTS {
            alerts.pop_first();
        }
        Some((place, Wanted { limit, period, alerts }))
    }
}

/// What a budget in AWS is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// The limit; `None`: something else than one fixed amount of USD.
    pub limit: Option<Nano>,
    /// The window; `None`: neither a day nor a month.
    pub period: Option<Period>,
    /// Notifications of the kind that mirrors thresholds, and the topic that each tells.
    pub alerts: BTreeMap<u32, Option<String>>,
    /// What AWS says was spent.
    pub actual: Option<Nano>,
}

/// One change in AWS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// Makes the budget with its notifications.
    Create(Wanted),
    /// Sets limit and window.
    Update {
        /// The limit.
        limit: Nano,
        /// The window.
        period: Period,
    },
    /// Adds a notification.
    AddAlert {
        /// Percent of the limit.
        percent: u32,
        /// The topic.
        topic: String,
    },
    /// Removes a notification with all it tells.
    RemoveAlert {
        /// Percent of the limit.
        percent: u32,
    },
    /// Has a notification tell another topic.
    Subscribe {
        /// Percent of the limit.
        percent: u32,
        /// The topic told until now.
        from: Option<String>,
        /// The topic.
        to: String,
    },
}

/// The changes that make what is there what should be; none when it is. Removals first, so that a full budget has room.
pub fn plan(wanted: &Wanted, observed: Option<&Observed>) -> Vec<Call> {
    let Some(observed) = observed else { return vec![Call::Create(wanted.clone())] };
    let Wanted { limit, period, alerts } = wanted;
    let mut calls = Vec::new();
    if observed.limit != Some(*limit) || observed.period != Some(*period) {
        calls.push(Call::Update { limit: *limit, period: *period });
    }
    for percent in observed.alerts.keys().filter(|percent| !alerts.contains_key(percent)) {
        calls.push(Call::RemoveAlert { percent: *percent });
    }
    for (percent, topic) in alerts {
        let (percent, to) = (*percent, topic.clone());
        match observed.alerts.get(&percent) {
            None => calls.push(Call::AddAlert { percent, topic: to }),
            Some(from) if from.as_ref() != Some(topic) => {
                calls.push(Call::Subscribe { percent, from: from.clone(), to })
            }
            Some(_) => {}
        }
    }
    calls
}

#[cfg(test)]
mod tests;
