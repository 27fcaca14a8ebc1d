//! Every example, as a folder and as objects of a cluster: no mistakes, nothing ignored, the same table.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::{collections::BTreeMap, fs, path::PathBuf};
use tollway_core::{
    compile::{InForce, compile},
    manifest::{self, Kind},
    snapshot::{Facts, Folder, LastGood, Snapshot},
    wire,
};

fn examples() -> Vec<(String, BTreeMap<String, String>)> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let folders = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    let yaml = |folder: &PathBuf| {
        let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let files = files.filter(|path| path.extension().is_some_and(|e| e == "yaml"));
        files
            .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(path).unwrap()))
            .collect()
    };
    folders.map(|folder| (folder.file_name().unwrap().to_str().unwrap().to_owned(), yaml(&folder))).collect()
}

#[test]
fn every_example_compiles_without_a_mistake() {
    let examples = examples();
    assert!(examples.len() >= 3);
    for (name, files) in examples {
        let folder = Folder::read(&files, &LastGood::default());
        let (table, verdicts) = compile(&folder.snapshot, &folder.facts);
        let mistakes: Vec<String> = folder.mistakes(&verdicts).iter().map(ToString::to_string).collect();
        assert!(mistakes.is_empty(), "{name}: {mistakes:#?}");
        let serves = !table.routes.is_empty() || !table.embeddings.is_empty();
        assert!(serves, "{name}");
        for (id, verdict) in &verdicts {
            assert_eq!(verdict.in_force, InForce::Current, "{name}: {id}");
            assert!(verdict.ignored.is_empty() && verdict.unpriced.is_empty(), "{name}: {id}: {verdict:?}");
            assert!(id.kind != Kind::CostBudget || !verdict.binds.is_empty(), "{name}: {id} binds nothing");
        }
    }
}

#[test]
fn a_folder_and_a_cluster_give_the_same_digest() {
    for (name, files) in examples() {
        let folder = Folder::read(&files, &LastGood::default());
        let mut cluster = Snapshot::new("default");
        let objects = files.iter().flat_map(|(file, text)| manifest::documents(file, text).0);
        for (at, mut object) in objects.map(|document| document.value).enumerate() {
            if object["apiVersion"] != tollway_crds::API_VERSION {
                continue;
            }
            object["metadata"]["creationTimestamp"] = "2026-11-20T07:00:00Z".into();
            object["metadata"]["generation"] = (at + 7).into();
            object["metadata"]["uid"] = "d0c9bd34-6a0f-4f83-8ab5-1fcb9c3b1d0e".into();
            object["metadata"]["resourceVersion"] = "4711".into();
            cluster.read(&object).unwrap();
        }
        let facts = Facts { secrets: folder.facts.secrets.clone(), ..Facts::default() };
        let from_folder = wire::encode(&compile(&folder.snapshot, &folder.facts).0);
        let from_cluster = wire::encode(&compile(&cluster, &facts).0);
        assert_eq!(from_folder.digest, from_cluster.digest, "{name}");
    }
}
