//! Every field that the resources have, in one manifest a kind: of the right form, valid, and each field that is not acted on yet named.
#![allow(clippy::unwrap_used, clippy::panic)]

use tollway_core::{
    compile::{InForce, Verdict, compile},
    manifest::{Id, Kind},
    snapshot::{Folder, LastGood},
};

const SPECS: &str = include_str!("full_specs.yaml");

fn fields(errors: &[tollway_core::manifest::FieldError]) -> Vec<&str> {
    errors.iter().map(|error| error.field.as_str()).collect()
}

#[test]
fn every_field_is_acted_on_or_named() {
    let folder = Folder::read(&[("full_specs.yaml".to_owned(), SPECS.to_owned())].into(), &LastGood::default());
    assert!(folder.errors.is_empty(), "{:?}", folder.errors);
    let (table, verdicts) = compile(&folder.snapshot, &folder.facts);
    let verdict = |kind, name: &str| -> &Verdict { &verdicts[&Id::new(kind, name)] };
    for (id, verdict) in &verdicts {
        assert!(verdict.errors.is_empty(), "{id}: {:?}", verdict.errors);
    }

    let route = verdict(Kind::ModelRoute, "everything");
    assert!(route.refused.is_empty(), "{:?}", route.refused);
    assert!(route.ignored.is_empty(), "{:?}", route.ignored);
    assert_eq!(route.in_force, InForce::Current);

    let endpoint = verdict(Kind::EmbeddingEndpoint, "everything");
    assert_eq!((endpoint.in_force, endpoint.refused.len()), (InForce::Current, 0));
    assert_eq!(fields(&endpoint.ignored), ["spec.provision", "spec.autoscaling", "spec.healthCheck"]);
    assert_eq!(endpoint.models, ["BAAI/bge-m3"]);

    let budget = verdict(Kind::CostBudget, "everything");
    assert!(budget.refused.is_empty(), "{:?}", budget.refused);

    assert_eq!(fields(&budget.ignored), ["spec.awsBudget", "spec.thresholds[0].actions[0].notify"]);

    let served = verdict(Kind::ModelRoute, "everything-served");
    assert_eq!((served.in_force, served.ignored.len(), served.refused.len()), (InForce::Current, 0, 0));
    insta::assert_json_snapshot!(table);
}
