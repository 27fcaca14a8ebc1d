//! Verdicts and observations in; the conditions they must make out.

use super::*;
use crate::{
    compile::{InForce, Unpriced, Verdict},
    manifest::{FieldError, Kind, Spec, spec},
};
use jiff::Timestamp;
use serde_json::json;
use tollway_crds::{Condition, CostBudgetStatus, ModelRouteStatus};

fn at(second: i64) -> Timestamp {
    Timestamp::from_millisecond(second * 1000 + 250).unwrap()
}

fn said(conditions: &[Condition], type_: &str) -> (String, String) {
    let found = condition(conditions, type_).unwrap();
    (found.status.clone(), found.reason.clone())
}

fn is(conditions: &[Condition], type_: &str, status: &str, reason: &str) {
    assert_eq!(said(conditions, type_), (status.to_owned(), reason.to_owned()), "{type_}");
}

fn good() -> Verdict {
    Verdict {
        generation: 3,
        in_force: InForce::Current,
        models: vec!["m".into()],
        targets: vec!["t".into()],
        ..Verdict::default()
    }
}

fn served(programmed: u32, connected: u32) -> RouteSeen<'static> {
    let lagging =
        (programmed..connected).map(|n| (format!("proxy-{n}"), (n == 1).then(|| "no memory".to_owned()))).collect();
    RouteSeen { convergence: Convergence { connected, programmed, lagging }, ..RouteSeen::default() }
}

fn route(verdict: &Verdict, seen: &RouteSeen<'_>) -> ModelRouteStatus {
    model_route(verdict, seen, &ModelRouteStatus::default(), at(100))
}

#[test]
fn percentiles_lie_inside_their_bucket() {
    assert_eq!(percentile_ms(&[], 50), None);
    assert_eq!(percentile_ms(&[0; 14], 50), None);
    let mut buckets = [0; 14];
    (buckets[0], buckets[2]) = (50, 50);
    assert_eq!(
        (percentile_ms(&buckets, 50), percentile_ms(&buckets, 75), percentile_ms(&buckets, 100)),
        (Some(50), Some(150), Some(200))
    );
    buckets = [0; 14];
    buckets[13] = 1;
    assert_eq!(percentile_ms(&buckets, 95), Some(60_000));
}

#[test]
fn programmed_waits_for_proxies_and_names_laggards() {
    is(&route(&good(), &served(3, 3)).conditions, "Programmed", "True", "Programmed");
    is(&route(&good(), &served(0, 0)).conditions, "Programmed", "Unknown", "NoProxies");
    is(&route(&good(), &served(0, 0)).conditions, "Ready", "True", "NoProxies");
    let status = route(&good(), &served(1, 3));
    is(&status.conditions, "Programmed", "False", "Lagging");
    is(&status.conditions, "Ready", "False", "Lagging");
    let message = &condition(&status.conditions, "Programmed").unwrap().message;
    assert!(message.contains("proxy-1 (no memory), proxy-2"), "{message}");
    let proxies = status.proxies.unwrap();
    assert_eq!((proxies.summary.as_str(), proxies.lagging.len()), ("1/3", 2));
}

#[test]
fn a_broken_route_says_why_and_what_stays_in_force() {
    let broken = Verdict {
        in_force: InForce::LastGood(2),
        errors: vec![FieldError::new("spec.a", "is wrong: do b"), FieldError::new("spec.c", "is wrong: do d")],
        ..good()
    };
    let status = route(&broken, &served(3, 3));
    is(&status.conditions, "Accepted", "False", "Invalid");
    is(&status.conditions, "Programmed", "False", "LastGoodInForce");
    is(&status.conditions, "Ready", "False", "Invalid");
    let message = &condition(&status.conditions, "Accepted").unwrap().message;
    assert_eq!(message, "spec.a: is wrong: do b; spec.c: is wrong: do d; generation 2 stays in force");
    assert!(status.conditions.iter().all(|c| c.observed_generation == Some(3)));
    let both = Verdict { refused: vec![FieldError::new("spec.r", "is not enforced yet")], ..broken };
    let status = route(&both, &served(3, 3));
    let message = &condition(&status.conditions, "Accepted").unwrap().message;
    assert!(message.contains("spec.a: is wrong") && message.contains("spec.r: is not enforced yet"), "{message}");
    let refused = Verdict { refused: vec![FieldError::new("spec.a", "x")], in_force: InForce::Nothing, ..good() };
    is(&route(&refused, &served(3, 3)).conditions, "Accepted", "False", "NotSupported");
    is(&route(&refused, &served(3, 3)).conditions, "Programmed", "False", "NotServed");
}

#[test]
fn a_time_moves_only_with_the_status() {
    let first = route(&good(), &served(3, 3));
    let again = model_route(&good(), &served(3, 3), &first, at(200));
    assert_eq!(again, first);
    let lagging = model_route(&good(), &served(2, 3), &first, at(300));
    let time = |s: &ModelRouteStatus, type_| condition(&s.conditions, type_).unwrap().last_transition_time.0;
    assert_eq!(time(&lagging, "Programmed"), Timestamp::from_second(300).unwrap());
    assert_eq!(time(&lagging, "Accepted"), Timestamp::from_second(100).unwrap());
}

#[test]
fn traffic_circuits_and_budgets_are_told() {
    let text = json!({
        "targets": {}, "defaults": {}, "budgets": ["b"],
        "rules": [{"name": "first", "split": [{"target": "t", "weight": 1}], "fallback": []}],
        "retry": {"attempts": 3, "baseMs": 1, "maxMs": 2}, "circuitBreaker": {"failures": 5, "recoveryMs": 1},
        "timeouts": {"connectMs": 1, "firstTokenMs": 1, "idleMs": 1, "totalMs": 1, "drainOnDisconnectMs": 0},
    });
    let table: crate::table::Route = serde_json::from_value(text).unwrap();
    let mut seen = RouteSeen { route: Some(&table), ..served(1, 1) };
    is(&route(&good(), &seen).conditions, "Healthy", "Unknown", "NoTraffic");
    let traffic = TargetSeen {
        requests: 4,
        errors: 1,
        cost: Nano(1_500_000_000),
        latency_buckets: vec![4],
        ..TargetSeen::default()
    };
    seen.targets.insert("t".into(), traffic);
    seen.budgets.insert("b".into(), Some(Figures::default()));
    let status = route(&good(), &seen);
    is(&status.conditions, "Healthy", "True", "Healthy");
    is(&status.conditions, "WithinBudget", "True", "WithinBudget");
    assert_eq!(
        (status.requests, status.cost_usd.as_deref(), status.targets[0].p95_ms),
        (Some(4), Some("1.50"), Some(50))
    );
    seen.targets.get_mut("t").unwrap().circuit = Circuit::Open;
    is(&route(&good(), &seen).conditions, "Healthy", "False", "NoHealthyTarget");
    seen.budgets.insert("b".into(), Some(Figures { exhausted: true, ..Figures::default() }));
    is(&route(&good(), &seen).conditions, "WithinBudget", "False", "Exhausted");
    seen.budgets.clear();
    let missing = |none_left| Unpriced { route: "r".into(), target: "t".into(), model: "llama3".into(), none_left };
    is(
        &route(&Verdict { unpriced: vec![missing(true)], ..good() }, &seen).conditions,
        "WithinBudget",
        "False",
        "PriceUnknown",
    );
    is(
        &route(&Verdict { unpriced: vec![missing(false)], ..good() }, &seen).conditions,
        "WithinBudget",
        "True",
        "PriceUnknown",
    );
}

fn budget_verdict() -> Verdict {
    let text = json!({"limit": {"amount": "10"}, "period": "Daily", "thresholds": [{"percent": 80}, {"percent": 50}]});
    let spec: Spec = spec(Kind::CostBudget, &text).spec.unwrap();
    let last_accepted = Some(crate::snapshot::Accepted { generation: 3, spec });
    Verdict { last_accepted, models: vec![], targets: vec![], binds: vec!["r".into()], ..good() }
}

fn budget_seen(percent: u32) -> BudgetSeen {
    let limit = Nano(10_000_000_000);
    let spent = Nano(u64::from(percent) * 100_000_000);
    BudgetSeen {
        figures: Figures {
            limit,
            spent,
            percent,
            remaining: limit.minus(spent),
            exhausted: percent >= 100,
            ..Figures::default()
        },
        window: Window { id: "1970-01-01".into(), start_ms: 0, end_ms: Some(86_400_000) },
        ledger: "l".into(),
        uid: "u".into(),
        adjustments: vec![],
        forecast: Forecast::default(),
        catalog: "2026".into(),
        aws: AwsSeen::default(),
    }
}

#[test]
fn a_budget_tells_what_became_of_it_in_aws() {
    let topic = "arn:aws:sns:us-east-1:123456789012:t";
    let text = json!({"limit": {"amount": "10"}, "period": "Daily", "awsBudget": {"accountId": "123456789012", "name": "n"},
        "thresholds": [{"percent": 80, "actions": [{"notify": {"snsTopicArn": topic}}]}]});
    let spec: Spec = spec(Kind::CostBudget, &text).spec.unwrap();
    let last_accepted = Some(crate::snapshot::Accepted { generation: 3, spec });
    let verdict = Verdict { last_accepted, ..budget_verdict() };
    let quiet = cost_budget(&verdict, Some(&budget_seen(10)), &CostBudgetStatus::default(), at(1));
    is(&quiet.conditions, "Notified", "True", "NothingToTell");
    is(&quiet.conditions, "AwsBudgetInSync", "Unknown", "Pending");

    let mut seen = budget_seen(85);
    seen.aws.notify_trouble = Some(Trouble { reason: "AccessDenied", message: "sns:Publish".into() });
    let actual = Some(Nano(9_000_000_000));
    seen.aws.mirror = Some(MirrorSeen { actual, read_at_ms: Some(2_000), trouble: None });
    let denied = cost_budget(&verdict, Some(&seen), &quiet, at(2));
    is(&denied.conditions, "Notified", "False", "AccessDenied");
    is(&denied.conditions, "AwsBudgetInSync", "True", "InSync");
    is(&denied.conditions, "Ready", "True", "Ready");
    let mirror = denied.aws_budget.clone().unwrap();
    assert_eq!((mirror.actual_usd.as_deref(), mirror.difference_usd.as_deref()), (Some("9.00"), Some("+0.50")));
    assert_eq!(mirror.read_at.as_deref(), Some("1970-01-01T00:00:02Z"));

    seen.aws = AwsSeen { notified: [(80, vec![topic.to_owned()])].into(), ..AwsSeen::default() };
    let told = cost_budget(&verdict, Some(&seen), &denied, at(3));
    is(&told.conditions, "Notified", "True", "Notified");
    // A new leader knows it from the status alone, also when a credit took the spend below the threshold.
    let later = cost_budget(&verdict, Some(&budget_seen(10)), &told, at(4));
    assert_eq!(later.thresholds, told.thresholds);
    assert_eq!(later.thresholds[0].notified, [topic]);
    is(&later.conditions, "ThresholdReached", "False", "BelowThresholds");
    let mut next_day = budget_seen(10);
    next_day.window.start_ms = 86_400_000;
    assert!(cost_budget(&verdict, Some(&next_day), &told, at(90_000)).thresholds.is_empty());
}

#[test]
fn a_budget_tells_its_figures_and_thresholds() {
    let verdict = budget_verdict();
    let pending = cost_budget(&verdict, None, &CostBudgetStatus::default(), at(1));
    is(&pending.conditions, "Ready", "False", "LedgerPending");
    let half = cost_budget(&verdict, Some(&budget_seen(60)), &pending, at(2));
    is(&half.conditions, "Ready", "True", "Ready");
    is(&half.conditions, "ThresholdReached", "True", "Reached");
    assert_eq!(
        (half.spent_usd.as_deref(), half.remaining_usd.as_deref(), half.percent_used),
        (Some("6.00"), Some("4.00"), Some(60))
    );
    let over = cost_budget(&verdict, Some(&budget_seen(100)), &half, at(3));
    is(&over.conditions, "WithinBudget", "False", "Exhausted");
    let times: Vec<_> = over.thresholds.iter().map(|t| (t.percent, t.reached_at.as_deref().unwrap())).collect();
    assert_eq!(times, [(50, "1970-01-01T00:00:02Z"), (80, "1970-01-01T00:00:03Z")]);
    let mut next_day = budget_seen(55);
    next_day.window.start_ms = 86_400_000;
    let next = cost_budget(&verdict, Some(&next_day), &over, at(90_000));
    assert_eq!(next.thresholds.len(), 1);
    assert_eq!(
        next.thresholds[0].reached_at.as_deref(),
        Some("1970-01-02T01:00:00Z"),
        "a new window reaches its own thresholds"
    );
}

#[test]
fn a_budget_tells_where_it_leads_and_who_adjusted_it() {
    let mut verdict = budget_verdict();
    let spec = json!({"limit": {"amount": "10"}, "period": "Daily",
        "adjustments": [{"id": "outage", "credit": "1.50", "reason": "region down"}, {"id": "later", "resume": true}]});
    let Some(accepted) = &mut verdict.last_accepted else { panic!() };
    accepted.spec = Spec::CostBudget(Box::new(serde_json::from_value(spec).unwrap()));
    let mut seen = budget_seen(60);
    seen.forecast = Forecast { at_end: Some(Nano(12_500_000_000)), exhausted_at_ms: Some(60_000) };
    seen.adjustments = vec![("outage".into(), Some(5_000)), ("removed".into(), None)];
    let status = cost_budget(&verdict, Some(&seen), &CostBudgetStatus::default(), at(1));
    assert_eq!(
        (status.forecast_usd.as_deref(), status.exhaustion_forecast_at.as_deref()),
        (Some("12.50"), Some("1970-01-01T00:01:00Z"))
    );
    let applied = serde_json::to_value(&status.adjustments_applied).unwrap();
    let outage =
        json!({"id": "outage", "credit": "1.50", "reason": "region down", "appliedAt": "1970-01-01T00:00:05Z"});
    assert_eq!(applied, json!([outage, {"id": "removed"}]), "what was only written is not applied yet");
}

#[test]
fn a_frozen_budget_says_so_where_people_look() {
    let mut seen = budget_seen(100);
    seen.figures.frozen = Some("lost".into());
    let status = cost_budget(&budget_verdict(), Some(&seen), &CostBudgetStatus::default(), at(1));
    is(&status.conditions, "WithinBudget", "Unknown", "Frozen");
}

#[test]
fn a_budget_that_cannot_keep_its_promise_says_so() {
    let verdict = budget_verdict();
    let told = |change: fn(&mut BudgetSeen)| {
        let mut seen = budget_seen(0);
        change(&mut seen);
        cost_budget(&verdict, Some(&seen), &CostBudgetStatus::default(), at(1)).conditions
    };
    let frozen = told(|s| s.figures.frozen = Some("the ledger is gone".into()));
    is(&frozen, "Frozen", "True", "Frozen");
    is(&frozen, "Ready", "False", "Frozen");
    let exceeded = told(|s| s.figures.denied_models = vec!["m".into()]);
    is(&exceeded, "Enforced", "False", "BoundExceeded");
    let missing =
        Verdict { not_found: vec![FieldError::new("spec.targetRefs", "x")], binds: vec![], ..budget_verdict() };
    let status = cost_budget(&missing, Some(&budget_seen(0)), &CostBudgetStatus::default(), at(1));
    is(&status.conditions, "Accepted", "False", "TargetNotFound");
}

#[test]
fn an_embedding_endpoint_says_how_it_is_served_and_how_fast() {
    let convergence = Convergence { connected: 2, programmed: 2, lagging: vec![] };
    let mut latency_buckets = vec![0; LATENCY_BUCKETS_MS.len() + 1];
    latency_buckets[1] = 100;
    let calls = TargetSeen { requests: 100, latency_buckets, ..TargetSeen::default() };
    let seen =
        EmbeddingSeen { convergence, sources: [("sagemaker".to_owned(), calls)].into(), ..EmbeddingSeen::default() };
    let before = tollway_crds::EmbeddingEndpointStatus::default();
    let verdict = Verdict { latency_target_ms: Some(500), ..good() };
    let status = embedding_endpoint(&verdict, &seen, &before, at(1));
    is(&status.conditions, "Ready", "True", "Ready");
    is(&status.conditions, "Programmed", "True", "Programmed");
    is(&status.conditions, "MeetsLatencyTarget", "True", "Met");
    assert_eq!((status.p50_ms, status.p95_ms), (Some(75), Some(97)));
    let slow = embedding_endpoint(&Verdict { latency_target_ms: Some(80), ..good() }, &seen, &before, at(1));
    is(&slow.conditions, "MeetsLatencyTarget", "False", "Missed");
    is(&slow.conditions, "EndpointInService", "Unknown", "Pending");
    let ignored = vec![FieldError::new("spec.autoscaling", "scaling is left as it is")];
    let partly = embedding_endpoint(&Verdict { ignored, ..good() }, &EmbeddingSeen::default(), &before, at(1));
    is(&partly.conditions, "Supported", "False", "NotSupported");
    is(&partly.conditions, "Programmed", "Unknown", "NoProxies");
    let lost = embedding_endpoint(&Verdict { models: vec![], ..good() }, &seen, &before, at(1));
    is(&lost.conditions, "Programmed", "False", "NotServed");
}
