//! References to objects of the same namespace.

use crate::scalar::{DataKey, ObjectName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A credential kept in a Secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretSource {
    /// The Secret and the key inside it. Missing: `ResolvedRefs=False/SecretNotFound`, and the target is skipped.
    pub secret_ref: SecretKeyRef,
}

/// One key of a Secret in the resource's namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretKeyRef {
    /// Name of the Secret.
    pub name: ObjectName,
    /// Key inside the Secret. Default `apiKey`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<DataKey>,
}

/// A Secret or ConfigMap in the resource's namespace, all of its keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ObjectRef {
    /// Name of the object.
    pub name: ObjectName,
}
