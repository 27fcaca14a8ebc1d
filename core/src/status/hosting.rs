//! What AWS says of an endpoint and of its scaling in; the conditions and status fields about them out.

use super::{
    HealthSeen, HostingSeen, Ran, Trouble,
    budget::instant,
    condition::{Because, no, unknown, yes},
};
use crate::{
    compile::{InForce, Verdict},
    manifest::Spec,
    spend::{Nano, Window, ledger::cost},
    table::Period,
};
use jiff::Timestamp;
use tollway_crds::{
    EmbeddingEndpointSpec, EmbeddingEndpointStatus,
    embedding_endpoint::{Autoscaling, InstancesStatus, Metric, ScalingStatus},
};

/// The spec of an EmbeddingEndpoint that is acted on.
#[must_use]
pub fn in_force(verdict: &Verdict) -> Option<&EmbeddingEndpointSpec> {
    let accepted = verdict.last_accepted.as_ref().filter(|_| verdict.in_force != InForce::Nothing)?;
    match &accepted.spec {
        Spec::EmbeddingEndpoint(spec) => Some(spec),
        _ => None,
    }
}

/// Whether the endpoint answers calls, by AWS's own word.
pub fn in_service(seen: Option<&HostingSeen>) -> Because {
    let Some(HostingSeen { endpoint, trouble, limits, .. }) = seen else {
        return unknown("Pending", "AWS was not asked yet");
    };
    let Some(endpoint) = endpoint else {
        return match trouble {
            // That much is known.
            Some(trouble) if trouble.reason == "NotFound" => no(trouble.reason, trouble.message.clone()),
            Some(trouble) => unknown(trouble.reason, trouble.message.clone()),
            None => unknown("Pending", "AWS was not asked yet"),
        };
    };
    let state = &endpoint.state;
    match endpoint.copies.filter(|_| matches!(state.as_str(), "InService" | "Updating")) {
        Some((..=0, ..=0)) if limits.is_some_and(|(_, max)| max > 0) => {
            return yes("ScaledToZero", "no copy runs: the first texts have one started, and wait");
        }
        Some((..=0, ..=0)) => {
            return yes(
                "ScaledToZero",
                "no copy runs, and texts start none: the operator may not scale it now (ScalingActive)",
            );
        }
        Some((..=0, wanted)) => return no("Starting", format!("{wanted} copies are being started, and texts wait")),
        _ => {}
    }
    match (state.as_str(), &endpoint.failure) {
        ("InService", _) => yes("InService", "the endpoint is in service"),
        ("Updating" | "SystemUpdating" | "RollingBack", _) => {
            yes("Updating", format!("the endpoint serves while it changes (AWS says {state})"))
        }
        ("Creating", _) => no("Creating", "the endpoint is being created"),
        (_, Some(failure)) => {
            no("NotInService", format!("AWS says {state}: {failure}: see the endpoint's events in SageMaker"))
        }
        (_, None) => no("NotInService", format!("AWS says {state}: see the endpoint's events in SageMaker")),
    }
}

/// Whether the endpoint gave a vector when it was called last.
pub fn healthy(seen: Option<&HealthSeen>) -> Because {
    match seen {
        None => unknown("Pending", "the endpoint was not called yet"),
        Some(HealthSeen::Answered) => yes("Answered", "a short text was answered with a vector of spec.dimensions"),
        Some(HealthSeen::NoInstances) => {
            unknown("NoInstances", "no instance runs, and a call to find out would start or cost one")
        }
        Some(HealthSeen::NotChecked) => unknown("NotChecked", "spec.healthCheck.interval is 0s"),
        // Who may not call learns nothing about it.
        Some(HealthSeen::Failed(Trouble {
            reason: reason @ ("AccessDenied" | "NoCredentials" | "Throttled"),
            message,
        })) => unknown(reason, message.clone()),
        Some(HealthSeen::Failed(Trouble { reason, message })) => no(reason, message.clone()),
    }
}

/// Whether the autoscaler is as the spec has it.
pub fn scaling_active(spec: Option<&EmbeddingEndpointSpec>, seen: Option<&HostingSeen>) -> Because {
    // What cannot be taken away is told although the spec asks for none any more.
    if let Some(trouble) = seen.and_then(|seen| seen.scaling_trouble.as_ref()) {
        return no(trouble.reason, trouble.message.clone());
    }
    let is_component = spec.is_some_and(|spec| spec.sagemaker.inference_component.is_some());
    let of = if is_component { "copies" } else { "instances" };
    match spec.and_then(|spec| spec.autoscaling.as_ref()) {
        None => unknown("NotManaged", "spec.autoscaling is not set: scaling is left as it is"),
        Some(scaling) => match seen.and_then(|seen| seen.limits) {
            None => {
                unknown("Pending", "AWS was not asked yet, or the ledger of a budget that covers it was not read yet")
            }
            Some(limits) => match seen.map(|seen| seen.held_by.as_slice()) {
                None | Some([]) => yes("Active", active(scaling, limits, of)),
                Some(budgets) => {
                    let (held, budgets) = (active(scaling, limits, of), budgets.join(", "));
                    yes(
                        "HeldByBudget",
                        format!("{held}: nothing is left of budget {budgets}, so no more than minInstances run"),
                    )
                }
            },
        },
    }
}

fn active(scaling: &Autoscaling, (min, max): (i32, i32), of: &str) -> String {
    let value = scaling.target.value;
    let held = match scaling.target.metric {
        Metric::Utilization => format!("{value} % in use"),
        Metric::InvocationsPerInstance => format!("{value} invocations a minute on each"),
        Metric::QueueDepth => format!("{value} waiting texts and batches under way on each"),
    };
    format!("{min} to {max} {of}, held at {held}")
}

/// How many instances there are and may be.
pub fn instances(seen: Option<&HostingSeen>) -> Option<InstancesStatus> {
    let seen = seen?;
    let endpoint = seen.endpoint.as_ref()?;
    let (current, desired) = endpoint.copies.or(endpoint.instances)?;
    let (min, max) = seen.limits.unzip();
    Some(InstancesStatus { current, desired, min, max })
}

/// What the instances cost in the month, and until when that is counted: what it was, and what ran since. Both fields are written together, so
/// that whoever reads them counts on from there.
pub fn infrastructure(
    before: &EmbeddingEndpointStatus,
    ran: Option<&Ran>,
    now: Timestamp,
) -> (Option<String>, Option<String>) {
    let unchanged = (before.infrastructure_usd.clone(), before.infrastructure_until.clone());
    // To the second, as it is written.
    let to = now.as_second().saturating_mul(1000);
    let Some((ran, month)) = ran.zip(Window::at(Period::Monthly, "UTC", to).ok()) else { return unchanged };
    let parsed = |text: &String| text.parse::<Timestamp>().ok().map(Timestamp::as_millisecond);
    let until = before.infrastructure_until.as_ref().and_then(parsed);
    let so_far = before.infrastructure_usd.as_ref().and_then(|usd| usd.parse::<Nano>().ok());
    let so_far = so_far.filter(|_| until.is_some_and(|until| until >= month.start_ms)).unwrap_or(Nano::ZERO);
    let since = ran.since_ms.map_or(to, |since| since.min(to));
    let from = until.unwrap_or(since).max(month.start_ms);
    if from > to {
        return unchanged;
    }
    (Some(so_far.plus(cost(ran.per_hour, from, to)).to_string()), instant(to))
}

/// The last thing the autoscaler did.
pub fn scaling(seen: Option<&HostingSeen>) -> Option<ScalingStatus> {
    let activity = seen?.activity.as_ref()?;
    Some(ScalingStatus { last_activity: instant(activity.at_ms), reason: Some(activity.reason.clone()) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{Activity, EndpointSeen, condition::Holds};

    fn spec(metric: &str) -> EmbeddingEndpointSpec {
        serde_json::from_value(serde_json::json!({"model": "m", "dimensions": 2, "sagemaker": {"endpointName": "e"},
            "autoscaling": {"minInstances": 1, "maxInstances": 3, "target": {"metric": metric, "value": 70}}}))
        .unwrap()
    }

    fn endpoint(state: &str, failure: Option<&str>) -> HostingSeen {
        let failure = failure.map(str::to_owned);
        let endpoint =
            EndpointSeen { state: state.to_owned(), failure, instances: Some((1, 2)), ..EndpointSeen::default() };
        HostingSeen { endpoint: Some(endpoint), ..HostingSeen::default() }
    }

    fn trouble(reason: &'static str) -> Option<Trouble> {
        Some(Trouble { reason, message: "what and why".to_owned() })
    }

    #[test]
    fn a_state_is_service_or_it_is_not() {
        let said = |state: &str, failure| {
            let because = in_service(Some(&endpoint(state, failure)));
            (because.holds, because.reason)
        };
        assert_eq!(said("InService", None), (Holds::Yes, "InService"));
        assert_eq!(said("Updating", None), (Holds::Yes, "Updating"));
        assert_eq!(said("Creating", None), (Holds::No, "Creating"));
        assert_eq!(said("Failed", Some("no capacity")), (Holds::No, "NotInService"));
        assert!(in_service(Some(&endpoint("Failed", Some("no capacity")))).message.contains("no capacity"));
        assert_eq!(in_service(None).holds, Holds::Unknown);
    }

    #[test]
    fn an_endpoint_without_copies_serves_as_soon_as_one_is_started() {
        let of = |copies| {
            let mut seen = endpoint("InService", None);
            seen.endpoint.as_mut().unwrap().copies = Some(copies);
            let because = in_service(Some(&seen));
            (because.holds, because.reason, instances(Some(&seen)).unwrap().current)
        };
        assert_eq!(of((0, 0)), (Holds::Yes, "ScaledToZero", 0));
        assert_eq!(of((0, 1)), (Holds::No, "Starting", 0));
        assert_eq!(of((2, 1)), (Holds::Yes, "InService", 2));
        let said = |limits| {
            let mut seen = HostingSeen { limits, ..endpoint("InService", None) };
            seen.endpoint.as_mut().unwrap().copies = Some((0, 0));
            in_service(Some(&seen)).message
        };
        assert!(said(Some((0, 2))).contains("have one started"));
        for nobody in [None, Some((0, 0))] {
            assert!(said(nobody).contains("start none"), "{nobody:?}: no promise that is not kept");
        }
    }

    #[test]
    fn an_endpoint_that_is_not_there_is_not_in_service_and_one_nobody_may_look_at_is_unknown() {
        let of = |reason| in_service(Some(&HostingSeen { trouble: trouble(reason), ..HostingSeen::default() })).holds;
        assert_eq!((of("NotFound"), of("AccessDenied"), of("Throttled")), (Holds::No, Holds::Unknown, Holds::Unknown));
    }

    #[test]
    fn an_endpoint_that_may_not_be_called_is_not_called_ill() {
        let of = |seen: HealthSeen| healthy(Some(&seen)).holds;
        let failed = |reason| of(HealthSeen::Failed(trouble(reason).unwrap()));
        assert_eq!(
            (of(HealthSeen::Answered), failed("BadAnswer"), failed("Unavailable")),
            (Holds::Yes, Holds::No, Holds::No)
        );
        assert_eq!((failed("AccessDenied"), failed("Throttled")), (Holds::Unknown, Holds::Unknown));
        assert_eq!((of(HealthSeen::NoInstances), of(HealthSeen::NotChecked)), (Holds::Unknown, Holds::Unknown));
        assert_eq!(healthy(None).reason, "Pending");
    }

    #[test]
    fn scaling_is_active_when_the_autoscaler_has_it_so() {
        let asked = spec("Utilization");
        let seen = HostingSeen { limits: Some((1, 3)), ..endpoint("InService", None) };
        let said = |spec: Option<&EmbeddingEndpointSpec>, seen: &HostingSeen| {
            let because = scaling_active(spec, Some(seen));
            (because.holds, because.reason)
        };
        assert_eq!(said(Some(&asked), &seen), (Holds::Yes, "Active"));
        assert_eq!(said(Some(&asked), &endpoint("InService", None)), (Holds::Unknown, "Pending"));
        assert_eq!(said(None, &seen).1, "NotManaged");
        let held = HostingSeen { limits: Some((1, 1)), held_by: vec!["team".to_owned()], ..seen.clone() };
        assert_eq!(said(Some(&asked), &held), (Holds::Yes, "HeldByBudget"));
        let denied = HostingSeen { scaling_trouble: trouble("AccessDenied"), ..seen.clone() };
        assert_eq!(said(Some(&asked), &denied), (Holds::No, "AccessDenied"));
        assert_eq!(said(None, &denied), (Holds::No, "AccessDenied"));
        assert_eq!(
            instances(Some(&seen)),
            Some(InstancesStatus { current: 1, desired: 2, min: Some(1), max: Some(3) })
        );
    }

    #[test]
    fn hours_are_counted_on_from_where_the_status_left_off() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let ran = |since: &str| Ran { since_ms: Some(at(since).as_millisecond()), per_hour: Nano(3_600_000_000_000) };
        let count = |before: &EmbeddingEndpointStatus, ran: &Ran, now: &str| {
            let (infrastructure_usd, infrastructure_until) = infrastructure(before, Some(ran), at(now));
            EmbeddingEndpointStatus { infrastructure_usd, infrastructure_until, ..EmbeddingEndpointStatus::default() }
        };
        let first = count(&EmbeddingEndpointStatus::default(), &ran("2026-11-20T00:00:00Z"), "2026-11-20T00:00:10.7Z");
        assert_eq!(first.infrastructure_usd.as_deref(), Some("10.00"));
        // Whoever comes next knows no `since` of its own: ten seconds without anybody are counted too, and none twice.
        let begun = Ran { since_ms: None, ..ran("2026-11-20T00:00:20Z") };
        let next = count(&first, &begun, "2026-11-20T00:00:20.2Z");
        assert_eq!(next.infrastructure_usd.as_deref(), Some("20.00"));
        let again = count(&next, &ran("2026-11-20T00:00:00Z"), "2026-11-20T00:00:20.9Z");
        assert_eq!(again.infrastructure_usd.as_deref(), Some("20.00"));
        assert_eq!(infrastructure(&next, None, at("2026-11-20T01:00:00Z")).0, next.infrastructure_usd);
        let month = count(&next, &ran("2026-11-20T00:00:00Z"), "2026-12-01T00:00:05Z");
        assert_eq!(month.infrastructure_usd.as_deref(), Some("5.00"));
        assert_eq!(
            count(&month, &ran("2026-11-20T00:00:00Z"), "2026-11-30T00:00:00Z").infrastructure_usd.as_deref(),
            Some("5.00")
        );
    }

    #[test]
    fn the_last_activity_has_its_time_and_its_reason() {
        let activity = Some(Activity { at_ms: 0, reason: "an alarm".to_owned() });
        let status = scaling(Some(&HostingSeen { activity, ..HostingSeen::default() })).unwrap();
        assert_eq!(status.last_activity.as_deref(), Some("1970-01-01T00:00:00Z"));
        assert_eq!(status.reason.as_deref(), Some("an alarm"));
    }
}
