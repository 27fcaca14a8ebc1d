//! Settings in; a process that serves until it is told to stop out. All wiring is here.

use crate::auth::Auth;
use crate::cli::{Run, Webhook};
use crate::events::Notes;
use crate::grpc::{self, Control};
use crate::leader::{self, Role};
use crate::metrics::Metrics;
use crate::prices::Prices;
use crate::term::{Setting, Term};
use crate::{admin, admission, error::Error, home, inject, tls};
use anyhow::Context;
use kube::Client;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tonic::transport::Identity;

/// The operator's namespace when nothing else says one.
const NAMESPACE: &str = "tollway-system";
/// How long streams may take to end when the process stops.
const DRAIN: Duration = Duration::from_secs(5);
/// A call to the API server that is silent for so long has failed; a watch may be silent for minutes.
const PATIENCE: Duration = Duration::from_secs(4);
/// Pause after something that the API server must allow first.
const PAUSE: Duration = Duration::from_secs(1);

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// The cluster is not known, an address cannot be listened on, or the certificate files cannot be read.
pub async fn run(settings: Run) -> anyhow::Result<()> {
    // An error means that a provider is installed already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let mut config =
        kube::Config::infer().await.context("no cluster: set KUBECONFIG, or run in a Pod with a service account")?;
    let namespace = match &settings.namespace {
        Some(namespace) => namespace.clone(),
        None if config.default_namespace == "default" => NAMESPACE.to_owned(),
        None => config.default_namespace.clone(),
    };
    let unusable = "the cluster's configuration cannot be used";
    let watches = Client::try_from(config.clone()).context(unusable)?;
    config.connect_timeout = Some(PATIENCE);
    config.read_timeout = Some(PATIENCE);
    config.write_timeout = Some(PATIENCE);
    let client = Client::try_from(config).context(unusable)?;
    let grpc = TcpListener::bind(settings.listen).await.with_context(|| format!("--listen {}", settings.listen))?;
    let admin = TcpListener::bind(settings.admin).await.with_context(|| format!("--admin {}", settings.admin))?;

    let webhook = match settings.webhook.webhook {
        Some(address) => Some(TcpListener::bind(address).await.with_context(|| format!("--webhook {address}"))?),
        None => None,
    };
    let current = webhook.as_ref().map(|_| Arc::new(admission::Current::default()));
    let injection = injection(&settings, &namespace)?;

    let metrics = Arc::new(Metrics::new()?);
    let (stop, stopping) = watch::channel(false);
    let (role, roles) = watch::channel(Role::Unknown);
    let (terms, term) = watch::channel(None);
    let instance = settings.replica.clone().unwrap_or_else(unique_name);
    let (notes, publish_notes) = Notes::new(client.clone(), instance.clone());
    tracing::info!(version = env!("CARGO_PKG_VERSION"), namespace, %instance, listen = %grpc.local_addr()?, admin = %admin.local_addr()?, "starting");
    home::settle(&client, &namespace).await;

    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(stop_at_signal(stop)?);
    tokio::spawn(publish_notes);
    let admin = {
        let reader = admin::Reader::new(client.clone(), settings.watch_namespace.clone(), notes.clone());
        let (metrics, roles, current) = (metrics.clone(), roles.clone(), current.clone());
        tokio::spawn(admin::serve(admin, metrics, roles, current, Arc::new(reader), stopping.clone()))
    };
    let election = tokio::spawn(leader::elect(client.clone(), namespace.clone(), instance, role, stopping.clone()));
    let setting = Setting {
        client: client.clone(),
        watches: watches.clone(),
        namespace: namespace.clone(),
        watch_namespace: settings.watch_namespace.clone(),
        catalog: settings.catalog_configmap.clone(),
        cloudwatch: settings.cloudwatch_namespace.clone(),
        metrics: metrics.clone(),
        notes,
    };
    let reign = tokio::spawn(reign(setting, roles, terms, stopping.clone()));

    let mut stopped = stopping.clone();
    let (identity, ca) = tokio::select! {
        identity = certificate(&settings, &client, &namespace) => identity?,
        _ = stopped.wait_for(|stop| *stop) => return Ok(()),
    };
    let injection = inject::Setting { ca: injection.ca.clone().or(ca), ..injection };
    if let Some(ca) = injection.ca.clone() {
        tasks.spawn(tls::keep_published(client.clone(), settings.publish_ca_to.clone(), ca));
    }
    let admission = webhook.zip(current).map(|(listener, current)| {
        let prices = Prices::new(watches.clone(), &namespace, settings.catalog_configmap.as_deref());
        let desk = admission::Desk::new(injection, prices, metrics.clone());
        let source = webhook_certificate(&settings, &client, &watches, &namespace);
        tokio::spawn(admission::serve(listener, source, desk, current, stopping.clone()))
    });
    let control = Control::new(Arc::new(Auth::new(client, settings.token_audience.clone())), term, metrics);
    let server = grpc::serve(grpc, identity, control, stopping);
    tokio::select! {
        served = server => served.context("gRPC server")?,
        () = async {
            let _ = stopped.wait_for(|stop| *stop).await;
            tokio::time::sleep(DRAIN).await;
        } => tracing::warn!("streams did not end in time"),
    }
    reign.await?;
    election.await?;
    admin.await??;
    if let Some(admission) = admission {
        match tokio::time::timeout(DRAIN, admission).await {
            Ok(ended) => ended?.context("webhook")?,
            Err(_) => tracing::warn!("questions of the API server did not end in time"),
        }
    }
    tracing::info!("stopped");
    Ok(())
}

/// A name that no other process has ever had.
fn unique_name() -> String {
    let host = std::env::var("HOSTNAME").ok().filter(|name| !name.is_empty()).unwrap_or_else(|| "operator".to_owned());
    let since = jiff::Timestamp::now().as_nanosecond().unsigned_abs();
    format!("{host}-{:x}-{:x}", std::process::id(), since & 0xffff_ffff)
}

fn stop_at_signal(stop: watch::Sender<bool>) -> anyhow::Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
        stop.send_replace(true);
    })
}

/// What injected proxies are told, but for the authority that the operator may make itself.
fn injection(settings: &Run, namespace: &str) -> anyhow::Result<inject::Setting> {
    let Webhook { proxy_operator, proxy_operator_ca, inject_default, .. } = &settings.webhook;
    let ca = proxy_operator_ca
        .as_ref()
        .map(|path| std::fs::read_to_string(path).with_context(|| format!("--proxy-operator-ca {}", path.display())));
    let defaults = inject_default.iter().cloned().collect();
    inject::Ask::defaults(&defaults).map_err(|mistakes| {
        let lines: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
        anyhow::anyhow!("--inject-default: {}", lines.join("; "))
    })?;
    let operators = match proxy_operator.as_slice() {
        [] => vec![format!("https://tollway-operator.{namespace}.svc:8443")],
        some => some.to_vec(),
    };
    Ok(inject::Setting { operators, ca: ca.transpose()?, defaults })
}

fn webhook_certificate(settings: &Run, client: &Client, watches: &Client, namespace: &str) -> admission::Source {
    let Webhook { webhook_cert, webhook_key, webhook_configuration, .. } = &settings.webhook;
    match (webhook_cert, webhook_key) {
        (Some(cert), Some(key)) => admission::Source::Files { cert: cert.clone(), key: key.clone() },
        _ => admission::Source::Made(Box::new(admission::Home {
            client: client.clone(),
            watches: watches.clone(),
            namespace: namespace.to_owned(),
            names: admission::names(namespace, &settings.tls_san),
            configuration: webhook_configuration.clone(),
        })),
    }
}

/// The identity that proxies are served with, and its authority when the operator made it.
async fn certificate(settings: &Run, client: &Client, namespace: &str) -> Result<(Identity, Option<String>), Error> {
    if let (Some(cert), Some(key)) = (&settings.tls_cert, &settings.tls_key) {
        return Ok((tls::from_files(cert, key)?, None));
    }
    let names = tls::names(namespace, &settings.tls_san);
    loop {
        match tls::from_secret(client, namespace, &names, jiff::Timestamp::now()).await {
            Err(error @ Error::Api { .. }) => {
                tracing::warn!(%error, "no certificate yet; trying again");
                tokio::time::sleep(PAUSE).await;
            }
            other => return other.map(|(identity, ca)| (identity, Some(ca))),
        }
    }
}

/// Begins a term each time this replica comes to lead, and ends it when it does not any more.
async fn reign(
    setting: Setting,
    mut role: watch::Receiver<Role>,
    terms: watch::Sender<Option<Arc<Term>>>,
    mut stop: watch::Receiver<bool>,
) {
    loop {
        tokio::select! {
            led = role.wait_for(|role| *role == Role::Leader) => if led.is_err() { return },
            _ = stop.wait_for(|stop| *stop) => return,
        }
        let mut ends = role.clone();
        tokio::select! {
            () = lead(&setting, &terms) => {}
            _ = ends.wait_for(|role| *role != Role::Leader) => tracing::warn!("term ends: the lease is lost"),
            _ = stop.wait_for(|stop| *stop) => {}
        }
        terms.send_replace(None);
        setting.metrics.leader.set(0);
    }
}

async fn lead(setting: &Setting, terms: &watch::Sender<Option<Arc<Term>>>) {
    let term = loop {
        match Term::begin(setting.clone()).await {
            Ok(term) => break term,
            Err(error) => tracing::warn!(%error, "term not begun; trying again"),
        }
        tokio::time::sleep(PAUSE).await;
    };
    setting.metrics.leader.set(1);
    tracing::info!(revision = term.floor, "term begins");
    terms.send_replace(Some(term.clone()));
    term.work().await;
}
