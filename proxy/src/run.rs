//! Settings in, a proxy that serves until it is told to stop: starts the source, the ledger, the admin port and the server, and drains them in that order's reverse.

use crate::admin::{self, Admin};
use crate::ledger::Ledger;
use crate::metrics::Metrics;
use crate::operator::Addresses;
use crate::source::channel::ControlChannel;
use crate::source::folder::Folder;
use crate::source::{Health, Live, Serving, disk};
use crate::status::Process;
use crate::{observe, server, stack};
use anyhow::{Context, bail};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// How long streams under way may take to finish after the signal to stop.
const DRAIN: Duration = Duration::from_secs(600);
/// How long the ledger may take to put the closes on record; what is not on record by then is burned later.
const CLOSE: Duration = Duration::from_secs(5);

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
}

/// Where the table comes from.
#[derive(Debug)]
pub enum Source {
    Operator { urls: Vec<String>, ca: Option<PathBuf>, token_file: PathBuf },
    Folder(PathBuf),
}

/// PEM files of a gateway.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    pub cert: PathBuf,
    pub key: PathBuf,
}

struct Parts {
    incarnation: String,
    live: Live,
    metrics: Arc<Metrics>,
    health: watch::Sender<Health>,
}
