//! Settings in, a proxy that serves until it is told to stop: starts the source, the ledger, the admin port and the server, and drains them in reverse.

use crate::admin::{self, Admin};
use crate::embed::jobs;
use crate::ledger::Ledger;
use crate::ledger::remote;
use crate::ledger::standalone::Standalone;
use crate::metrics::Metrics;
use crate::operator::Addresses;
use crate::server::{Tls, TlsFiles, Workers};
use crate::source::channel::ControlChannel;
use crate::source::folder::Folder;
use crate::source::{Health, Live, Secrets, disk};
use crate::stack::{Options, Proxy};
use crate::status::Process;
use crate::store::{Address, Store};
use crate::trace::{self, Tracer};
use crate::upstream::Policy;
use crate::{observe, server};
use anyhow::{Context, anyhow};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

/// How long streams under way may take to finish after the signal to stop.
const DRAIN: Duration = Duration::from_secs(600);
/// How long the closes may take to be on record; a grant that is not closed by then is charged in full later.
const CLOSE: Duration = Duration::from_secs(5);
/// What a shell calls the end by a second SIGINT.
const INTERRUPTED: u8 = 130;

/// What the flags said.
#[derive(Debug)]
pub struct Settings {
    pub source: Source,
    pub state_dir: PathBuf,
    pub listen: SocketAddr,
    pub admin: SocketAddr,
    /// Given: this is a gateway, which serves routes with `auth` only.
    pub tls: Option<TlsFiles>,
    pub max_body: usize,
    /// Bytes of all answers kept.
    pub cache_size: u64,
    /// Threads that serve connections.
    pub threads: NonZeroUsize,
    /// What proxies share, and how long a reply may take.
    pub redis: Option<(Address, Duration)>,
}

/// Where the table comes from.
#[derive(Debug)]
pub enum Source {
    Operator { urls: Vec<String>, ca: Option<PathBuf>, token_file: PathBuf },
    Folder(PathBuf),
}

/// What every part shares.
struct Parts {
    incarnation: String,
    live: Live,
    metrics: Arc<Metrics>,
    ledger: Ledger,
    health: watch::Sender<Health>,
    state_dir: PathBuf,
    /// True: every grant goes back.
    stop: watch::Sender<bool>,
}

/// Runs to the end; an error is one that kept it from starting.
///
/// # Errors
/// A port in use, a state folder in use or not writable, a flag's file that cannot be read.
pub async fn run(settings: Settings) -> anyhow::Result<ExitCode> {
    let started = Instant::now();
    let Settings { source, state_dir, listen, admin, tls, max_body, cache_size, threads, redis } = settings;
    let mut signals = signals()?;
    // The first caller decides, and nobody else does.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let tls = tls.map(Tls::load).transpose()?;
    let tracing_to = trace::Settings::from_environment(|name| std::env::var(name).ok())?;
    // Ports first: a second proxy on this machine must not touch the first one's state.
    let listener = bind("--listen", listen).await?;
    let admin_listener = bind("--admin", admin).await?;

    let incarnation = format!("{:x}-{:016x}", jiff::Timestamp::now().as_millisecond(), fastrand::u64(..));
    let parts = Parts {
        live: Live::default(),
        metrics: Metrics::new().context("the metrics did not start")?,
        ledger: Ledger::new(&incarnation),
        health: watch::Sender::new(Health::default()),
        stop: watch::Sender::new(false),
        incarnation,
        state_dir,
    };
    let store = redis.map(|(address, timeout)| anyhow::Ok(Store::new(address, timeout, parts.metrics.store()?)));
    let store = store.transpose().context("the metrics of Redis did not start")?;
    if let Some(store) = &store {
        tokio::spawn(Arc::clone(store).follow(Arc::clone(&parts.live), parts.incarnation.clone()));
    }
    let kind = match &source {
        Source::Operator { .. } => "Operator",
        Source::Folder(_) => "Folder",
    };
    let policy = match &source {
        Source::Operator { .. } => Policy::Guarded,
        Source::Folder(_) => Policy::Loopback,
    };
    let books = match source {
        Source::Operator { urls, ca, token_file } => {
            let addresses = Addresses::new(&urls, ca, token_file)?;
            follow_operator(&parts, addresses)
        }
        Source::Folder(dir) => follow_folder(&parts, dir)?,
    };
    let page = Admin {
        process: Process { started, incarnation: parts.incarnation.clone(), source: kind },
        live: Arc::clone(&parts.live),
        metrics: Arc::clone(&parts.metrics),
        ledger: parts.ledger.clone(),
        health: parts.health.subscribe(),
        store: store.clone(),
    };
    tokio::spawn(admin::serve(admin_listener, Arc::new(page)));
    tracing::info!(listen = %listener.local_addr()?, %admin, ready = parts.live.load().is_some(), "serving");

    let options = Options { body_limit: max_body, policy, gateway: tls.is_some(), cache_size, ..Options::default() };
    if let Some(tls) = &tls {
        tokio::spawn(Arc::clone(tls).follow());
    }
    let tracer = tracing_to.map_or_else(Tracer::default, |settings| Tracer::start(settings, parts.metrics.spans()));
    let proxy = Proxy::new(parts.live, Arc::new(parts.ledger), parts.metrics, store, tracer.clone(), options);
    let workers = Workers::start(threads).context("the threads that serve did not start")?;
    let (told, stopping) = watch::channel(false);
    let until = async move {
        let mut stopping = stopping;
        _ = stopping.wait_for(|stop| *stop).await;
    };
    let jobs = tokio::spawn(jobs::follow(Arc::clone(&proxy), parts.incarnation.clone(), told.subscribe()));
    let serving = tokio::spawn(server::serve(listener, tls, proxy, workers, until, DRAIN));

    signals.recv().await;
    tracing::info!("stopping: no new connections, streams under way may finish; a second signal ends at once");
    told.send_replace(true);
    let drained = async {
        match serving.await {
            Ok(0) => {}
            Ok(cut) => tracing::warn!(cut, "connections were cut: they took longer than {} s", DRAIN.as_secs()),
            Err(error) => tracing::error!(%error, "the server ended in an error"),
        }
        // What jobs hold goes back first.
        drop(jobs.await);
        parts.stop.send_replace(true);
        if tokio::time::timeout(CLOSE, books).await.is_err() {
            tracing::warn!("not every grant is known to be closed; what is left of them is charged in full later");
        }
        tracer.flush().await;
    };
    tokio::select! {
        () = drained => Ok(ExitCode::SUCCESS),
        _ = signals.recv() => Ok(ExitCode::from(INTERRUPTED)),
    }
}

/// Serves the last good table at once, and follows the operator from then on.
fn follow_operator(parts: &Parts, addresses: Addresses) -> JoinHandle<()> {
    if let Err(error) = std::fs::create_dir_all(&parts.state_dir) {
        let dir = parts.state_dir.display();
        tracing::warn!(%error, "the state folder {dir} cannot be made: a restart would need the operator");
    }
    match disk::load(&parts.state_dir) {
        Ok(Some(serving)) => {
            tracing::info!(revision = serving.revision, digest = %serving.digest, "last good table in force");
            parts.live.store(Some(Arc::new(serving)));
        }
        Ok(None) => {}
        Err(error) => tracing::warn!(%error, "no last good table"),
    }
    let leader = watch::Sender::new(None);
    let (metrics, incarnation, live) = (Arc::clone(&parts.metrics), parts.incarnation.clone(), Arc::clone(&parts.live));
    let observing = observe::run(metrics, incarnation.clone(), leader.subscribe(), parts.stop.subscribe());
    let ledger =
        remote::run(parts.ledger.clone(), live, incarnation.clone(), leader.subscribe(), parts.stop.subscribe());
    let channel = ControlChannel {
        addresses,
        incarnation,
        state_dir: parts.state_dir.clone(),
        live: Arc::clone(&parts.live),
        health: parts.health.clone(),
        leader,
        secrets: Arc::new(Secrets::default()),
    };
    tokio::spawn(channel.run());
    tokio::spawn(async move {
        tokio::join!(ledger, observing);
    })
}

/// Opens the books, puts the folder in force, and follows it from then on.
fn follow_folder(parts: &Parts, dir: PathBuf) -> anyhow::Result<JoinHandle<()>> {
    let book = Standalone::open(parts.state_dir.join("ledger"), &parts.incarnation)?;
    let mut folder = Folder::new(dir, parts.state_dir.clone(), Arc::clone(&parts.live), parts.health.clone());
    let standalone =
        Standalone { ledger: parts.ledger.clone(), live: Arc::clone(&parts.live), terms: folder.terms(), book };
    folder.load();
    tokio::spawn(folder.run());
    Ok(tokio::spawn(standalone.run(parts.stop.subscribe())))
}

async fn bind(flag: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| match error.kind() {
        ErrorKind::AddrInUse => anyhow!(
            "{address} is in use by another program: stop it (`ss -ltnp 'sport = :{}'` names it), or choose another address with {flag}",
            address.port()
        ),
        ErrorKind::PermissionDenied => anyhow!("{address} may not be used by this user: choose a port above 1023 with {flag}"),
        _ => anyhow!("{address} cannot be listened on: {error}; choose another address with {flag}"),
    })
}

/// SIGTERM and SIGINT, from the very start.
fn signals() -> anyhow::Result<mpsc::Receiver<()>> {
    let (send, receive) = mpsc::channel(2);
    for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
        let mut arrived = signal(kind).context("signals cannot be received")?;
        let send = send.clone();
        tokio::spawn(async move { while arrived.recv().await.is_some() && send.send(()).await.is_ok() {} });
    }
    Ok(receive)
}
