//! A resource before and after a write in; every mistake in it and every warning about it out. The validator is the one that compiles. Pure.

use serde_json::Value;
use tollway_core::compile;
use tollway_core::manifest::{self, FieldError, Kind};
use tollway_core::snapshot::Facts;
use tollway_core::validate::{self, Context, Findings};

/// What is said of a resource.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Judgement {
    /// Why it is refused; empty: it is not.
    pub mistakes: Vec<FieldError>,
    /// What its author should know all the same.
    pub warnings: Vec<FieldError>,
}

/// Judges a write. A spec that was stored before, by an older version or past this webhook, and that the write does not touch, is not
/// refused: labels, finalizers and deletion must go through, and status says what is wrong with it.
#[must_use]
pub fn judge(kind: Kind, namespace: &str, object: &Value, before: Option<&Value>, facts: &Facts) -> Judgement {
    let context = Context { namespace, mode: facts.mode };
    let Findings { checked, mut errors, refused, ignored } =
        validate::parsed(&manifest::spec(kind, &object["spec"]), context);
    errors.extend(refused);
    let untouched = before.is_some_and(|before| before["spec"] == object["spec"]);
    let advice = checked.iter().flat_map(|checked| compile::advice(checked, facts));
    let warnings = ignored.into_iter().chain(advice);
    if untouched || object["metadata"]["deletionTimestamp"].is_string() {
        return Judgement { mistakes: Vec::new(), warnings: errors.into_iter().chain(warnings).collect() };
    }
    Judgement { mistakes: errors, warnings: warnings.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn route(connect: &str) -> Value {
        json!({"metadata": {"name": "r"}, "spec": {
            "models": ["m"],
            "targets": [{"name": "a", "simulated": {}}, {"name": "b", "simulated": {}}],
            "rules": [{"split": [{"target": "a", "weight": 1}]}],
            "timeouts": {"connect": connect},
            "retry": {"backoff": {"base": "9s", "max": "1s"}},
        }})
    }

    fn said(object: &Value, before: Option<&Value>) -> Judgement {
        judge(Kind::ModelRoute, "team", object, before, &Facts::default())
    }

    #[test]
    fn every_mistake_is_told_at_once() {
        let mistakes: Vec<String> = said(&route("5h"), None).mistakes.iter().map(ToString::to_string).collect();
        assert_eq!(mistakes.len(), 2, "{mistakes:?}");
        assert!(
            mistakes.iter().any(|m| m.contains("timeouts.connect")) && mistakes.iter().any(|m| m.contains("backoff"))
        );
    }

    #[test]
    fn a_mistake_that_was_there_before_does_not_hold_up_other_changes() {
        let broken = route("5h");
        let mut labelled = broken.clone();
        labelled["metadata"]["labels"] = json!({"a": "b"});
        let judgement = said(&labelled, Some(&broken));
        assert!(judgement.mistakes.is_empty());
        assert_eq!(judgement.warnings.len(), 2, "it is still told");
        assert!(!said(&route("6h"), Some(&broken)).mistakes.is_empty());
        let mut going = route("6h");
        going["metadata"]["deletionTimestamp"] = json!("2026-11-20T00:00:00Z");
        assert!(said(&going, Some(&broken)).mistakes.is_empty());
    }

    #[test]
    fn what_is_unwise_is_a_warning() {
        let mut sound = route("1s");
        sound["spec"]["retry"] = Value::Null;
        sound["spec"].as_object_mut().unwrap().remove("retry");
        let judgement = said(&sound, None);
        assert!(judgement.mistakes.is_empty(), "{:?}", judgement.mistakes);
        assert!(
            judgement.warnings.iter().any(|w| w.to_string().contains("b is in no rule")),
            "{:?}",
            judgement.warnings
        );
    }
}
