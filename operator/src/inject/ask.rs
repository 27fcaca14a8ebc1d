//! A Pod's annotations and the operator's defaults in; what is to be injected out, or every mistake in them.

use super::Setting;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use tollway_core::manifest::FieldError;

/// Every annotation that shapes injection, without `tollway.dev/`, and the default; empty: nothing.
///
/// `proxy-` and the name of a flag of `tollway-proxy run` is that flag.
pub const ANNOTATIONS: [(&str, &str); 21] = [
    ("inject-sdks", "openai,anthropic,bedrock,aws-keys"),
    ("inject-containers", ""),
    ("inject-api-key", "tollway"),
    ("proxy-image", concat!("tollway-proxy:", env!("CARGO_PKG_VERSION"))),
    ("proxy-image-pull-policy", ""),
    ("proxy-cpu-request", "50m"),
    ("proxy-cpu-limit", ""),
    ("proxy-memory-request", "64Mi"),
    ("proxy-memory-limit", "512Mi"),
    ("proxy-listen", ""),
    ("proxy-admin", ""),
    ("proxy-max-body", ""),
    ("proxy-cache-size", ""),
    ("proxy-threads", ""),
    ("proxy-redis-secret", ""),
    ("proxy-redis-timeout", ""),
    ("proxy-log", ""),
    ("proxy-log-format", ""),
    ("proxy-env", ""),
    ("proxy-aws-role-arn", ""),
    ("proxy-aws-region", ""),
];

const PREFIX: &str = "tollway.dev/";
const SDKS: [&str; 5] = ["openai", "anthropic", "bedrock", "sagemaker", "aws-keys"];
/// Variables of the proxy that injection itself sets.
const OURS: [&str; 5] =
    ["TOLLWAY_REDIS_URL", "AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_REGION", "AWS_DEFAULT_REGION"];

/// What is to be injected, checked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ask {
    values: BTreeMap<&'static str, String>,
    /// Where the proxy listens, when it is said.
    pub listen: Option<SocketAddr>,
    /// Where its admin pages are, when it is said.
    pub admin: Option<SocketAddr>,
    /// SDKs whose variables are set.
    pub sdks: BTreeSet<String>,
    /// Containers that get them; empty: all.
    pub containers: BTreeSet<String>,
    /// Further variables of the proxy.
    pub env: Vec<(String, String)>,
}

impl Ask {
    /// Reads a Pod's annotations over the defaults.
    ///
    /// # Errors
    /// Every mistake in them.
    pub fn read(pod: &Value, setting: &Setting) -> Result<Ask, Vec<FieldError>> {
        let mut mistakes = Vec::new();
        let annotations = pod["metadata"]["annotations"].as_object();
        let mut values: BTreeMap<&'static str, String> = BTreeMap::new();
        for (name, default) in ANNOTATIONS {
            let own = annotations.and_then(|all| all.get(&format!("{PREFIX}{name}"))?.as_str());
            let value = own.or_else(|| setting.defaults.get(name).map(String::as_str)).unwrap_or(default).trim();
            values.insert(name, value.to_owned());
        }
        let given = annotations.into_iter().flatten().filter_map(|(name, _)| name.strip_prefix(PREFIX));
        for name in given.filter(|name| name.starts_with("proxy-") || name.starts_with("inject-")) {
            if !values.contains_key(name) {
                mistakes.push(wrong(name, "is not known: remove it, or correct the name"));
            }
        }
        let mut ask = Ask { values, ..Ask::default() };
        ask.check(&mut mistakes);
        let names = names(pod);
        for name in ask.containers.iter().filter(|name| !names.contains(name.as_str())) {
            mistakes.push(wrong("inject-containers", format!("no container is called {name}: use one of the Pod's")));
        }
        if mistakes.is_empty() { Ok(ask) } else { Err(mistakes) }
    }

    /// What is wrong with the operator's own defaults: the same rules, without a Pod.
    ///
    /// # Errors
    /// Every mistake in them, by the name of the annotation.
    pub fn defaults(defaults: &BTreeMap<String, String>) -> Result<(), Vec<FieldError>> {
        let mut mistakes: Vec<FieldError> = defaults
            .keys()
            .filter(|name| !ANNOTATIONS.iter().any(|(known, _)| known == name))
            .map(|name| wrong(name, "is not known: `tollway.dev/` is left out, as in proxy-log=debug"))
            .collect();
        let of =
            |name: &'static str, default: &str| defaults.get(name).map_or(default, String::as_str).trim().to_owned();
        let values = ANNOTATIONS.iter().map(|(name, default)| (*name, of(name, default))).collect();
        Ask { values, ..Ask::default() }.check(&mut mistakes);
        if mistakes.is_empty() { Ok(()) } else { Err(mistakes) }
    }

    /// The value of an annotation; `None` when there is nothing.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    fn check(&mut self, mistakes: &mut Vec<FieldError>) {
        for name in ["proxy-cpu-request", "proxy-cpu-limit", "proxy-memory-request", "proxy-memory-limit"] {
            if let Some(value) = self.get(name).filter(|value| !is_quantity(value)) {
                mistakes.push(wrong(name, format!("{value:?} is not a quantity: write one like 100m or 64Mi")));
            }
        }
        for name in ["proxy-max-body", "proxy-cache-size", "proxy-threads", "proxy-redis-timeout"] {
            if let Some(value) = self.get(name).filter(|value| value.parse::<u64>().is_err()) {
                mistakes.push(wrong(name, format!("{value:?} is not a whole number: write digits")));
            }
        }
        for (name, allowed) in [
            ("proxy-image-pull-policy", ["Always", "IfNotPresent", "Never"].as_slice()),
            ("proxy-log-format", &["text", "json"]),
        ] {
            if let Some(value) = self.get(name).filter(|value| !allowed.contains(value)) {
                mistakes.push(wrong(name, format!("{value:?} is not known: use one of {}", allowed.join(", "))));
            }
        }
        self.listen = address(self.get("proxy-listen"), "proxy-listen", "127.0.0.1:8080", mistakes);
        self.admin = address(self.get("proxy-admin"), "proxy-admin", "0.0.0.0:9091", mistakes);
        if self.listen.is_some_and(|listen| !listen.ip().is_loopback()) {
            mistakes.push(wrong("proxy-listen", "can be reached from other Pods: a sidecar listens on 127.0.0.1"));
        }
        if self.listen.zip(self.admin).is_some_and(|(listen, admin)| listen.port() == admin.port()) {
            mistakes.push(wrong("proxy-admin", "has the port of proxy-listen: give each its own"));
        }
        self.containers = words(self.get("inject-containers"));
        self.sdks = words(self.get("inject-sdks"));
        self.sdks.remove("none");
        for sdk in self.sdks.iter().filter(|sdk| !SDKS.contains(&sdk.as_str())) {
            mistakes.push(wrong("inject-sdks", format!("{sdk:?} is not known: use {}, or none", SDKS.join(", "))));
        }
        for pair in self.values["proxy-env"].split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some((name, value)) if !name.is_empty() && !OURS.contains(&name) => {
                    self.env.push((name.to_owned(), value.to_owned()));
                }
                Some((name, _)) if OURS.contains(&name) => {
                    mistakes.push(wrong("proxy-env", format!("{name} has an annotation of its own: use that")));
                }
                _ => mistakes.push(wrong("proxy-env", format!("{pair:?} is not NAME=value: write it so"))),
            }
        }
        if let Some(arn) = self.get("proxy-aws-role-arn")
            && !(arn.starts_with("arn:") && arn.contains(":role/"))
        {
            mistakes.push(wrong(
                "proxy-aws-role-arn",
                format!("{arn:?} is not the ARN of a role: write one like arn:aws:iam::123456789012:role/name"),
            ));
        }
    }
}

fn wrong(name: &str, message: impl Into<String>) -> FieldError {
    FieldError::new(format!("metadata.annotations[{PREFIX}{name}]"), message)
}

fn address(text: Option<&str>, name: &str, example: &str, mistakes: &mut Vec<FieldError>) -> Option<SocketAddr> {
    match text?.parse::<SocketAddr>() {
        Ok(address) if address.port() > 0 => Some(address),
        _ => {
            let text = text.unwrap_or_default();
            mistakes.push(wrong(name, format!("{text:?} is not an address with a port: write one like {example}")));
            None
        }
    }
}

fn words(text: Option<&str>) -> BTreeSet<String> {
    text.unwrap_or_default().split(',').map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

fn names(pod: &Value) -> BTreeSet<&str> {
    let lists = [&pod["spec"]["containers"], &pod["spec"]["initContainers"]];
    lists.into_iter().filter_map(Value::as_array).flatten().filter_map(|container| container["name"].as_str()).collect()
}

/// Whether the API server would take it for a quantity of CPU or memory.
fn is_quantity(text: &str) -> bool {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let units = ["", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    units.contains(&&text[digits.len()..])
        && digits.parse::<f64>().is_ok_and(|number| number >= 0.0)
        && digits.chars().all(|c| c.is_ascii_digit() || c == '.')
}
