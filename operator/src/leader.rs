//! A Lease in the operator's namespace in; whether this replica leads out, as a value that changes.
//!
//! # Why the lease alone is not trusted with money
//! Two replicas can both believe that they lead for a moment. Every ledger write is a compare-and-swap on the object's
//! resourceVersion, so the worst that two leaders do is to make each other read again.
//!
//! # Why a standby looks at the lease itself
//! A leader that stops gives the lease back, but the manager of a standby sleeps until the lease that it read would have ended: for up
//! to six seconds of every upgrade nobody would grant. So a standby looks every second, and begins anew when nobody holds it.

use crate::error::brief;
use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, Client};
use kube_lease_manager::{LeaseManager, LeaseManagerBuilder, LeaseManagerError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Name of the Lease.
pub const LEASE: &str = "tollway-operator";
/// Seconds for which a silent leader keeps the lease.
const DURATION: u64 = 6;
/// Seconds before its end at which the leader renews.
const GRACE: u64 = 4;
/// Pause after a failed call to the API server.
const PAUSE: Duration = Duration::from_millis(500);
/// Pause between two looks of a standby at a lease that another replica holds.
const LOOK: Duration = Duration::from_secs(1);
/// Of failures in a row, each so-manieth is told.
const TOLD: u64 = 20;

/// Whether this replica leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The API server has not been reached yet.
    Unknown,
    /// Another replica leads.
    Standby,
    /// This one leads.
    Leader,
}

/// Takes part in the election until `stop` turns true, then gives the lease back.
pub async fn elect(
    client: Client,
    namespace: String,
    identity: String,
    role: watch::Sender<Role>,
    mut stop: watch::Receiver<bool>,
) {
    loop {
        let manager = tokio::select! {
            manager = campaign(&client, &namespace, &identity, &role) => manager,
            () = told(&mut stop) => return,
        };
        tokio::select! {
            () = hold(&manager, &role) => {
                tracing::warn!("the lease could not be renewed: no longer leading");
                role.send_replace(Role::Standby);
            }
            () = freed(&client, &namespace, &role) => {}
            () = told(&mut stop) => {
                role.send_replace(Role::Standby);
                release(&manager).await;
                return;
            }
        }
    }
}

/// A manager of the Lease, as soon as the API server lets it be read or made.
async fn campaign(client: &Client, namespace: &str, identity: &str, role: &watch::Sender<Role>) -> LeaseManager {
    let mut failures = 0_u64;
    loop {
        let built = LeaseManagerBuilder::new(client.clone(), LEASE)
            .with_namespace(namespace)
            .with_identity(identity)
            .with_duration(DURATION)
            .with_grace(GRACE)
            .with_field_manager(format!("tollway-operator-{identity}"))
            .build()
            .await;
        match built {
            Ok(manager) => {
                role.send_if_modified(|role| {
                    let first = *role == Role::Unknown;
                    if first {
                        *role = Role::Standby;
                    }
                    first
                });
                return manager;
            }
            Err(error) if failures.is_multiple_of(TOLD) => {
                let error = match &error {
                    LeaseManagerError::KubeError(error) => brief(error),
                    other => other.to_string(),
                };
                tracing::warn!(error, namespace, lease = LEASE, "lease not available; trying again");
            }
            Err(_) => {}
        }
        failures += 1;
        tokio::time::sleep(PAUSE).await;
    }
}

/// Publishes every change of the role; returns when a lease that was held could not be renewed for its whole life.
async fn hold(manager: &LeaseManager, role: &watch::Sender<Role>) {
    let mut failing_since: Option<Instant> = None;
    loop {
        match manager.changed().await {
            Ok(leads) => {
                failing_since = None;
                tracing::info!(leads, "lease");
                role.send_replace(if leads { Role::Leader } else { Role::Standby });
            }
            Err(error) => {
                tracing::warn!(%error, "lease not read or renewed");
                let since = failing_since.get_or_insert_with(Instant::now);
                if since.elapsed() >= Duration::from_secs(DURATION) {
                    return;
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Returns when nobody holds the lease and this replica stands by.
async fn freed(client: &Client, namespace: &str, role: &watch::Sender<Role>) {
    let leases: Api<Lease> = Api::namespaced(client.clone(), namespace);
    loop {
        tokio::time::sleep(LOOK).await;
        if *role.borrow() == Role::Leader {
            continue;
        }
        // What cannot be read now is read again, by the manager too.
        if let Ok(Some(lease)) = leases.get_opt(LEASE).await
            && lease.spec.and_then(|spec| spec.holder_identity).is_none()
            && *role.borrow() != Role::Leader
        {
            return;
        }
    }
}

async fn release(manager: &LeaseManager) {
    match tokio::time::timeout(Duration::from_secs(2), manager.release()).await {
        Ok(Ok(())) => tracing::info!("lease released"),
        Ok(Err(error)) => tracing::warn!(%error, "lease not released; another replica takes over when it ends"),
        Err(_) => tracing::warn!("lease not released in time; another replica takes over when it ends"),
    }
}

async fn told(stop: &mut watch::Receiver<bool>) {
    // An error means that the process is going down anyway. What is awaited is dropped here, so that callers may go on awaiting.
    let _ = stop.wait_for(|stop| *stop).await;
}
