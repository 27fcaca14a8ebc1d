//! The four kinds in, their CustomResourceDefinitions out, made fit for an API server.
//!
//! # Why the generated schema is edited
//! `Option` becomes `nullable: true`, which would let `null` pass where the validator expects a value or nothing, and Rust's integer
//! formats (`uint32`) make the API server warn. Both go; ranges stay.

use crate::{BudgetLedger, CostBudget, EmbeddingEndpoint, ModelRoute};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::CustomResourceExt;
use schemars::{Schema, SchemaGenerator, json_schema};

/// Every CRD of the product, ready to be applied: ModelRoute, EmbeddingEndpoint, CostBudget, BudgetLedger.
#[must_use]
pub fn all() -> Vec<CustomResourceDefinition> {
    [ModelRoute::crd(), EmbeddingEndpoint::crd(), CostBudget::crd(), BudgetLedger::crd()].map(fit).to_vec()
}

fn fit(mut crd: CustomResourceDefinition) -> CustomResourceDefinition {
    for version in &mut crd.spec.versions {
        if let Some(schema) = version.schema.as_mut().and_then(|s| s.open_api_v3_schema.as_mut()) {
            tidy(schema);
        }
    }
    crd
}

fn tidy(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    schema.default = None;
    if schema.format.as_deref().is_some_and(|f| f.starts_with("uint") || f == "double") {
        schema.format = None;
    }
    schema.properties.iter_mut().flat_map(|p| p.values_mut()).for_each(tidy);
    match &mut schema.items {
        Some(JSONSchemaPropsOrArray::Schema(items)) => tidy(items),
        Some(JSONSchemaPropsOrArray::Schemas(each)) => each.iter_mut().for_each(tidy),
        None => {}
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &mut schema.additional_properties {
        tidy(values);
    }
}

/// An object kept as it is, whatever it holds.
pub(crate) fn preserved(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true })
}

#[cfg(test)]
mod tests;
