//! The generated YAML beside the types that it comes from.

use super::all;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::Value;
use std::fmt::Write;
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

/// The same for people: a page a kind, each field with its contract.
#[test]
fn the_reference_holds_what_the_types_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference");
    let write = std::env::var_os("UPDATE").is_some();
    for crd in all() {
        let path = folder.join(format!("{}.md", crd.spec.names.singular.as_deref().unwrap()));
        let now = page(&crd);
        if write {
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(&path, &now).unwrap();
        }
        let held = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(held == now, "{} is not what the types say: run `make crds`", path.display());
    }
}

fn page(crd: &CustomResourceDefinition) -> String {
    let version = &crd.spec.versions[0];
    let schema = serde_json::to_value(version.schema.as_ref().unwrap().open_api_v3_schema.as_ref().unwrap()).unwrap();
    let (kind, of) = (&crd.spec.names.kind, format!("{}/{}", crd.spec.group, version.name));
    let about = text(&schema["description"]);
    let mut page =
        format!("# {kind}\n\n`apiVersion: {of}`, `kind: {kind}`. {about}\n\nWritten by `make crds` from the types.\n");
    for part in ["spec", "status"] {
        let _ = write!(page, "\n## {part}\n\n| field | type | |\n| --- | --- | --- |\n");
        fields(&schema["properties"][part], part, &mut page);
    }
    page
}

fn fields(schema: &Value, at: &str, page: &mut String) {
    let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>();
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let (at, inner) = (format!("{at}.{name}"), if field["type"] == "array" { &field["items"] } else { field });
        let place = if field["type"] == "array" { format!("{at}[]") } else { at };
        let must = if required.contains(&name.as_str()) { "**required** " } else { "" };
        let _ = writeln!(page, "| `{place}` | {} | {must}{} |", kind_of(field), text(&field["description"]));
        fields(inner, &place, page);
    }
}

fn kind_of(field: &Value) -> String {
    let choices: Vec<&str> = field["enum"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    match field["type"].as_str() {
        _ if !choices.is_empty() => choices.join(" \\| "),
        Some("array") => format!("list of {}", kind_of(&field["items"])),
        Some("object") if field["additionalProperties"].is_object() => {
            format!("map of {}", kind_of(&field["additionalProperties"]))
        }
        Some(other) => other.to_owned(),
        None => "any".to_owned(),
    }
}

/// On one line of a table.
fn text(description: &Value) -> String {
    let words = description.as_str().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ");
    words.replace('|', "\\|").replace('<', "&lt;")
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
