//! Two compiled tables in; what differs between them, each with its place, out.

use super::cluster::Compiled;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// One place of the table that would be another, or something said of a resource.
#[derive(Debug, PartialEq, Serialize)]
pub struct Change {
    /// Like `routes.assistant.targets.nova-pro.price`.
    pub at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
}

/// Every difference, and every mistake that was not there before.
pub fn changes(before: &Compiled, after: &Compiled) -> anyhow::Result<Vec<Change>> {
    let mut changes = between(&serde_json::to_value(&before.table)?, &serde_json::to_value(&after.table)?);
    for (id, verdict) in &after.verdicts {
        let held = before.verdicts.get(id);
        for error in verdict.errors.iter().filter(|error| held.is_none_or(|held| !held.errors.contains(error))) {
            changes.push(Change {
                at: format!("{id} is refused"),
                before: None,
                after: Some(error.to_string().into()),
            });
        }
    }
    Ok(changes)
}

fn between(before: &Value, after: &Value) -> Vec<Change> {
    let (mut old, mut new) = (BTreeMap::new(), BTreeMap::new());
    flatten(String::new(), before, &mut old);
    flatten(String::new(), after, &mut new);
    let mut places: Vec<&String> = old.keys().chain(new.keys()).collect();
    places.sort();
    places.dedup();
    let differs = |at: &&String| old.get(*at) != new.get(*at);
    let change = |at: &String| Change { at: at.clone(), before: old.get(at).cloned(), after: new.get(at).cloned() };
    places.into_iter().filter(differs).map(change).collect()
}

/// Objects by their members; everything else, lists too, is one value.
fn flatten(at: String, value: &Value, into: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (name, member) in members {
                let at = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
                flatten(at, member, into);
            }
        }
        value => drop(into.insert(at, value.clone())),
    }
}

pub fn text(changes: &[Change]) -> String {
    if changes.is_empty() {
        return "nothing would change\n".to_owned();
    }
    let mut text = String::new();
    for Change { at, before, after } in changes {
        let mut line = |sign: char, value: &Option<Value>| {
            if let Some(value) = value {
                let _ = writeln!(text, "{sign} {at}: {value}");
            }
        };
        line('-', before);
        line('+', after);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_new_gone_and_changed_is_told_with_its_place() {
        let before = json!({"a": {"kept": 1, "gone": [1]}, "b": 2});
        let after = json!({"a": {"kept": 1, "new": {"x": "y"}}, "b": 3});
        let changes = between(&before, &after);
        assert_eq!(text(&changes), "- a.gone: [1]\n+ a.new.x: \"y\"\n- b: 2\n+ b: 3\n");
        assert_eq!(text(&between(&before, &before)), "nothing would change\n");
    }
}
