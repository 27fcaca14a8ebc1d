//! Folders with and without mistakes in; what stays in force out.

use super::*;

fn read(text: &str) -> Folder {
    Folder::read(&[("f.yaml".to_owned(), text.to_owned())].into(), &LastGood::default())
}

#[test]
fn secrets_and_config_maps_stand_beside_resources() {
    let folder = read(
        "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata: {a: aGk=}\nstringData: {b: plain}\n---\n\
         apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, namespace: team}\ndata: {k: v}\n",
    );
    assert!(folder.errors.is_empty(), "{:?}", folder.errors);
    assert_eq!((folder.secrets["s"]["a"].as_slice(), folder.secrets["s"]["b"].as_slice()), (&b"hi"[..], &b"plain"[..]));
    assert_eq!(folder.facts.secrets["s"].len(), 2);
    assert_eq!((folder.facts.config_maps["c"]["k"].as_str(), folder.snapshot.namespace.as_str()), ("v", "team"));
}

#[test]
fn what_has_no_place_is_named_with_file_and_line() {
    let folder = read(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\n---\napiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata:\n  a: '%'\n---\n\
         apiVersion: tollway.dev/v1alpha1\nkind: CostBudget\nmetadata:\n  name: UP\n  nam: x\nspec: {}\n---\njust text\n",
    );
    let found: Vec<_> = folder.errors.iter().map(ToString::to_string).collect();
    assert_eq!(
        found,
        [
            "f.yaml:2: kind: apps/v1 Deployment has no place here: use tollway.dev/v1alpha1 ModelRoute, EmbeddingEndpoint or CostBudget, or v1 Secret or ConfigMap",
            "f.yaml:9: data.a: is not base64: encode it, or use stringData",
            "f.yaml:14: metadata.name: \"UP\" is no name: write lower case letters, digits, - and ., at most 63 of them",
            "f.yaml:15: metadata.nam: no such field: remove it",
            "f.yaml:18: a manifest is a group of fields: apiVersion, kind, metadata and spec",
        ]
    );
}

#[test]
fn a_name_given_twice_is_an_error_and_the_first_stays() {
    let one = "apiVersion: tollway.dev/v1alpha1\nkind: CostBudget\nmetadata: {name: b}\nspec: {limit: {amount: 'AMOUNT'}, period: Once}\n";
    let folder = read(&format!("{}---\n{}", one.replace("AMOUNT", "1"), one.replace("AMOUNT", "2")));
    let found: Vec<_> = folder.errors.iter().map(ToString::to_string).collect();
    assert_eq!(found, ["f.yaml:8: metadata.name: CostBudget/b is already in f.yaml:2: give each resource once"]);
    assert_eq!(folder.snapshot.resources.len(), 1);
}
