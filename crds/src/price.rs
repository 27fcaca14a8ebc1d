//! What a target charges, as manifests write it.

use crate::scalar::Amount;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// A price in US dollars. Where the operator's prices or the catalog have one, these fields may raise it and never lower it: the
/// higher amount is taken, field by field.
/// A field left out keeps the catalog's value, or 0 when the catalog knows nothing of the model.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.inputPerMillion) || has(self.outputPerMillion) || has(self.perRequest) || has(self.cacheReadPerMillion) || has(self.cacheWritePerMillion) || has(self.cacheWrite1hPerMillion)").message("a price needs at least one amount; a free target says inputPerMillion: \"0\"")
)]
pub struct PriceSpec {
    /// Dollars per million input tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_per_million: Option<Amount>,
    /// Dollars per million output tokens, reasoning included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_per_million: Option<Amount>,
    /// Dollars per million input tokens read from the provider's prompt cache. Default: `inputPerMillion`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_read_per_million: Option<Amount>,
    /// Dollars per million input tokens written to the provider's prompt cache for 5 minutes. Default: `inputPerMillion`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write_per_million: Option<Amount>,
    /// Dollars per million input tokens written to the provider's prompt cache for 1 hour. Default: `cacheWritePerMillion`.
    #[serde(default, rename = "cacheWrite1hPerMillion", skip_serializing_if = "Option::is_none")]
    pub cache_write_1h_per_million: Option<Amount>,
    /// Dollars for each request that reaches the provider. Default 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_request: Option<Amount>,
}
