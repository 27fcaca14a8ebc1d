//! The verdict on a ModelRoute and what proxies saw of it in, its status out.

use super::{
    Circuit, Convergence, RouteSeen, TargetSeen,
    condition::{Because, Conditions, Holds, accepted, listed, no, unknown, yes},
    last_accepted, percentile_ms,
};
use crate::{
    compile::{InForce, Unpriced, Verdict},
    spend::Nano,
    table::Route,
};
use jiff::Timestamp;
use std::collections::BTreeMap;
use tollway_crds::{
    ModelRouteStatus,
    model_route::{ProxiesStatus, TargetStatus},
};

/// Laggards that are named.
const NAMED: usize = 20;

/// The status of a ModelRoute.
#[must_use]
pub fn model_route(
    verdict: &Verdict,
    seen: &RouteSeen<'_>,
    before: &ModelRouteStatus,
    now: Timestamp,
) -> ModelRouteStatus {
    let accepted = accepted(verdict);
    let resolved = resolved(verdict);
    let programmed = programmed(verdict, &seen.convergence);
    let ready = ready([&accepted, &resolved, &programmed], &seen.convergence);
    let mut conditions = Conditions::new(verdict.generation, &before.conditions, now);
    conditions.set("Accepted", &accepted);
    conditions.set("ResolvedRefs", &resolved);
    conditions.set("Programmed", &programmed);
    conditions.set("Supported", &supported(verdict));
    conditions.set("Healthy", &healthy(seen));
    conditions.set("WithinBudget", &within_budget(verdict, seen));
    conditions.set("Ready", &ready);
    let sum = |of: fn(&TargetSeen) -> u64| seen.targets.values().map(of).fold(0, u64::saturating_add);
    ModelRouteStatus {
        observed_generation: Some(verdict.generation),
        last_accepted: verdict.last_accepted.as_ref().map(last_accepted),
        conditions: conditions.finish(),
        proxies: Some(proxies(seen)),
        targets: verdict.targets.iter().map(|name| target(name, seen.targets.get(name))).collect(),
        requests: Some(count(sum(|t| t.requests))),
        cost_usd: Some(seen.targets.values().map(|t| t.cost).sum::<Nano>().to_string()),
    }
}

/// Whether everything that is served works: the summary of accepted, resolved and programmed.
pub fn ready(all: [&Because; 3], convergence: &Convergence) -> Because {
    let [.., programmed] = all;
    match all.into_iter().find(|c| c.holds == Holds::No) {
        Some(failing) => no(failing.reason, failing.message.clone()),
        None if programmed.holds == Holds::Unknown => yes(programmed.reason, programmed.message.clone()),
        None => yes("Ready", format!("served by {} of {} proxies", convergence.programmed, convergence.connected)),
    }
}

/// Whether every reference leads to something.
pub fn resolved(verdict: &Verdict) -> Because {
    match verdict.unresolved.as_slice() {
        [] => yes("Resolved", "every reference leads to something"),
        missing if missing.iter().any(|error| error.field.ends_with("secretRef")) => {
            no("SecretNotFound", listed(missing))
        }
        missing => no("ConfigMapNotFound", listed(missing)),
    }
}

/// Whether the proxies serve the spec that was judged.
pub fn programmed(verdict: &Verdict, convergence: &Convergence) -> Because {
    let all = format!("{} of {} proxies", convergence.programmed, convergence.connected);
    match verdict.in_force {
        InForce::Nothing => {
            return no("NotServed", "it is in no table: its spec is not accepted and none was before");
        }
        InForce::LastGood(generation) => {
            return no(
                "LastGoodInForce",
                format!("generation {} is not served; generation {generation} is, by {all}", verdict.generation),
            );
        }
        InForce::Current => {}
    }
    if convergence.connected == 0 {
        return unknown("NoProxies", "no proxy is connected in this namespace");
    }
    if convergence.lagging.is_empty() {
        return yes("Programmed", format!("served by {all}"));
    }
    let laggard = |(name, why): &(String, Option<String>)| match why {
        Some(why) => format!("{name} ({why})"),
        None => name.clone(),
    };
    let named: Vec<String> = convergence.lagging.iter().take(NAMED).map(laggard).collect();
    let more = convergence.lagging.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    no("Lagging", format!("served by {all}; waiting for {}{more}", named.join(", ")))
}

/// Whether every field is acted on.
pub fn supported(verdict: &Verdict) -> Because {
    match verdict.ignored.as_slice() {
        [] => yes("Supported", "every field is acted on"),
        ignored => no("NotSupported", listed(ignored)),
    }
}

/// A rule is well when a target that it can reach is.
fn healthy(seen: &RouteSeen<'_>) -> Because {
    let Some(route) = seen.route else { return unknown("NotServed", "this route is in no table") };
    let open = |target: &str| seen.targets.get(target).is_some_and(|t| t.circuit == Circuit::Open);
    let down: Vec<&str> =
        route.rules.iter().filter(|rule| rule.targets().all(open)).map(|rule| rule.name.as_str()).collect();
    let ill: Vec<&str> = route.targets.keys().map(String::as_str).filter(|target| open(target)).collect();
    if !down.is_empty() {
        return no("NoHealthyTarget", format!("every target of rule {} fails: {}", down.join(", "), ill.join(", ")));
    }
    if !ill.is_empty() {
        return yes("Degraded", format!("left alone after failures: {}; others serve", ill.join(", ")));
    }
    if seen.targets.values().all(|t| t.requests == 0) {
        return unknown("NoTraffic", "no proxy has reported a request");
    }
    yes("Healthy", "every target answers")
}

fn within_budget(verdict: &Verdict, seen: &RouteSeen<'_>) -> Because {
    let names = |which: fn(&crate::spend::Figures) -> bool| -> Vec<&str> {
        let found = seen.budgets.iter().filter(|(_, figures)| figures.as_ref().is_some_and(which));
        found.map(|(name, _)| name.as_str()).collect()
    };
    let (frozen, exhausted) = (names(|f| f.frozen.is_some()), names(|f| f.exhausted));
    let pending: Vec<&str> = seen.budgets.iter().filter(|(_, f)| f.is_none()).map(|(name, _)| name.as_str()).collect();
    if !frozen.is_empty() {
        no("Frozen", format!("budget {} is frozen until an adjustment resumes it", frozen.join(", ")))
    } else if !exhausted.is_empty() {
        no("Exhausted", format!("nothing is left of budget {}", exhausted.join(", ")))
    } else if verdict.unpriced.iter().any(|u| u.none_left) {
        no("PriceUnknown", unpriced(&verdict.unpriced))
    } else if !pending.is_empty() {
        unknown("LedgerPending", format!("budget {} has no ledger yet", pending.join(", ")))
    } else if !verdict.unpriced.is_empty() {
        yes("PriceUnknown", unpriced(&verdict.unpriced))
    } else if seen.route.is_none_or(|route| route.budgets.is_empty()) {
        yes("NoBudget", "no budget binds this route")
    } else {
        yes("WithinBudget", "every budget admits requests")
    }
}

/// Targets that are skipped for want of a price.
pub fn unpriced(unpriced: &[Unpriced]) -> String {
    let all: Vec<String> =
        unpriced.iter().map(|u| format!("{} of {} (target {})", u.model, u.route, u.target)).collect();
    format!("no price is known for {}: skipped until the target, or the operator's prices, say one", all.join(", "))
}

fn proxies(seen: &RouteSeen<'_>) -> ProxiesStatus {
    let number = |n: u32| i32::try_from(n).unwrap_or(i32::MAX);
    let convergence = &seen.convergence;
    ProxiesStatus {
        connected: number(convergence.connected),
        programmed: number(convergence.programmed),
        lagging: convergence.lagging.iter().take(NAMED).map(|(name, _)| name.clone()).collect(),
        summary: format!("{}/{}", convergence.programmed, convergence.connected),
    }
}

fn target(name: &str, seen: Option<&TargetSeen>) -> TargetStatus {
    let unseen = TargetSeen::default();
    let seen = seen.unwrap_or(&unseen);
    TargetStatus {
        name: name.to_owned(),
        circuit: Some(seen.circuit.as_str().to_owned()),
        requests: count(seen.requests),
        errors: count(seen.errors),
        p50_ms: percentile_ms(&seen.latency_buckets, 50).map(count),
        p95_ms: percentile_ms(&seen.latency_buckets, 95).map(count),
        cost_usd: Some(seen.cost.to_string()),
    }
}

fn count(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// Which enforcing budgets bind a route, for [`RouteSeen::budgets`].
pub fn enforcing<'a>(
    route: &'a Route,
    budgets: &'a BTreeMap<String, crate::table::Budget>,
) -> impl Iterator<Item = &'a str> {
    let enforces = |name: &&String| budgets.get(*name).is_some_and(|b| b.mode == crate::table::Mode::Enforce);
    route.budgets.iter().filter(enforces).map(String::as_str)
}
