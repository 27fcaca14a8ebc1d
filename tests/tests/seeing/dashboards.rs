//! The folder of dashboards in. Out: each as a value, and every query in it with its variables filled in.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use tollway_tests::process::workspace;

use super::alerts::read;

const FOLDER: &str = "charts/tollway/files/dashboards";

/// Every dashboard by the name of its file.
pub(super) fn all() -> BTreeMap<String, Value> {
    let folder = std::fs::read_dir(workspace().join(FOLDER)).unwrap_or_else(|e| panic!("{FOLDER}: {e}"));
    let names = folder.filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_suffix(".json").map(str::to_owned));
    let parse = |name: &str| {
        serde_json::from_str(&read(&format!("{FOLDER}/{name}.json"))).unwrap_or_else(|e| panic!("{name}: {e}"))
    };
    names.map(|name| (name.clone(), parse(&name))).collect()
}

/// An expression and where it stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Query {
    pub place: String,
    pub expression: String,
}

fn items<'a>(value: &'a Value, at: &str) -> impl Iterator<Item = &'a Value> {
    value.pointer(at).and_then(Value::as_array).into_iter().flatten()
}

/// Queries of panels and of variables, as Grafana sends them when the variables have these values.
pub(super) fn queries(values: &[(&str, &str)]) -> BTreeSet<Query> {
    let mut found = BTreeSet::new();
    for (file, dashboard) in all() {
        let targets =
            items(&dashboard, "/panels").flat_map(|panel| items(panel, "/targets").map(move |target| (panel, target)));
        let of_panels =
            targets.map(|(panel, target)| (&panel["title"], target["expr"].as_str().unwrap_or_default().to_owned()));
        let variables = items(&dashboard, "/templating/list").filter(|variable| variable["type"] == "query");
        let of_variables = variables.map(|variable| {
            let text = variable["query"]["query"].as_str().unwrap_or_default();
            let inner = text.strip_prefix("label_values(").and_then(|text| text.strip_suffix(')'));
            let (selector, label) =
                inner.and_then(|inner| inner.rsplit_once(", ")).unwrap_or_else(|| panic!("{file}: {text}"));
            let (name, matchers) = selector.trim_end_matches('}').split_once('{').unwrap_or((selector, ""));
            (&variable["name"], format!("group by ({label}) ({name}{{{label}!=\"\", {matchers}}})"))
        });
        for (title, expression) in of_panels.chain(of_variables) {
            let expression =
                values.iter().fold(expression, |text, (name, value)| text.replace(&format!("${name}"), value));
            assert!(!expression.is_empty() && !expression.contains('$'), "{file}, {title}: {expression}");
            found.insert(Query { place: format!("{file}, {title}"), expression });
        }
    }
    found
}

#[test]
fn each_dashboard_lets_one_choose_data_source_and_namespace() {
    let all = all();
    assert_eq!(
        all.keys().map(String::as_str).collect::<Vec<_>>(),
        ["budget", "control-plane", "embedding-endpoint", "overview", "route"]
    );
    let mut uids = BTreeSet::new();
    for (file, dashboard) in &all {
        assert!(uids.insert(dashboard["uid"].to_string()), "{file}: another has its uid");
        let variables: Vec<&str> =
            items(dashboard, "/templating/list").filter_map(|variable| variable["name"].as_str()).collect();
        assert!(variables.starts_with(&["datasource"]) && variables.contains(&"namespace"), "{file}: {variables:?}");
        let mut ids = BTreeSet::new();
        let mut taken = BTreeSet::new();
        for panel in items(dashboard, "/panels") {
            let title = panel["title"].as_str().unwrap_or_default();
            assert!(!title.is_empty() && ids.insert(panel["id"].to_string()), "{file}: {title}");
            let of = |side: &str| panel["gridPos"][side].as_u64().unwrap_or_else(|| panic!("{file}, {title}: {side}"));
            assert!(of("x") + of("w") <= 24, "{file}, {title}: wider than the screen");
            for place in (of("x")..of("x") + of("w")).flat_map(|x| (of("y")..of("y") + of("h")).map(move |y| (x, y))) {
                assert!(taken.insert(place), "{file}, {title}: lies on another panel");
            }
            for target in items(panel, "/targets") {
                assert_eq!(target["datasource"]["uid"], "${datasource}", "{file}, {title}");
            }
        }
    }
}
