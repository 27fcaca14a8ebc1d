//! Scaling as it should be and as it is in; the calls between them out.

use super::*;
use proptest::prelude::*;

fn asked(metric: &str, value: u32) -> Asked {
    let spec = serde_json::json!({"minInstances": 1, "maxInstances": 3, "target": {"metric": metric, "value": value}, "scaleInCooldown": "1500ms"});
    Asked::of(&serde_json::from_value(spec).unwrap())
}

#[test]
fn a_spec_is_asked_with_its_defaults_in_whole_seconds() {
    let by_queue = asked("QueueDepth", 9);
    let asked = asked("InvocationsPerInstance", 200);
    assert_eq!((asked.limits, asked.cooldowns), ((1, 3), (2, 60)));
    let policy = Policy { gauge: Gauge::Invocations, value: 200.0, cooldowns: (2, 60) };
    assert_eq!(asked.on(Host::Instances(None)), Ok(Wanted { limits: (1, 3), policy }));
    assert_eq!(by_queue.on(Host::Instances(None)).map(|wanted| wanted.policy.gauge), Ok(Gauge::Queue));
}

#[test]
fn a_percentage_is_of_all_cores_or_gpus() {
    let value = |host| asked("Utilization", 70).on(host).map(|wanted| (wanted.policy.gauge, wanted.policy.value));
    assert_eq!(value(Host::Instances(Some("ml.m5.xlarge"))), Ok((Gauge::Cpu, 280.0)));
    assert_eq!(value(Host::Instances(Some("ml.g4dn.xlarge"))), Ok((Gauge::Gpu, 70.0)));
    assert_eq!(value(Host::Instances(Some("ml.g77.xlarge"))).unwrap_err().reason, "UnknownInstance");
    assert_eq!(
        value(Host::Copies { on_gpu: true }),
        Ok((Gauge::CopyGpu, 70.0)),
        "a copy's percentage is of what it has"
    );
    assert_eq!(value(Host::Copies { on_gpu: false }), Ok((Gauge::CopyCpu, 70.0)));
}

#[test]
fn a_place_is_read_as_it_is_written() {
    let (region, endpoint, variant) = ("r".to_owned(), "e".to_owned(), "v".to_owned());
    let place = Place { region, endpoint, variant, component: None };
    assert_eq!(place.to_string().parse(), Ok(place.clone()));
    assert_eq!(place.resource_id(), "endpoint/e/variant/v");
    let place = Place { component: Some("c".to_owned()), ..place };
    assert_eq!(place.to_string().parse(), Ok(place.clone()));
    assert_eq!(place.resource_id(), "inference-component/c");
    assert_eq!(("r/e".parse::<Place>(), "r/e/v/c/x".parse::<Place>()), (Err(()), Err(())));
}

fn policy() -> impl Strategy<Value = Policy> {
    let gauge = prop::sample::select(vec![Gauge::Invocations, Gauge::Cpu, Gauge::Gpu]);
    (gauge, 1..4_u32, 0..3, 0..3).prop_map(|(gauge, value, scale_in, scale_out)| Policy {
        gauge,
        value: f64::from(value),
        cooldowns: (scale_in, scale_out),
    })
}

prop_compose! {
    fn observed()(limits in (0..3, 0..3), is_suspended: bool, policy in prop::option::of(policy())) -> Observed {
        Observed { limits, is_suspended, policy }
    }
}

proptest! {
    #[test]
    fn one_round_of_calls_is_enough_and_then_none_is_made(
        limits in (0..3, 0..3), policy in policy(), start in prop::option::of(observed()),
    ) {
        let wanted = Wanted { limits, policy };
        let mut there = start;
        for call in plan(&wanted, start.as_ref()) {
            match (call, &mut there) {
                (Call::Register(min, max), Some(there)) => (there.limits, there.is_suspended) = ((min, max), false),
                (Call::Register(min, max), none) => {
                    *none = Some(Observed { limits: (min, max), is_suspended: false, policy: None });
                }
                (Call::Put(policy), Some(there)) => there.policy = Some(policy),
                (Call::Put(_), None) => prop_assert!(false, "a policy without a target"),
            }
        }
        prop_assert_eq!(there, Some(Observed { limits, is_suspended: false, policy: Some(policy) }));
        prop_assert_eq!(plan(&wanted, there.as_ref()), []);
    }
}
