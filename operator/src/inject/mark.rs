//! A namespace before and after a change in; the patch that gives it the label its annotation stands for out.
//!
//! # Why
//! The API server picks the Pods to ask about by labels of their namespace; annotations of a namespace are invisible there. Without this,
//! `kubectl annotate namespace` would be silently without effect, and asking about every Pod of the cluster would put the operator in the
//! way of all of them.

use super::INJECT;
use json_patch::Patch;
use serde_json::Value;

/// The label follows the annotation: set with it, changed with it, taken away with it. A label alone is left as it is.
#[must_use]
pub fn mark(namespace: &Value, before: Option<&Value>) -> Patch {
    let annotation = namespace["metadata"]["annotations"][INJECT].as_str();
    let label = namespace["metadata"]["labels"][INJECT].as_str();
    let former = before.and_then(|before| before["metadata"]["annotations"][INJECT].as_str());
    let mut changed = namespace.clone();
    match (annotation, former) {
        (Some(value), _) if label != Some(value) => {
            changed["metadata"]["labels"][INJECT] = value.into();
        }
        (None, Some(former)) if label == Some(former) => {
            changed["metadata"]["labels"].as_object_mut().and_then(|labels| labels.remove(INJECT));
        }
        _ => {}
    }
    json_patch::diff(namespace, &changed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn namespace(annotation: Option<&str>, label: Option<&str>) -> Value {
        let mut namespace = json!({"metadata": {"name": "shop"}});
        if let Some(value) = annotation {
            namespace["metadata"]["annotations"] = json!({ INJECT: value });
        }
        if let Some(value) = label {
            namespace["metadata"]["labels"] = json!({ INJECT: value, "kubernetes.io/metadata.name": "shop" });
        }
        namespace
    }

    fn label(mut of: Value, before: Option<&Value>) -> Option<String> {
        let patch = mark(&of, before);
        json_patch::patch(&mut of, &patch).unwrap();
        of["metadata"]["labels"][INJECT].as_str().map(str::to_owned)
    }

    #[test]
    fn the_label_follows_the_annotation() {
        let annotated = namespace(Some("true"), None);
        assert_eq!(label(annotated.clone(), None).as_deref(), Some("true"));
        let both = namespace(Some("true"), Some("true"));
        assert!(mark(&both, Some(&both)).is_empty());
        assert_eq!(label(namespace(Some("false"), Some("true")), Some(&both)).as_deref(), Some("false"));
        assert_eq!(label(namespace(None, Some("true")), Some(&both)), None, "taken away with it");
    }

    #[test]
    fn a_label_alone_is_left() {
        let labelled = namespace(None, Some("true"));
        assert!(mark(&labelled, Some(&labelled)).is_empty());
        assert!(mark(&namespace(None, None), None).is_empty());
    }
}
