//! Questions of the API server in; answers of `inject` and of the one validator out, over TLS with a certificate that is kept fresh.
//!
//! Every replica answers: nothing here needs the lease. `answer.rs` speaks the API server's language, `judge.rs` asks the validator,
//! `certificate.rs` says what is due, `keep.rs` and `configurations.rs` see to it.
//!
//! # Why callers are not authenticated
//! API servers present no certificate unless their administrator configures one. Whoever reaches this port learns nothing: each answer
//! is made of the question, of the published prices and of the operator's public authority. No Secret and no other resource is read.

mod answer;
mod certificate;
mod configurations;
mod judge;
mod keep;
mod listener;

use crate::inject;
use crate::metrics::Metrics;
use crate::prices::Prices;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::post;
use certificate::Material;
use k8s_openapi::api::admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration};
use kube::Client;
pub use listener::Current;
use listener::TlsListener;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tollway_core::snapshot::Facts;

/// An object and the one before it, each as large as etcd takes.
const BODY: usize = 8 << 20;
/// How often files of a certificate are looked at.
const LOOK: Duration = Duration::from_secs(30);

/// What answers are made of.
pub struct Desk {
    inject: inject::Setting,
    prices: Prices,
    facts: Mutex<Option<(u64, Arc<Facts>)>>,
    metrics: Arc<Metrics>,
}

impl Desk {
    /// Answers with these.
    pub fn new(inject: inject::Setting, prices: Prices, metrics: Arc<Metrics>) -> Desk {
        Desk { inject, prices, facts: Mutex::default(), metrics }
    }

    /// What a resource is judged by besides itself; made again only when the prices changed.
    async fn facts(&self) -> Arc<Facts> {
        let (catalog, version) = self.prices.catalog().await;
        let mut held = self.facts.lock().unwrap_or_else(PoisonError::into_inner);
        match &*held {
            Some((of, facts)) if *of == version => facts.clone(),
            _ => {
                let facts = Arc::new(Facts { catalog: (*catalog).clone(), ..Facts::default() });
                *held = Some((version, facts.clone()));
                facts
            }
        }
    }
}

/// Where the certificate comes from.
pub enum Source {
    /// Made and renewed by the operator, and trusted by the two configurations.
    Made(Box<Home>),
    /// Files that somebody else renews; who that is sees to the configurations too.
    Files {
        /// Certificate chain, PEM.
        cert: PathBuf,
        /// Its key, PEM.
        key: PathBuf,
    },
}

/// Where a certificate of the operator's own is kept, and who must trust it.
pub struct Home {
    /// The API server, for calls.
    pub client: Client,
    /// The API server, for watches.
    pub watches: Client,
    /// The operator's namespace.
    pub namespace: String,
    /// Names that the certificate must carry.
    pub names: BTreeSet<String>,
    /// Name of both webhook configurations.
    pub configuration: String,
}

/// Names of the webhook's Service, and what an administrator adds.
pub fn names(namespace: &str, extra: &[String]) -> BTreeSet<String> {
    let service = format!("tollway-webhook.{namespace}.svc");
    let long = format!("{service}.cluster.local");
    [service, long].into_iter().chain(extra.iter().cloned()).collect()
}

/// Serves until `stop` turns true; `current` has a certificate from when questions can be answered.
///
/// # Errors
/// The listener has no address.
pub async fn serve(
    listener: TcpListener,
    source: Source,
    desk: Desk,
    current: Arc<Current>,
    mut stop: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let mut tasks = JoinSet::new();
    match source {
        Source::Made(home) => {
            let Home { client, watches, namespace, names, configuration } = *home;
            let (out, material) = watch::channel(None);
            tasks.spawn(keep::keep(client.clone(), watches.clone(), namespace, names, out));
            tasks.spawn(take(current.clone(), material.clone()));
            let (a, b) = (client.clone(), watches.clone());
            tasks.spawn(configurations::follow::<MutatingWebhookConfiguration>(
                a,
                b,
                configuration.clone(),
                material.clone(),
            ));
            tasks.spawn(configurations::follow::<ValidatingWebhookConfiguration>(
                client,
                watches,
                configuration,
                material,
            ));
        }
        Source::Files { cert, key } => _ = tasks.spawn(follow_files(current.clone(), cert, key)),
    }
    let router = Router::new()
        .route("/inject", post(answer::inject))
        .route("/mark", post(answer::mark))
        .route("/validate", post(answer::validate))
        .route("/validate/early", post(answer::validate_early))
        .layer(DefaultBodyLimit::max(BODY))
        .with_state(Arc::new(desk));
    axum::serve(TlsListener::new(listener, current)?, router)
        .with_graceful_shutdown(async move {
            // An error means that the process is going down anyway.
            let _ = stop.wait_for(|stop| *stop).await;
        })
        .await
}

/// Uses every certificate that is made.
async fn take(current: Arc<Current>, mut material: watch::Receiver<Option<Arc<Material>>>) {
    while material.changed().await.is_ok() {
        let made = material.borrow_and_update().clone();
        if let Some(made) = made
            && let Err(error) = current.take(made.cert.as_bytes(), made.key.as_bytes())
        {
            tracing::error!(
                error,
                secret = certificate::SECRET,
                "certificate not used; delete the Secret to have it made again"
            );
        }
    }
}

/// Uses the files, and what they become.
async fn follow_files(current: Arc<Current>, cert: PathBuf, key: PathBuf) {
    let mut last = None;
    loop {
        let now = [std::fs::read(&cert), std::fs::read(&key)].map(Result::ok);
        if last.as_ref() != Some(&now) {
            match &now {
                [Some(cert), Some(key)] => match current.take(cert, key) {
                    Ok(()) => tracing::info!("webhook certificate taken from its files"),
                    // Halfway through a renewal the two do not fit; the next look finds them whole.
                    Err(error) => tracing::warn!(error, "--webhook-cert and --webhook-key are not used"),
                },
                _ => tracing::warn!(cert = %cert.display(), key = %key.display(), "webhook certificate not read"),
            }
            last = Some(now);
        }
        tokio::time::sleep(LOOK).await;
    }
}
