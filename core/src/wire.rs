//! A table in, canonical bytes and their digest out; and back, route by route, so that one route a proxy cannot serve costs only itself.
//!
//! # Why the digest is over the bytes
//! Maps are sorted and every field has one place, so equal tables have equal bytes, and a digest needs no second form of the table.

use crate::table::{Budget, Embedding, Route, Table};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};

/// Version of the outer form. A proxy refuses a newer one whole; what is new inside a route is told by `requires`.
pub const VERSION: u32 = 1;

/// Features this version has; a route that requires another is not served by it.
pub const FEATURES: &[&str] =
    &[RATE_LIMITS, GLOBAL_LIMITS, SYSTEM, JWT, FULL_PRICES, SHARES, THRESHOLDS, EMBEDDINGS, INFERENCE_COMPONENTS];

/// Limits on rates: a proxy that does not know them would let everything through.
pub const RATE_LIMITS: &str = "rateLimits";

/// Limits over all proxies: one that does not know them would count by itself.
pub const GLOBAL_LIMITS: &str = "globalLimits";
/// Shares of users and clients inside a budget: a proxy that does not know them would let one spend everything.
pub const SHARES: &str = "shares";

/// What is done at a budget's thresholds.
pub const THRESHOLDS: &str = "thresholds";

/// Callers with signed tokens.
pub const JWT: &str = "jwt";

/// Embedding endpoints as they are now.
pub const EMBEDDINGS: &str = "embeddings";

/// Those of which an inference component is called.
pub const INFERENCE_COMPONENTS: &str = "inferenceComponents";

/// Prompt bundles: without its bundle a route would answer something else.
pub const SYSTEM: &str = "system";

/// Prices of images and of long inputs: a proxy that does not know them would charge too little.
pub const FULL_PRICES: &str = "fullPrices";

/// A table as bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// Canonical bytes.
    pub bytes: Vec<u8>,
    /// SHA-256 of the bytes, in hexadecimal.
    pub digest: String,
}

/// A table as far as this proxy can serve it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decoded {
    /// What can be served.
    pub table: Table,
    /// Routes, and places of embedding endpoints, that cannot, with the reason; their model names stay in the table, so that clients get 503 and not 404.
    pub unserved: BTreeMap<String, String>,
}

/// Why bytes are no table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The bytes are not those that were digested.
    #[error("the table's digest is {found}, not {expected}: it was damaged on the way; ask for it again")]
    Digest {
        /// What was announced.
        expected: String,
        /// What the bytes give.
        found: String,
    },
    /// The outer form is newer than this version knows.
    #[error("the table has form {0}, and this version reads {VERSION}: upgrade it")]
    Version(u32),
    /// Not a table at all.
    #[error("the table cannot be read: {0}")]
    Form(String),
}

#[derive(Serialize)]
struct Outer<'a> {
    version: u32,
    #[serde(flatten)]
    table: &'a Table,
}

#[derive(Deserialize)]
struct Loose {
    namespace: String,
    models: BTreeMap<String, String>,
    routes: BTreeMap<String, Value>,
    #[serde(default)]
    embeddings: BTreeMap<String, Value>,
    budgets: BTreeMap<String, Value>,
}

/// Canonical bytes of a table.
#[must_use]
pub fn encode(table: &Table) -> Encoded {
    // A table has text keys and finite numbers only, so this cannot fail.
    let bytes = serde_json::to_vec(&Outer { version: VERSION, table }).unwrap_or_default();
    let digest = digest(&bytes);
    Encoded { bytes, digest }
}

/// SHA-256 in hexadecimal.
#[must_use]
pub fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// Reads a table; `features` are those the reader has.
///
/// # Errors
/// Nothing of it can be served: the digest differs, the form is newer, or it is no table.
pub fn decode(bytes: &[u8], expected: &str, features: &[&str]) -> Result<Decoded, WireError> {
    let found = digest(bytes);
    if found != expected {
        return Err(WireError::Digest { expected: expected.to_owned(), found });
    }
    let loose: Value = serde_json::from_slice(bytes).map_err(|e| WireError::Form(e.to_string()))?;
    if let Some(version) = loose["version"].as_u64().filter(|v| *v > u64::from(VERSION)) {
        return Err(WireError::Version(u32::try_from(version).unwrap_or(u32::MAX)));
    }
    let Loose { namespace, models, routes, embeddings, budgets } =
        serde_json::from_value(loose).map_err(|e| WireError::Form(e.to_string()))?;
    let mut decoded = Decoded { table: Table { namespace, models, ..Table::default() }, ..Decoded::default() };
    for (name, budget) in budgets {
        // A budget that cannot be read takes its routes with it below.
        if let Ok(budget) = serde_json::from_value::<Budget>(budget) {
            decoded.table.budgets.insert(name, budget);
        }
    }
    for (name, route) in routes {
        match read(route, features, &decoded.table.budgets, |route: &Route| &route.budgets) {
            Ok(route) => _ = decoded.table.routes.insert(name, route),
            Err(reason) => _ = decoded.unserved.insert(name, reason),
        }
    }
    for (name, endpoint) in embeddings {
        match read(endpoint, features, &decoded.table.budgets, |endpoint: &Embedding| &endpoint.budgets) {
            Ok(endpoint) => _ = decoded.table.embeddings.insert(name, endpoint),
            Err(reason) => _ = decoded.unserved.insert(Embedding::place(&name), reason),
        }
    }
    Ok(decoded)
}

fn read<T: DeserializeOwned>(
    value: Value,
    features: &[&str],
    budgets: &BTreeMap<String, Budget>,
    bound_by: impl Fn(&T) -> &Vec<String>,
) -> Result<T, String> {
    let required = value["requires"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let lacking: BTreeSet<&str> = required.filter(|feature| !features.contains(feature)).collect();
    if !lacking.is_empty() {
        let lacking = lacking.into_iter().collect::<Vec<_>>().join(", ");
        return Err(format!("needs {lacking}, which this version of the proxy lacks: upgrade it"));
    }
    let read: T =
        serde_json::from_value(value).map_err(|e| format!("cannot be read by this version of the proxy: {e}"))?;
    match bound_by(&read).iter().find(|budget| !budgets.contains_key(*budget)) {
        Some(budget) => {
            Err(format!("is bound by budget {budget}, which this version of the proxy cannot read: upgrade it"))
        }
        None => Ok(read),
    }
}

#[cfg(test)]
mod tests;
