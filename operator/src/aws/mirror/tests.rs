//! Mirrors as they should be and as they are in; the calls between them out.

use super::*;
use proptest::prelude::*;

fn wanted(limit: u64, alerts: &[(u32, &str)]) -> Wanted {
    let alerts = alerts.iter().map(|(percent, topic)| (*percent, (*topic).to_owned())).collect();
    Wanted { limit: Nano(limit), period: Period::Monthly, alerts }
}

fn observed(wanted: &Wanted) -> Observed {
    let Wanted { limit, period, alerts } = wanted.clone();
    let alerts = alerts.into_iter().map(|(percent, topic)| (percent, Some(topic))).collect();
    Observed { limit: Some(limit), period: Some(period), alerts, actual: None }
}

#[test]
fn what_is_not_there_is_made_whole_and_what_is_right_is_left_alone() {
    let wanted = wanted(10, &[(80, "t")]);
    assert_eq!(plan(&wanted, None), [Call::Create(wanted.clone())]);
    assert_eq!(plan(&wanted, Some(&observed(&wanted))), []);
}

#[test]
fn drift_is_corrected_call_by_call() {
    let wanted = wanted(10, &[(50, "a"), (80, "b"), (90, "c")]);
    let mut there = observed(&wanted);
    there.limit = Some(Nano(11));
    there.alerts = [(20, Some("x".to_owned())), (80, Some("old".to_owned())), (90, None)].into();
    let subscribe = |percent, from: Option<&str>, to: &str| Call::Subscribe {
        percent,
        from: from.map(str::to_owned),
        to: to.to_owned(),
    };
    assert_eq!(
        plan(&wanted, Some(&there)),
        [
            Call::Update { limit: Nano(10), period: Period::Monthly },
            Call::RemoveAlert { percent: 20 },
            Call::AddAlert { percent: 50, topic: "a".to_owned() },
            subscribe(80, Some("old"), "b"),
            subscribe(90, None, "c"),
        ]
    );
    there = Observed { period: None, ..observed(&wanted) };
    assert_eq!(plan(&wanted, Some(&there)), [Call::Update { limit: Nano(10), period: Period::Monthly }]);
}

#[test]
fn a_spec_is_mirrored_with_its_first_topics() {
    let spec = serde_json::json!({"limit": {"amount": "1"}, "period": "Daily", "awsBudget": {"accountId": "123456789012", "name": "n"},
        "thresholds": [{"percent": 50}, {"percent": 80, "actions": [
            {"notify": {"snsTopicArn": "arn:aws:sns:r:1:first"}}, {"notify": {"snsTopicArn": "arn:aws:sns:r:1:second"}}]}]});
    let spec: CostBudgetSpec = serde_json::from_value(spec).unwrap();
    let (place, wanted) = Wanted::of(&spec).unwrap();
    assert_eq!(place.to_string(), "123456789012/n");
    assert_eq!("123456789012/n".parse(), Ok(place));
    assert_eq!((wanted.limit, wanted.period), (Nano(1_000_000_000), Period::Daily));
    assert_eq!(wanted.alerts, [(80, "arn:aws:sns:r:1:first".to_owned())].into());
    assert_eq!(Wanted::of(&CostBudgetSpec { aws_budget: None, ..spec }), None);
}

/// AWS as it would be after the calls.
fn applied(start: Option<Observed>, calls: &[Call]) -> Option<Observed> {
    let mut there = start;
    for call in calls {
        match (call, &mut there) {
            (Call::Create(wanted), there @ None) => *there = Some(observed(wanted)),
            (Call::Update { limit, period }, Some(there)) => {
                (there.limit, there.period) = (Some(*limit), Some(*period));
            }
            (Call::AddAlert { percent, topic }, Some(there)) => {
                assert!(there.alerts.insert(*percent, Some(topic.clone())).is_none(), "made twice");
                assert!(there.alerts.len() <= MOST_ALERTS, "AWS takes no more");
            }
            (Call::RemoveAlert { percent }, Some(there)) => assert!(there.alerts.remove(percent).is_some()),
            (Call::Subscribe { percent, from, to }, Some(there)) => {
                assert_eq!(there.alerts.insert(*percent, Some(to.clone())).as_ref(), Some(from));
            }
            (call, there) => panic!("{call:?} on {there:?}"),
        }
    }
    there
}

proptest! {
    #[test]
    fn one_round_of_calls_is_enough(
        limits in prop::array::uniform2(0..3_u64),
        exists: bool,
        alerts in prop::collection::btree_map(1..15_u32, 0..3_u8, 0..=MOST_ALERTS),
        there in prop::collection::btree_map(1..15_u32, prop::option::of(0..3_u8), 0..=MOST_ALERTS),
    ) {
        let alerts = alerts.into_iter().map(|(percent, topic)| (percent, topic.to_string())).collect();
        let wanted = Wanted { limit: Nano(limits[0]), period: Period::Daily, alerts };
        let alerts = there.into_iter().map(|(percent, topic)| (percent, topic.map(|t| t.to_string()))).collect();
        let there = Observed { limit: Some(Nano(limits[1])), period: Some(Period::Daily), alerts, actual: None };
        let start = exists.then_some(there);
        let after = applied(start.clone(), &plan(&wanted, start.as_ref()));
        prop_assert_eq!(plan(&wanted, after.as_ref()), []);
    }
}
