//! Applies objects and reads the snapshot, with no cluster.

use super::*;
use serde_json::json;

fn route(name: &str, generation: i64, weight: i64) -> Raw {
    let value = json!({
        "metadata": {"name": name, "namespace": "ns", "uid": format!("uid-{name}"), "generation": generation, "resourceVersion": (generation + 100).to_string()},
        "spec": {
            "models": [name],
            "targets": [
                {"name": "a", "openai": {"service": {"name": "ollama", "port": 11434}, "apiKey": {"secretRef": {"name": "keys"}}}},
            ],
            "rules": [{"split": [{"target": "a", "weight": weight}]}],
            "system": {"configMapRef": {"name": "prompts"}},
        },
    });
    Raw { metadata: serde_json::from_value(value["metadata"].clone()).unwrap(), value }
}

fn applied(object: Raw) -> Event {
    Event::Applied { kind: Kind::ModelRoute, object }
}

fn id(name: &str) -> Id {
    Id::new(Kind::ModelRoute, name)
}

#[test]
fn an_object_is_in_its_namespaces_snapshot_with_what_it_names() {
    let mut index = Index::default();
    assert_eq!(index.apply(applied(route("r", 1, 1))), BTreeSet::from(["ns".to_owned()]));
    let space = index.space("ns");
    assert_eq!(space.snapshot.resources[&id("r")].generation, 1);
    assert_eq!(space.revision, 101);
    let about = &space.about[&id("r")];
    assert_eq!(about.secrets, BTreeSet::from(["keys".to_owned()]));
    assert_eq!(about.config_maps, BTreeSet::from(["prompts".to_owned()]));
    let mut sharing = route("r", 2, 1);
    sharing.value["spec"]["cache"] = json!({"ttl": "1m", "scope": "Shared"});
    assert!(!index.apply(applied(sharing)).is_empty());
    let secrets = &index.space("ns").about[&id("r")].secrets;
    assert_eq!(*secrets, BTreeSet::from(["keys".to_owned(), "tollway-cache".to_owned()]));
    assert!(index.space("other").snapshot.resources.is_empty());
}

#[test]
fn a_change_of_status_alone_is_no_news() {
    let mut index = Index::default();
    index.apply(applied(route("r", 1, 1)));
    let mut object = route("r", 1, 1);
    object.value["status"] = json!({"conditions": []});
    object.metadata.resource_version = Some("200".into());
    assert!(index.apply(applied(object)).is_empty());
    assert_eq!(index.space("ns").revision, 200);
}

#[test]
fn a_list_removes_what_it_lacks_of_its_own_kind() {
    let mut index = Index::default();
    index.apply(applied(route("old", 1, 1)));
    let changed = index.apply(Event::Listed { kind: Kind::CostBudget, objects: vec![] });
    assert!(changed.is_empty());
    assert!(!index.complete());
    index.apply(Event::Listed { kind: Kind::ModelRoute, objects: vec![route("new", 1, 1)] });
    index.apply(Event::Listed { kind: Kind::EmbeddingEndpoint, objects: vec![] });
    assert!(index.complete());
    assert_eq!(index.space("ns").snapshot.resources.keys().collect::<Vec<_>>(), [&id("new")]);
}

#[test]
fn what_was_accepted_stays_until_status_says_it_or_the_object_is_made_anew() {
    let mut index = Index::default();
    index.apply(applied(route("r", 1, 1)));
    let spec = index.space("ns").snapshot.resources[&id("r")].parsed.spec.clone().unwrap();
    index.accepted("ns", [(id("r"), Accepted { generation: 1, spec })]);
    let mut broken = route("r", 2, 1);
    broken.value["spec"]["rules"] = json!("none");
    index.apply(applied(broken));
    let accepted =
        |index: &Index| index.space("ns").snapshot.resources[&id("r")].last_accepted.as_ref().map(|a| a.generation);
    assert_eq!(accepted(&index), Some(1));
    let mut anew = route("r", 1, 1);
    anew.metadata.uid = Some("another".into());
    index.apply(applied(anew));
    assert_eq!(accepted(&index), None);
}

#[test]
fn an_object_of_no_known_form_is_judged_and_harms_no_other() {
    let mut index = Index::default();
    index.apply(applied(route("good", 1, 1)));
    let mut bad = route("bad", 1, 1);
    bad.value["spec"] = json!([1, 2, 3]);
    index.apply(applied(bad));
    let space = index.space("ns");
    assert!(!space.snapshot.resources[&id("bad")].parsed.errors.is_empty());
    assert!(space.snapshot.resources[&id("good")].parsed.errors.is_empty());
}

#[test]
fn a_deletion_raises_the_revision() {
    let mut index = Index::default();
    index.apply(applied(route("r", 1, 1)));
    let mut gone = route("r", 1, 1);
    gone.metadata.resource_version = Some("300".into());
    assert_eq!(index.apply(Event::Deleted { kind: Kind::ModelRoute, object: gone }).len(), 1);
    let space = index.space("ns");
    assert!(space.snapshot.resources.is_empty());
    assert_eq!(space.revision, 300);
}
