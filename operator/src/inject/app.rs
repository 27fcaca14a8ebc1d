//! The proxy's address in; the variables by which the vendors' SDKs find it out, in the application's containers that do not set them.
//!
//! # Why AWS placeholders give way
//! An SDK of AWS signs every call, so it needs some key. A key in the environment goes before every other identity, so a placeholder
//! would take the container's own role from it, with which it may use other services. It is set only where no identity is seen, and
//! taken back when another webhook gives the container one later.

use super::proxy::Ports;
use super::{Ask, CONTAINER, Place};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Variables that give a container an AWS identity.
const IDENTITY: [&str; 8] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_PROFILE",
    "AWS_ROLE_ARN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
];
/// Where Amazon's own webhooks mount the tokens of an identity.
const MOUNTS: [&str; 2] = ["/var/run/secrets/eks.amazonaws.com", "/var/run/secrets/pods.eks.amazonaws.com"];
const KEYS: [&str; 2] = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"];
/// An SDK refuses to start without a region, and the proxy does not read it.
const REGION: &str = "us-east-1";

/// Sets the variables in the chosen containers; warnings name what could not be done.
pub fn point(pod: &mut Value, ask: &Ask, ports: &Ports, warnings: &mut Vec<String>) {
    for of in ["initContainers", "containers"] {
        let containers = pod["spec"][of].as_array_mut().into_iter().flatten();
        for container in containers.filter(|container| container["name"] != CONTAINER) {
            let name = container["name"].as_str().unwrap_or_default().to_owned();
            if ask.containers.is_empty() || ask.containers.contains(&name) {
                set(container, &name, ask, ports, warnings);
            }
        }
    }
}

fn set(container: &mut Value, name: &str, ask: &Ask, ports: &Ports, warnings: &mut Vec<String>) {
    let own: BTreeSet<String> = env(container).filter_map(|entry| Some(entry["name"].as_str()?.to_owned())).collect();
    let url = format!("http://{}", ports.listen);
    let placeholder = ask.get("inject-api-key").unwrap_or_default();
    let asked = |sdk: &str| ask.sdks.contains(sdk);
    let mut wanted: Vec<(&str, String)> = Vec::new();
    let bases = [
        ("openai", "OPENAI_BASE_URL", format!("{url}/v1")),
        ("anthropic", "ANTHROPIC_BASE_URL", url.clone()),
        ("bedrock", "AWS_ENDPOINT_URL_BEDROCK_RUNTIME", url.clone()),
        ("sagemaker", "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME", url),
    ];
    for (_, variable, value) in bases.into_iter().filter(|(sdk, ..)| asked(sdk)) {
        let other =
            env(container).find(|entry| entry["name"] == variable).is_some_and(|entry| entry["value"] != *value);
        if other {
            warnings
                .push(format!("container {name} sets {variable} itself: its calls there do not pass Tollway's proxy"));
        }
        wanted.push((variable, value));
    }
    // Names that come from a ConfigMap or Secret are not seen here, and a variable of `env` would win over them.
    let unseen = container["envFrom"].as_array().is_some_and(|from| !from.is_empty());
    if unseen && !ask.sdks.is_empty() {
        warnings.push(format!(
            "container {name} has envFrom: Tollway's base URLs win over those in it, and no placeholder keys are set"
        ));
    }
    if !placeholder.is_empty() && !unseen {
        for (sdk, variable) in [("openai", "OPENAI_API_KEY"), ("anthropic", "ANTHROPIC_API_KEY")] {
            if asked(sdk) {
                wanted.push((variable, placeholder.to_owned()));
            }
        }
    }
    if asked("aws-keys") && !placeholder.is_empty() && !unseen {
        if has_identity(container, placeholder) {
            withdraw(container, placeholder);
        } else {
            wanted.extend(KEYS.map(|key| (key, placeholder.to_owned())));
            // One SDK of AWS reads the one variable, another the other.
            if !own.contains("AWS_REGION") && !own.contains("AWS_DEFAULT_REGION") {
                let region = ask.get("proxy-aws-region").unwrap_or(REGION);
                wanted.extend(["AWS_REGION", "AWS_DEFAULT_REGION"].map(|variable| (variable, region.to_owned())));
            }
        }
    }
    for (variable, value) in wanted.into_iter().filter(|(variable, _)| !own.contains(*variable)) {
        super::add(container, "env", Place::Last, json!({"name": variable, "value": value}));
    }
}

fn env(container: &Value) -> impl Iterator<Item = &Value> {
    container["env"].as_array().into_iter().flatten()
}

/// Whether the container has an AWS identity that is not our placeholder.
fn has_identity(container: &Value, placeholder: &str) -> bool {
    let ours = |entry: &Value| KEYS.iter().any(|key| entry["name"] == *key) && entry["value"] == placeholder;
    let variable =
        env(container).filter(|entry| !ours(entry)).any(|entry| IDENTITY.iter().any(|name| entry["name"] == *name));
    let mounts = container["volumeMounts"].as_array().into_iter().flatten();
    let mounted =
        |mount: &Value| mount["mountPath"].as_str().is_some_and(|at| MOUNTS.iter().any(|path| at.starts_with(path)));
    variable || mounts.into_iter().any(mounted)
}

/// Takes our placeholder back.
fn withdraw(container: &mut Value, placeholder: &str) {
    if let Some(env) = container["env"].as_array_mut() {
        env.retain(|entry| !(KEYS.iter().any(|key| entry["name"] == *key) && entry["value"] == placeholder));
    }
}
