//! Manifests in (text of a file, or an object of a cluster), typed specs out, with every mistake of form named.
//!
//! # Why the form is judged here and not while deserializing
//! A deserializer stops at its first mistake. The CRD's own schema, walked over the value, names all of them, with the same bounds that
//! an API server applies, so that a folder and a cluster accept the same manifests. What is wrong is then replaced by something
//! harmless and the rest is still read, so that the validator can find further mistakes in the same pass.

mod lines;
mod schema;
mod text;

pub use lines::Lines;
pub use text::{Document, Located, documents};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;
use tollway_crds::{CostBudgetSpec, EmbeddingEndpointSpec, ModelRouteSpec};

/// Kinds a person writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// Routes model names to targets.
    ModelRoute,
    /// Serves embeddings of one model.
    EmbeddingEndpoint,
    /// Caps what requests cost.
    CostBudget,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::ModelRoute, Self::EmbeddingEndpoint, Self::CostBudget];

    /// The kind as manifests write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ModelRoute => "ModelRoute",
            Self::EmbeddingEndpoint => "EmbeddingEndpoint",
            Self::CostBudget => "CostBudget",
        }
    }

    /// The kind of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A resource's identity inside a namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id {
    /// What it is.
    pub kind: Kind,
    /// What it is called.
    pub name: String,
}

impl Id {
    /// The resource of that kind and name.
    #[must_use]
    pub fn new(kind: Kind, name: impl Into<String>) -> Self {
        Self { kind, name: name.into() }
    }
}

/// `ModelRoute/assistant`
impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)
    }
}

/// What is wrong with one field and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error, Serialize, Deserialize)]
#[error("{}{message}", if field.is_empty() { String::new() } else { format!("{field}: ") })]
pub struct FieldError {
    /// Path of the field, like `spec.targets[1].price`; empty: the whole object.
    pub field: String,
    /// What is wrong: what to do.
    pub message: String,
}

impl FieldError {
    /// A mistake in `field`.
    #[must_use]
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into() }
    }
}

/// A typed spec.
#[derive(Clone, Debug, PartialEq)]
pub enum Spec {
    /// Of a ModelRoute.
    ModelRoute(Box<ModelRouteSpec>),
    /// Of an EmbeddingEndpoint.
    EmbeddingEndpoint(Box<EmbeddingEndpointSpec>),
    /// Of a CostBudget.
    CostBudget(Box<CostBudgetSpec>),
}

impl Spec {
    /// The kind it is a spec of.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::ModelRoute(_) => Kind::ModelRoute,
            Self::EmbeddingEndpoint(_) => Kind::EmbeddingEndpoint,
            Self::CostBudget(_) => Kind::CostBudget,
        }
    }

    /// The spec as JSON, as `status.lastAccepted` keeps it.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let value = match self {
            Self::ModelRoute(spec) => serde_json::to_value(spec),
            Self::EmbeddingEndpoint(spec) => serde_json::to_value(spec),
            Self::CostBudget(spec) => serde_json::to_value(spec),
        };
        // A spec has text keys and finite numbers only, so this cannot fail.
        value.unwrap_or_default()
    }
}

/// A spec as far as it could be read, and every mistake of form.
#[derive(Clone, Debug, PartialEq)]
pub struct Parsed {
    /// The spec; where something was wrong, with something harmless in its place. Absent: nothing could be read.
    pub spec: Option<Spec>,
    /// Mistakes of form. Empty: the spec is what was written.
    pub errors: Vec<FieldError>,
}

/// Reads the `spec` of an object against the schema of its kind.
#[must_use]
pub fn spec(kind: Kind, value: &Value) -> Parsed {
    let mut repaired = value.clone();
    let mut errors = schema::check(kind, &mut repaired);
    let read = match kind {
        Kind::ModelRoute => serde_json::from_value(repaired).map(|s| Spec::ModelRoute(Box::new(s))),
        Kind::EmbeddingEndpoint => serde_json::from_value(repaired).map(|s| Spec::EmbeddingEndpoint(Box::new(s))),
        Kind::CostBudget => serde_json::from_value(repaired).map(|s| Spec::CostBudget(Box::new(s))),
    };
    match read {
        Ok(spec) => Parsed { spec: Some(spec), errors },
        Err(error) => {
            if errors.is_empty() {
                errors.push(FieldError::new("spec", format!("cannot be read: {error}")));
            }
            Parsed { spec: None, errors }
        }
    }
}

#[cfg(test)]
mod tests;
