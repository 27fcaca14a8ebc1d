//! The operator: resources of a cluster in; tables, grants and status out.
//!
//! Read `reconcile.rs` for the steps, `ledger.rs` for money, `aws.rs` for AWS, `grpc.rs` for what proxies see, `admission.rs` for what the API server asks, `inject.rs` for the sidecar, `term.rs` for what only a leader has.
//!
//! # Rights it needs
//! | where | resources | verbs |
//! | --- | --- | --- |
//! | served namespaces | modelroutes, embeddingendpoints, costbudgets (tollway.dev) | get, list, watch |
//! | served namespaces | their `/status` | patch |
//! | served namespaces | costbudgets | patch (the finalizer of those that have a mirror in AWS) |
//! | served namespaces | configmaps, secrets | list, watch (by name: a Role may name those that resources refer to) |
//! | served namespaces | pods | list, watch (metadata only) |
//! | served namespaces | events (events.k8s.io) | create, patch |
//! | own namespace | budgetledgers (tollway.dev) | get, list, watch, create, update |
//! | own namespace | leases (coordination.k8s.io) | get, create, patch |
//! | own namespace | secrets | create; get, list, watch, update (`tollway-operator-tls`, `tollway-webhook-tls`) |
//! | own namespace | configmaps | patch (`tollway-ca`), list, watch (the one of `--catalog-configmap`) |
//! | cluster | tokenreviews (authentication.k8s.io) | create |
//! | cluster | mutatingwebhookconfigurations, validatingwebhookconfigurations (admissionregistration.k8s.io) named `tollway` | list, watch, patch (with `--webhook` and no `--webhook-cert`) |
//! | cluster | namespaces | create (optional: its own, when it is missing) |
#![warn(missing_docs)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

pub mod admin;
pub mod admission;
pub mod auth;
pub mod aws;
pub mod cli;
pub mod dirty;
pub mod error;
pub mod events;
pub mod grpc;
mod home;
pub mod index;
pub mod inject;
pub mod leader;
pub mod ledger;
pub mod metrics;
pub mod observe;
pub mod prices;
pub mod publish;
pub mod reconcile;
mod run;
pub mod term;
pub mod tls;
pub mod watch;

pub use run::run;

/// Field manager of everything that the operator applies.
pub const FIELD_MANAGER: &str = "tollway-operator";

/// Every CustomResourceDefinition, as one YAML stream.
///
/// # Errors
/// One of them cannot be written as YAML.
pub fn crds_yaml() -> Result<String, serde_yaml::Error> {
    let documents = tollway_crds::all().iter().map(serde_yaml::to_string).collect::<Result<Vec<_>, _>>()?;
    Ok(documents.iter().map(|document| format!("---\n{document}")).collect())
}
