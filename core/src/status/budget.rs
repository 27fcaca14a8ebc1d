//! The verdict on a CostBudget and where its ledger stands in, its status out.

use super::{
    AwsSeen, BudgetSeen, aws,
    condition::{Because, Conditions, Holds, accepted, listed, no, unknown, yes},
    last_accepted,
    route::unpriced,
};
use crate::{
    compile::{InForce, Verdict},
    manifest::Spec,
};
use jiff::Timestamp;
use std::collections::BTreeSet;
use tollway_crds::{
    CostBudgetSpec, CostBudgetStatus,
    cost_budget::{AdjustmentStatus, LedgerRef, Mode, ThresholdStatus, WindowStatus},
};

/// The status of a CostBudget; `seen` is absent until its ledger could be read.
#[must_use]
pub fn cost_budget(
    verdict: &Verdict,
    seen: Option<&BudgetSeen>,
    before: &CostBudgetStatus,
    now: Timestamp,
) -> CostBudgetStatus {
    let spec = match verdict.last_accepted.as_ref().map(|accepted| &accepted.spec) {
        Some(Spec::CostBudget(spec)) if verdict.in_force != InForce::Nothing => Some(spec.as_ref()),
        _ => None,
    };
    let accepted = with_targets(verdict, accepted(verdict));
    let enforced = enforced(spec, seen);
    let frozen = match seen.and_then(|s| s.figures.frozen.as_ref()) {
        Some(why) => yes("Frozen", format!("{why}: nothing is granted until an adjustment says resume: true")),
        None => no("NotFrozen", "the ledger is whole"),
    };
    let reached = reached(spec, seen, before, now);
    let ready = match (&accepted, spec, seen) {
        (accepted, ..) if accepted.holds == Holds::No => no(accepted.reason, accepted.message.clone()),
        (_, None, _) | (.., None) => {
            no("LedgerPending", "the ledger of this budget could not be read yet: nothing is granted")
        }
        _ if frozen.holds == Holds::Yes => no(frozen.reason, frozen.message.clone()),
        _ if enforced.reason == "BoundExceeded" => no(enforced.reason, enforced.message.clone()),
        _ => yes("Ready", format!("binds {}", bound(verdict))),
    };
    let mut conditions = Conditions::new(verdict.generation, &before.conditions, now);
    conditions.set("Accepted", &accepted);
    conditions.set("Enforced", &enforced);
    conditions.set("WithinBudget", &within(verdict, spec, seen));
    conditions.set("ThresholdReached", &threshold(spec, seen, &reached));
    conditions.set("Frozen", &frozen);
    conditions.set("Ready", &ready);
    let nothing = AwsSeen::default();
    let with_aws = seen.map_or(&nothing, |seen| &seen.aws);
    // Where fields are left out there is no operator to deal with AWS.
    let dealing = spec.filter(|_| verdict.ignored.is_empty());
    let asked = [
        ("Notified", aws::notified(dealing, with_aws, &reached)),
        ("AwsBudgetInSync", aws::in_sync(dealing, with_aws)),
        ("Supported", (!verdict.ignored.is_empty()).then(|| no("NotSupported", listed(&verdict.ignored)))),
    ];
    for (type_, because) in asked.iter().filter_map(|(type_, because)| Some((*type_, because.as_ref()?))) {
        conditions.set(type_, because);
    }
    let figures = seen.map(|s| &s.figures);
    CostBudgetStatus {
        observed_generation: Some(verdict.generation),
        last_accepted: verdict.last_accepted.as_ref().map(last_accepted),
        conditions: conditions.finish(),
        window: seen.map(window),
        spent_usd: figures.map(|f| f.spent.to_string()),
        estimated_usd: figures.map(|f| f.estimated.to_string()),
        burned_usd: figures.map(|f| f.burned.to_string()),
        reserved_usd: figures.map(|f| f.reserved.to_string()),
        remaining_usd: figures.map(|f| f.remaining.to_string()),
        infrastructure_usd: figures.map(|f| f.infrastructure.to_string()),
        forecast_usd: seen.and_then(|s| s.forecast.at_end).map(|f| f.to_string()),
        exhaustion_forecast_at: seen.and_then(|s| s.forecast.exhausted_at_ms).and_then(instant),
        percent_used: figures.map(|f| f.percent.into()),
        exhausted_at: figures.and_then(|f| f.exhausted_at_ms).and_then(instant),
        thresholds: reached,
        adjustments_applied: seen.map(|s| adjusted(spec, s)).unwrap_or_default(),
        price_catalog: seen.map(|s| s.catalog.clone()),
        aws_budget: aws::mirror(dealing, seen),
        ledger: seen.map(|s| LedgerRef { name: s.ledger.clone(), uid: s.uid.clone() }),
    }
}

fn with_targets(verdict: &Verdict, accepted: Because) -> Because {
    match verdict.not_found.as_slice() {
        [] => accepted,
        _ if accepted.holds == Holds::No => accepted,
        missing if verdict.binds.is_empty() => no("TargetNotFound", listed(missing)),
        missing => yes("TargetNotFound", format!("{}; binds {}", listed(missing), bound(verdict))),
    }
}

fn enforced(spec: Option<&CostBudgetSpec>, seen: Option<&BudgetSeen>) -> Because {
    let Some(spec) = spec else { return no("NotInForce", "the spec is not accepted and none was before") };
    if spec.mode == Some(Mode::Observe) {
        return no("Observing", "mode is Observe: counted, and never denied");
    }
    match seen {
        None => unknown("LedgerPending", "the ledger of this budget could not be read yet: nothing is granted"),
        Some(seen) if !seen.figures.denied_models.is_empty() => no(
            "BoundExceeded",
            format!(
                "{} used more than the bound computed before the call; denied until an adjustment says resume: true",
                seen.figures.denied_models.join(", ")
            ),
        ),
        Some(_) => yes("Enforced", "no request starts that the limit could not carry"),
    }
}

fn within(verdict: &Verdict, spec: Option<&CostBudgetSpec>, seen: Option<&BudgetSeen>) -> Because {
    let Some(seen) = seen.filter(|_| spec.is_some()) else {
        return unknown("LedgerPending", "nothing is known of what was spent");
    };
    let figures = &seen.figures;
    if let Some(why) = &figures.frozen {
        return unknown("Frozen", format!("{why}: what was spent is not known for sure"));
    }
    if figures.exhausted {
        return no(
            "Exhausted",
            format!(
                "{} of {} USD spent and {} reserved: too little is left",
                figures.spent, figures.limit, figures.reserved
            ),
        );
    }
    if verdict.unpriced.iter().any(|u| u.none_left) {
        return no("PriceUnknown", unpriced(&verdict.unpriced));
    }
    if !verdict.unpriced.is_empty() {
        return yes("PriceUnknown", unpriced(&verdict.unpriced));
    }
    yes("WithinBudget", format!("{} of {} USD spent", figures.spent, figures.limit))
}

/// Thresholds reached in this window; one that was reached keeps its time, and one that was told stays.
fn reached(
    spec: Option<&CostBudgetSpec>,
    seen: Option<&BudgetSeen>,
    before: &CostBudgetStatus,
    now: Timestamp,
) -> Vec<ThresholdStatus> {
    let (Some(spec), Some(seen)) = (spec, seen) else { return Vec::new() };
    let same_window = before.window.as_ref() == Some(&window(seen));
    let known = |percent: u32| before.thresholds.iter().find(|t| same_window && t.percent == i64::from(percent));
    let was_told = |percent: u32| known(percent).is_some_and(|t| !t.notified.is_empty());
    let mut percents: Vec<u32> =
        spec.thresholds.iter().map(|t| t.percent).filter(|p| *p <= seen.figures.percent || was_told(*p)).collect();
    percents.sort_unstable();
    let status = |percent: u32| {
        let known = known(percent);
        let since = known.and_then(|t| t.reached_at.clone()).or_else(|| instant(now.as_millisecond()));
        let told =
            known.into_iter().flat_map(|t| &t.notified).chain(seen.aws.notified.get(&percent).into_iter().flatten());
        let notified: BTreeSet<String> = told.cloned().collect();
        ThresholdStatus { percent: percent.into(), reached_at: since, notified: notified.into_iter().collect() }
    };
    percents.into_iter().map(status).collect()
}

fn threshold(spec: Option<&CostBudgetSpec>, seen: Option<&BudgetSeen>, reached: &[ThresholdStatus]) -> Because {
    let percent = seen.map_or(0, |seen| i64::from(seen.figures.percent));
    match reached.iter().rfind(|threshold| threshold.percent <= percent) {
        Some(highest) => yes("Reached", format!("{} % of the limit is spent", highest.percent)),
        None if spec.is_none_or(|s| s.thresholds.is_empty()) => no("NoThresholds", "the budget has no thresholds"),
        None => no("BelowThresholds", "no threshold is reached in this window"),
    }
}

/// What the ledger applied, with what the spec says of it; one that the spec no longer has keeps its id and time.
fn adjusted(spec: Option<&CostBudgetSpec>, seen: &BudgetSeen) -> Vec<AdjustmentStatus> {
    let written = |id: &str| spec?.adjustments.iter().find(|adjustment| adjustment.id.0 == id);
    let status = |(id, at): &(String, Option<i64>)| {
        let of = written(id);
        AdjustmentStatus {
            id: id.clone(),
            credit: of.and_then(|of| of.credit.as_ref()).map(|credit| credit.as_str().to_owned()),
            resume: of.and_then(|of| of.resume),
            reason: of.and_then(|of| of.reason.clone()),
            applied_at: at.and_then(instant),
        }
    };
    seen.adjustments.iter().map(status).collect()
}

fn bound(verdict: &Verdict) -> String {
    match verdict.binds.as_slice() {
        [] => "no route".to_owned(),
        routes => routes.join(", "),
    }
}

fn window(seen: &BudgetSeen) -> WindowStatus {
    WindowStatus { start: instant(seen.window.start_ms), end: seen.window.end_ms.and_then(instant) }
}

/// Unix milliseconds as RFC 3339 in whole seconds.
#[must_use]
pub fn instant(ms: i64) -> Option<String> {
    Timestamp::from_second(ms.div_euclid(1000)).ok().map(|t| t.to_string())
}
