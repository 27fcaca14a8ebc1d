//! The rule file in. Out: rules as values; promtool's word on each, and that each is complete, documented and in the chart.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use tollway_tests::helm::{FULL, template};
use tollway_tests::process::workspace;
use tollway_tests::prometheus::promtool;
use tollway_tests::scratch;

pub(super) const RULES: &str = "charts/tollway/files/alerts.yaml";
const TESTS: &str = "tests/prometheus/alerts.yaml";

pub(super) fn read(path: &str) -> String {
    std::fs::read_to_string(workspace().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

fn yaml(path: &str) -> Value {
    serde_yaml::from_str(&read(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// Every rule by its name.
pub(super) fn rules() -> BTreeMap<String, Value> {
    let file = yaml(RULES);
    let groups = file["groups"].as_array().expect("groups");
    let rules = groups.iter().flat_map(|group| group["rules"].as_array().expect("rules"));
    rules.map(|rule| (rule["alert"].as_str().expect("an alert").to_owned(), rule.clone())).collect()
}

/// The names of our own series in an expression.
pub(super) fn series(expression: &str) -> BTreeSet<String> {
    let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("tollway_") || word.starts_with("gen_ai_client_")).map(str::to_owned).collect()
}

#[test]
fn each_alert_fires_on_what_it_is_for_and_not_without() {
    let rules = rules();
    let mut tests = yaml(TESTS);
    let (mut firing, mut quiet) = (BTreeSet::new(), BTreeSet::new());
    for case in tests["tests"].as_array_mut().into_iter().flatten() {
        for check in case["alert_rule_test"].as_array_mut().into_iter().flatten() {
            let name = check["alertname"].as_str().expect("alertname").to_owned();
            let rule = rules.get(&name).unwrap_or_else(|| panic!("{TESTS} has {name}, and {RULES} has not"));
            let fixed = rule["annotations"].as_object().expect("annotations").iter();
            let fixed: Vec<_> = fixed.filter(|(_, text)| !text.to_string().contains("{{")).collect();
            let expected = check["exp_alerts"].as_array_mut();
            if expected.as_ref().is_some_and(|alerts| !alerts.is_empty()) { &mut firing } else { &mut quiet }
                .insert(name);
            for alert in expected.into_iter().flatten() {
                for (annotation, text) in &fixed {
                    alert["exp_annotations"][annotation.as_str()] = (*text).clone();
                }
            }
        }
    }
    let all: BTreeSet<String> = rules.keys().cloned().collect();
    assert_eq!(
        (&firing, &quiet),
        (&all, &all),
        "{TESTS}: each alert needs a moment at which it fires, and one at which it does not"
    );
    let path = workspace().join(RULES);
    promtool(&["check", "rules", &path.to_string_lossy()]);
    tests["rule_files"] = json!([path]);
    let file = scratch::folder("promtool").join("alerts.yaml");
    std::fs::write(&file, tests.to_string()).expect("a file for promtool");
    promtool(&["test", "rules", &file.to_string_lossy()]);
}

#[test]
fn each_alert_says_what_is_wrong_and_what_to_do() {
    let page = read("docs/observability.md");
    for (name, rule) in rules() {
        for annotation in ["summary", "description", "runbook"] {
            assert!(
                rule["annotations"][annotation].as_str().is_some_and(|text| text.len() > 15),
                "{name}: {annotation}"
            );
        }
        let severity = rule["labels"]["severity"].as_str().unwrap_or_default();
        assert!(["critical", "warning", "info"].contains(&severity), "{name}: severity {severity}");
        assert!(page.contains(&format!("### {name}")), "docs/observability.md has no runbook of {name}");
    }
    let documented = page.lines().filter_map(|line| line.strip_prefix("### Tollway")).count();
    assert_eq!(documented, rules().len(), "docs/observability.md has a runbook of an alert that is gone");
}

#[test]
fn the_chart_brings_alerts_and_dashboards_as_they_are() {
    let objects = template(&read(FULL));
    let rule = objects.iter().find(|object| object["kind"] == "PrometheusRule").expect("a PrometheusRule");
    assert_eq!(rule["spec"], yaml(RULES));
    for (name, dashboard) in super::dashboards::all() {
        let named = |object: &&Value| object["metadata"]["name"] == format!("tollway-dashboard-{name}");
        let map = objects.iter().find(named).unwrap_or_else(|| panic!("no ConfigMap of {name}"));
        assert_eq!(map["metadata"]["labels"]["grafana_dashboard"], "1", "{map}");
        let held = map["data"][format!("{name}.json")].as_str().unwrap_or_default();
        assert_eq!(serde_json::from_str::<Value>(held).ok(), Some(dashboard), "{name}");
    }
}
