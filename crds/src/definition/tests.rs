//! The generated YAML beside the types that it comes from.

use super::all;
use std::path::Path;

/// The YAML a chart or a person applies, one file a kind.
#[test]
fn yaml_files_hold_what_the_types_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("yaml");
    let write = std::env::var_os("UPDATE").is_some();
    for crd in all() {
        let path = folder.join(format!("{}.yaml", crd.spec.names.plural));
        let now = serde_yaml::to_string(&crd).unwrap();
        if write {
            std::fs::write(&path, &now).unwrap();
        }
        let held = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(held == now, "{} is not what the types say: run `make crds`", path.display());
    }
}

#[test]
fn every_kind_has_status_columns_and_the_category() {
    let crds = all();
    assert_eq!(crds.len(), 4);
    for crd in crds {
        let version = &crd.spec.versions[0];
        assert!(version.subresources.as_ref().unwrap().status.is_some(), "{}", crd.spec.names.kind);
        assert!(version.additional_printer_columns.as_ref().unwrap().len() >= 4, "{}", crd.spec.names.kind);
        assert_eq!(crd.spec.names.categories.as_deref(), Some(&["tollway".to_owned()][..]));
    }
}
