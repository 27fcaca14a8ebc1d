//! A SageMaker in memory that fails, crashes whoever calls it and is tampered with in; that nothing is made twice or left behind out.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn wanted(image: &str) -> Wanted {
    let provision = Provision {
        image: image.to_owned(),
        model_data_url: None,
        instance_type: "ml.m5.xlarge".to_owned(),
        execution_role_arn: serde_json::from_value("arn:aws:iam::123456789012:role/r".into()).unwrap(),
        vpc: None,
        kms_key_id: None,
    };
    let resource = Key { namespace: "team".into(), name: "bge".into() };
    Wanted {
        region: "r".into(),
        endpoint: "bge".into(),
        variant: "AllTraffic".into(),
        instances: 1,
        provision,
        owner: "uid".into(),
        resource,
    }
}

/// The account and the record on the resource; `calls` counts what was asked for.
#[derive(Clone, Debug, Default)]
struct World {
    models: BTreeMap<String, Owner>,
    configs: BTreeMap<String, Owner>,
    endpoint: Option<Standing>,
    record: Option<Made>,
    creations: BTreeMap<String, u32>,
    rolls: u32,
    /// Rolls that SageMaker takes back.
    refuses: Option<String>,
    /// Whoever calls dies now and then between a record and the call that it is of.
    crashes: bool,
}

impl World {
    fn found(&self, wanted: &Wanted) -> Found {
        Found {
            endpoint: self.endpoint.clone(),
            config: self.configs.get(&wanted.config()).copied(),
            model: self.models.get(&wanted.model()).copied(),
        }
    }

    /// One step, as the keeper makes it: `false` when there is nothing to do now.
    fn turn(&mut self, wanted: Option<&Wanted>) -> Result<bool, Trouble> {
        let made = self.record.clone().unwrap_or_default();
        let mut step = match wanted {
            Some(wanted) => build(wanted, &made, &self.found(wanted)),
            None if self.record.is_none() => return Ok(false),
            None => tear_down(&made, self.endpoint.as_ref()),
        };
        // A record of a roll is followed by the roll itself, unless there is a crash in between.
        if let (Step::Record(next), false) = (step.clone(), self.crashes && fastrand::bool())
            && next.rolled != made.rolled
        {
            self.record = Some(next);
            step = Step::UpdateEndpoint;
        }
        let model = wanted.map(Wanted::model).unwrap_or_default();
        let config = wanted.map(Wanted::config).unwrap_or_default();
        match step.clone() {
            Step::Record(next) => self.record = Some(next),
            Step::CreateModel => {
                assert!(made.models.contains(&model), "made before it was on record");
                *self.creations.entry(model.clone()).or_default() += 1;
                assert_eq!(self.models.insert(model, Owner::Us), None, "made twice");
            }
            Step::CreateConfig => {
                assert!(made.configs.contains(&config) && self.models.contains_key(&model));
                *self.creations.entry(config.clone()).or_default() += 1;
                assert_eq!(self.configs.insert(config, Owner::Us), None, "made twice");
            }
            Step::CreateEndpoint => {
                assert!(self.configs.contains_key(&config) && self.endpoint.is_none());
                self.endpoint = Some(Standing { state: "Creating".into(), failure: None, config, owner: Owner::Us });
            }
            Step::UpdateEndpoint => {
                self.rolls += 1;
                let standing = self.endpoint.as_mut().unwrap();
                assert!(self.configs.contains_key(&config) && standing.state == "InService");
                if self.refuses.as_ref() != Some(&config) {
                    standing.config = config;
                }
                standing.state = "Updating".into();
            }
            Step::DeleteEndpoint => {
                assert_eq!(self.endpoint.as_ref().unwrap().owner, Owner::Us);
                self.endpoint.as_mut().unwrap().state = "Deleting".into();
            }
            Step::DeleteConfig(name) => {
                assert!(self.endpoint.as_ref().is_none_or(|standing| standing.config != name), "in use");
                assert_ne!(self.configs.remove(&name), Some(Owner::Others));
            }
            Step::DeleteModel(name) => assert_ne!(self.models.remove(&name), Some(Owner::Others)),
            Step::Release => self.record = None,
            Step::Wait => {
                // Time passes.
                let standing = self.endpoint.as_mut().unwrap();
                match standing.state.as_str() {
                    "Deleting" => self.endpoint = None,
                    _ => standing.state = "InService".into(),
                }
            }
            Step::Done => return Ok(false),
            Step::Stop(trouble) => return Err(trouble),
        }
        // The record of a deletion may be lost too: then the deletion is made again, of what is not there.
        if matches!(step, Step::DeleteConfig(_) | Step::DeleteModel(_)) && !(self.crashes && fastrand::bool()) {
            self.record = self.record.take().map(|made| made.without(&step));
        }
        Ok(true)
    }

    fn settle(&mut self, wanted: Option<&Wanted>) -> Result<(), Trouble> {
        for _ in 0..200 {
            if !self.turn(wanted)? {
                return Ok(());
            }
        }
        panic!("it never comes to rest: {self:?}");
    }
}

#[test]
fn it_is_made_rolled_and_taken_away() {
    let (mut world, first, second) = (World::default(), wanted("one"), wanted("two"));
    world.settle(Some(&first)).unwrap();
    assert_eq!(world.endpoint.as_ref().unwrap().config, first.config());
    world.settle(Some(&second)).unwrap();
    assert_eq!(world.endpoint.as_ref().unwrap().config, second.config());
    assert_eq!((world.models.len(), world.configs.len()), (1, 1), "the old ones are gone");
    world.settle(None).unwrap();
    assert!(world.models.is_empty() && world.configs.is_empty() && world.endpoint.is_none() && world.record.is_none());
}

#[test]
fn what_others_made_is_left_alone() {
    let standing = Standing { state: "InService".into(), failure: None, config: "c".into(), owner: Owner::Others };
    let mut world = World { endpoint: Some(standing.clone()), ..World::default() };
    assert_eq!(world.settle(Some(&wanted("one"))).unwrap_err().reason, "NotOurs");
    assert!(world.models.is_empty() && world.record.is_none(), "nothing was made on the way");
    world.settle(None).unwrap();
    assert_eq!(world.endpoint, Some(standing));
    let mut world = World { models: [(wanted("one").model(), Owner::Others)].into(), ..World::default() };
    assert_eq!(world.settle(Some(&wanted("one"))).unwrap_err().reason, "NotOurs");
}

#[test]
fn a_roll_that_is_taken_back_is_not_begun_for_ever() {
    let (first, second) = (wanted("one"), wanted("two"));
    let mut world = World { refuses: Some(second.config()), ..World::default() };
    world.settle(Some(&first)).unwrap();
    let trouble = world.settle(Some(&second)).unwrap_err();
    assert_eq!(trouble.reason, "RolledBack");
    assert!(world.rolls <= u32::from(ROLLS));
    assert_eq!(world.endpoint.as_ref().unwrap().config, first.config(), "the first serves on");
    world.settle(Some(&wanted("three"))).unwrap();
}

#[test]
fn an_endpoint_that_failed_says_why_and_is_made_again_after_a_correction() {
    let (first, second) = (wanted("one"), wanted("two"));
    let mut world = World::default();
    world.settle(Some(&first)).unwrap();
    world.endpoint.as_mut().unwrap().state = "Failed".into();
    world.endpoint.as_mut().unwrap().failure = Some("the image has no entry point".into());
    let trouble = world.settle(Some(&first)).unwrap_err();
    assert!(trouble.message.contains("no entry point"), "{trouble:?}");
    world.settle(Some(&second)).unwrap();
    assert_eq!(world.endpoint.as_ref().unwrap().config, second.config());
}

#[test]
fn names_fit_and_say_what_they_stand_for() {
    let mut long = wanted("one");
    long.endpoint = "e".repeat(63);
    assert!(long.model().len() <= LONGEST && long.config().len() <= LONGEST && long.model() != long.config());
    let mut more = wanted("one");
    more.instances = 5;
    assert_eq!(more.config(), wanted("one").config(), "another number of instances is no roll");
}

proptest! {
    /// The keeper dies between any two steps, the spec changes at any moment, the resource is deleted in the middle: in the end there is what
    /// the last spec wants and nothing else, or nothing at all; and nothing was ever made over something that was there.
    #[test]
    fn whatever_happens_on_the_way_nothing_is_made_twice_or_left(
        changes in prop::collection::vec((0..4_usize, 0..12_usize), 0..12), is_deleted in any::<bool>(),
    ) {
        let specs = ["one", "two", "three", "four"].map(wanted);
        let mut world = World { crashes: true, ..World::default() };
        let mut last = &specs[0];
        for (which, steps) in changes {
            last = &specs[which];
            for _ in 0..steps {
                // A stop is for people to see; the next spec goes on from there.
                let _ = world.turn(Some(last));
            }
        }
        if is_deleted {
            world.settle(None).unwrap();
            prop_assert!(world.models.is_empty() && world.configs.is_empty() && world.endpoint.is_none());
        } else {
            match world.settle(Some(last)) {
                Ok(()) => {
                    prop_assert_eq!(&world.endpoint.as_ref().unwrap().config, &last.config());
                    prop_assert_eq!((world.models.len(), world.configs.len()), (1, 1));
                }
                // Crashes used its tries up.
                Err(trouble) => prop_assert_eq!(trouble.reason, "RolledBack"),
            }
        }
    }
}
