//! A CostBudgetSpec in, a checked budget out.

use super::Errors;
use crate::{
    manifest::{Id, Kind},
    spend::Nano,
    table::{Mode, OnExhausted, Period, Threshold},
};
use std::collections::{BTreeMap, BTreeSet};
use tollway_crds::{Amount, CostBudgetSpec, cost_budget as spec};

/// A checked CostBudget.
#[derive(Clone, Debug, PartialEq)]
pub struct Budget {
    /// What the table says of it.
    pub table: crate::table::Budget,
    /// What it binds.
    pub binds: Binds,
    /// Percentages of the limit that are worth a word, ascending.
    pub thresholds: Vec<u32>,
    /// Corrections by an administrator, in the order written.
    pub adjustments: Vec<Adjustment>,
}

/// What a budget binds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Binds {
    /// Every route of the namespace.
    Everything,
    /// These.
    Named(Vec<Id>),
    /// Those with all of these labels.
    Labelled(BTreeMap<String, String>),
}

/// A correction, applied once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adjustment {
    /// Known by this.
    pub id: String,
    /// What it does.
    pub correction: Correction,
}

/// What an adjustment does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Correction {
    /// Takes this off what the current window has spent.
    Credit(Nano),
    /// Lets a frozen budget, or models denied for BoundExceeded, serve again.
    Resume,
}

/// Checks a spec; what is returned means nothing when an error was found.
pub fn check(spec: &CostBudgetSpec, errors: &mut Errors) -> Budget {
    let CostBudgetSpec {
        limit,
        period,
        time_zone,
        mode,
        target_refs,
        selector,
        per_user,
        per_client,
        thresholds,
        on_exhausted,
        aws_budget,
        adjustments,
    } = spec;
    let mut share =
        |limit: &Option<spec::SubLimit>, path| limit.as_ref().map(|limit| amount(&limit.amount, path, errors));
    let (per_user, per_client) = (share(per_user, "spec.perUser.amount"), share(per_client, "spec.perClient.amount"));
    for (t, threshold) in thresholds.iter().enumerate() {
        for (a, action) in threshold.actions.iter().enumerate() {
            let (notify, downgrade, rate) =
                (action.notify.is_some(), action.downgrade.is_some(), action.rate_limit.is_some());
            let path = format!("spec.thresholds[{t}].actions[{a}]");
            errors.exactly_one(&path, &[("notify", notify), ("downgrade", downgrade), ("rateLimit", rate)]);
            if let Some(notify) =
                action.notify.as_ref().filter(|notify| topic_region(&notify.sns_topic_arn.0).is_none())
            {
                let arn = &notify.sns_topic_arn.0;
                errors.wrong(
                    format!("{path}.notify.snsTopicArn"),
                    format!("{arn} is not a topic's: write one like arn:aws:sns:us-east-1:123456789012:name"),
                );
            }
        }
    }
    if aws_budget.is_some() && matches!(period, spec::Period::Weekly | spec::Period::Once) {
        errors.wrong(
            "spec.awsBudget",
            "cannot mirror this period: AWS Budgets has none of a week and none without an end; use Daily or Monthly, or leave awsBudget out",
        );
    }
    let mut percents: Vec<u32> = thresholds.iter().map(|t| t.percent).collect();
    percents.sort_unstable();
    let mut acting: Vec<Threshold> = thresholds.iter().filter_map(acted_on).collect();
    acting.sort_by_key(|threshold| threshold.percent);
    Budget {
        table: crate::table::Budget {
            limit: amount(&limit.amount, "spec.limit.amount", errors),
            period: match period {
                spec::Period::Daily => Period::Daily,
                spec::Period::Weekly => Period::Weekly,
                spec::Period::Monthly => Period::Monthly,
                spec::Period::Once => Period::Once,
            },
            time_zone: zone(time_zone.as_deref().unwrap_or("UTC"), errors),
            mode: match mode {
                Some(spec::Mode::Observe) => Mode::Observe,
                Some(spec::Mode::Enforce) | None => Mode::Enforce,
            },
            on_exhausted: match on_exhausted {
                Some(spec::OnExhausted::FreeOnly) => OnExhausted::FreeOnly,
                Some(spec::OnExhausted::Block) | None => OnExhausted::Block,
            },
            per_user,
            per_client,
            thresholds: acting,
        },
        binds: binds(target_refs.as_deref(), selector.as_ref(), errors),
        thresholds: percents,
        adjustments: adjustments.iter().enumerate().filter_map(|(at, a)| adjustment(at, a, errors)).collect(),
    }
}

/// The region of an SNS topic's ARN; absent: it is no topic's.
#[must_use]
pub fn topic_region(arn: &str) -> Option<&str> {
    let parts: Vec<&str> = arn.split(':').collect();
    match parts.as_slice() {
        ["arn", _, "sns", region, account, name] if ![region, account, name].iter().any(|part| part.is_empty()) => {
            Some(region)
        }
        _ => None,
    }
}

/// A threshold as far as proxies act on it: the last of several alike actions counts.
fn acted_on(threshold: &spec::Threshold) -> Option<Threshold> {
    let downgrade = threshold.actions.iter().rev().find_map(|action| action.downgrade.as_ref());
    let rate = threshold.actions.iter().rev().find_map(|action| action.rate_limit.as_ref());
    (downgrade.is_some() || rate.is_some()).then(|| Threshold {
        percent: threshold.percent,
        downgrade: downgrade.map(|to| to.to.0.clone()),
        requests_per_minute: rate.map(|rate| rate.requests_per_minute),
    })
}

fn amount(amount: &Amount, path: &str, errors: &mut Errors) -> Nano {
    amount.as_str().parse().unwrap_or_else(|error: crate::spend::nano::AmountError| {
        errors.wrong(path, error.to_string());
        Nano::ZERO
    })
}

fn zone(name: &str, errors: &mut Errors) -> String {
    if let Err(error) = crate::spend::window::time_zone_named(name) {
        errors.wrong("spec.timeZone", error.to_string());
    }
    name.to_owned()
}

fn binds(refs: Option<&[spec::TargetRef]>, selector: Option<&spec::Selector>, errors: &mut Errors) -> Binds {
    match (refs, selector) {
        (None, None) => Binds::Everything,
        (Some(refs), None) => {
            let mut seen = BTreeSet::new();
            for (at, target) in refs.iter().enumerate() {
                let kind = match target.kind {
                    spec::TargetKind::ModelRoute => Kind::ModelRoute,
                    spec::TargetKind::EmbeddingEndpoint => Kind::EmbeddingEndpoint,
                };
                let id = Id::new(kind, target.name.0.clone());
                if seen.contains(&id) {
                    errors
                        .wrong(format!("spec.targetRefs[{at}]"), format!("{id} is there twice: give each target once"));
                }
                seen.insert(id);
            }
            Binds::Named(seen.into_iter().collect())
        }
        (None, Some(selector)) => {
            Binds::Labelled(selector.match_labels.iter().map(|(name, value)| (name.clone(), value.0.clone())).collect())
        }
        (Some(_), Some(_)) => {
            errors.wrong("spec.selector", "stands beside targetRefs: keep one of them");
            Binds::Everything
        }
    }
}

fn adjustment(at: usize, spec: &spec::Adjustment, errors: &mut Errors) -> Option<Adjustment> {
    let path = format!("spec.adjustments[{at}]");
    let id = spec.id.0.clone();
    let correction = match (&spec.credit, spec.resume.unwrap_or_default()) {
        (Some(credit), false) => Correction::Credit(amount(credit, &format!("{path}.credit"), errors)),
        (None, true) => Correction::Resume,
        _ => {
            errors.wrong(path, "does nothing clear: give exactly one of credit and resume: true");
            return None;
        }
    };
    Some(Adjustment { id, correction })
}
