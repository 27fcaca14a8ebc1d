//! A Pod and what the operator knows in; the patch that adds the proxy to it out, or why it is left alone or refused. Pure.
//!
//! `ask.rs` reads the annotations, `proxy.rs` builds the container and its volumes, `app.rs` points the application's containers at it.
//!
//! # Why the Pod stays JSON
//! A typed Pod would drop the fields that a newer API server knows and this program does not. What is added is built here, everything
//! else is passed through, and the patch is the difference.
//!
//! # Why a proxy that is there already is kept as it is
//! The API server asks again when another webhook changed the Pod after this one (`reinvocationPolicy: IfNeeded`). The ports were told to
//! the containers the first time, so they stay; containers that came in between are pointed at the same proxy. Asking any number of
//! times gives what asking once gives.

mod app;
mod ask;
mod mark;
mod proxy;

pub use ask::{ANNOTATIONS, Ask};
pub use mark::mark;

use json_patch::Patch;
use k8s_openapi::api::core::v1::Pod;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tollway_core::manifest::FieldError;

/// Annotation or label that asks for the proxy: `"true"` or `"false"`.
pub const INJECT: &str = "tollway.dev/inject";
/// Annotation that says which version of the operator injected.
pub const INJECTED: &str = "tollway.dev/injected";
/// Annotation that carries the authority of the operator's certificate to the proxy: a volume shows it as a file.
pub const OPERATOR_CA: &str = "tollway.dev/operator-ca";
/// Name of the proxy's container.
pub const CONTAINER: &str = "tollway-proxy";

/// What the operator knows and a Pod does not say.
#[derive(Clone, Debug)]
pub struct Setting {
    /// Addresses of the operator.
    pub operators: Vec<String>,
    /// Authority of its certificate, PEM; absent: the system's own.
    pub ca: Option<String>,
    /// Values for annotations that a Pod does not set, by the annotation's name without `tollway.dev/`.
    pub defaults: BTreeMap<String, String>,
}

/// What is to be done with a Pod.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Nothing; the text says why when somebody may have expected otherwise.
    Left(Option<String>),
    /// This patch, empty when everything is there already.
    Patched {
        /// The difference.
        patch: Patch,
        /// What the author of the Pod should know.
        warnings: Vec<String>,
    },
    /// The Pod asks for what cannot be done: every mistake.
    Refused(Vec<FieldError>),
}

/// Judges one Pod as the API server has it. It was sent here because its namespace asks for the proxy, or because it does itself.
#[must_use]
pub fn inject(pod: &Value, setting: &Setting) -> Outcome {
    if let Err(error) = Pod::deserialize(pod) {
        return Outcome::Refused(vec![FieldError::new("", format!("this is no Pod: {error}"))]);
    }
    let own = asked(pod);
    match own {
        Some("true") | None => {}
        Some("false") => return Outcome::Left(None),
        Some(other) => {
            let what = format!("{other:?} is neither \"true\" nor \"false\": write one of them");
            return Outcome::Refused(vec![FieldError::new(format!("metadata.annotations[{INJECT}]"), what)]);
        }
    }
    if let Some(obstacle) = obstacle(pod) {
        // Who asked for this very Pod must hear of it even when a controller makes the Pod; who asked for a namespace did not mean the impossible.
        return match own {
            Some(_) => Outcome::Refused(vec![FieldError::new(obstacle.0, obstacle.1)]),
            None => Outcome::Left(Some(format!("no Tollway proxy: {} {}", obstacle.0, obstacle.1))),
        };
    }
    if by_hand(pod) {
        return Outcome::Left(Some(format!("no Tollway proxy is added: container {CONTAINER} is there already")));
    }
    let ask = match Ask::read(pod, setting) {
        Ok(ask) => ask,
        Err(mistakes) => return Outcome::Refused(mistakes),
    };
    let mut changed = pod.clone();
    let mut warnings = Vec::new();
    if pod["spec"]["shareProcessNamespace"] == true {
        warnings
            .push("spec.shareProcessNamespace: the application can reach the proxy's tokens through /proc".to_owned());
    }
    let ports = proxy::add(&mut changed, &ask, setting);
    app::point(&mut changed, &ask, &ports, &mut warnings);
    Outcome::Patched { patch: json_patch::diff(pod, &changed), warnings }
}

/// What the Pod itself says of injection; its annotation counts more than its label.
fn asked(pod: &Value) -> Option<&str> {
    let said = |of: &str| pod["metadata"][of][INJECT].as_str();
    said("annotations").or_else(|| said("labels"))
}

/// Why no proxy can run in this Pod.
fn obstacle(pod: &Value) -> Option<(&'static str, &'static str)> {
    if pod["spec"]["hostNetwork"] == true {
        return Some((
            "spec.hostNetwork",
            "is true: the proxy's ports would be the node's; use a gateway, or leave hostNetwork out",
        ));
    }
    if pod["spec"]["os"]["name"] == "windows" {
        return Some(("spec.os.name", "is windows, for which there is no proxy: use a gateway"));
    }
    None
}

/// Whether somebody put a proxy there who is not this webhook.
fn by_hand(pod: &Value) -> bool {
    let ours = pod["metadata"]["annotations"][INJECTED].is_string();
    has(&pod["spec"]["containers"], CONTAINER) || (!ours && has(&pod["spec"]["initContainers"], CONTAINER))
}

fn has(containers: &Value, name: &str) -> bool {
    containers.as_array().into_iter().flatten().any(|container| container["name"] == name)
}

/// Adds to the list below `parent`, which is made when it is missing or null.
fn add(parent: &mut Value, name: &str, at: Place, value: Value) {
    match (parent[name].as_array_mut(), at) {
        (Some(items), Place::First) => items.insert(0, value),
        (Some(items), Place::Last) => items.push(value),
        (None, _) => parent[name] = json!([value]),
    }
}

enum Place {
    First,
    Last,
}

#[cfg(test)]
mod tests;
