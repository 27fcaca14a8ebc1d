//! The operator's `Watch` stream in; the live table, its last good copy on disk and the connection that the other streams follow out.

mod accept;

use super::{Health, Live, Secrets, Serving, disk};
use crate::operator::{Addresses, Backoff, Operator, causes};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tollway_core::control::watch_down::Message as Down;
use tollway_core::control::watch_up::Message as Up;
use tollway_core::control::{Hello, TableUpdate, WatchDown, WatchUp};
use tollway_core::wire;
use tonic::Code;

/// Everything the stream needs and fills.
#[derive(Debug)]
pub struct ControlChannel {
    pub addresses: Addresses,
    pub incarnation: String,
    pub state_dir: PathBuf,
    pub live: Live,
    pub health: watch::Sender<Health>,
    /// The leader while its `Watch` stream stands.
    pub leader: watch::Sender<Option<Operator>>,
    /// What the last `SecretSet` held; it may come before the first table.
    pub secrets: Arc<Secrets>,
}

impl ControlChannel {
    /// Follows the leader for as long as the process lives.
    pub async fn run(mut self) {
        let mut backoff = Backoff::default();
        loop {
            if self.round().await {
                backoff.reset();
            }
            tokio::time::sleep(backoff.pause()).await;
        }
    }

    /// Tries every address once; whether one of them served a table.
    async fn round(&mut self) -> bool {
        let mut left = match self.addresses.candidates().await {
            Ok(candidates) => candidates,
            Err(error) => {
                self.unhealthy(error.to_string());
                return false;
            }
        };
        while !left.is_empty() {
            let mut served = false;
            let ended = match self.addresses.first(&mut left).await {
                Ok(operator) => self.session(operator, &mut served).await,
                Err(refusals) => refusals.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
            };
            self.leader.send_replace(None);
            self.unhealthy(ended);
            if served {
                return true;
            }
        }
        false
    }

    /// One stream to its end; why it ended.
    async fn session(&mut self, mut operator: Operator, served: &mut bool) -> String {
        let (up, messages) = mpsc::channel(16);
        let hello = WatchUp { message: Some(Up::Hello(self.hello())) };
        if up.send(hello).await.is_err() {
            return "the stream closed before it began".to_owned();
        }
        let at = operator.address;
        let ended = |status: tonic::Status| match status.code() {
            Code::Unavailable => format!("{at} does not serve just now: {}", causes(&status)),
            Code::Unauthenticated | Code::PermissionDenied => {
                format!("{at} refused this proxy's token: {}; check --token-file and its audience", status.message())
            }
            code => format!("{at} ended the stream ({code:?}): {}", status.message()),
        };
        let mut down = match operator.client.watch(ReceiverStream::new(messages)).await {
            Ok(response) => response.into_inner(),
            Err(status) => return ended(status),
        };
        loop {
            match down.message().await {
                Ok(Some(WatchDown { message: None })) => {}
                Ok(Some(WatchDown { message: Some(message) })) => {
                    if !*served {
                        *served = true;
                        tracing::info!(address = %at, "connected to the operator");
                        self.leader.send_replace(Some(operator.clone()));
                        self.health.send_replace(Health {
                            connected: true,
                            place: at.to_string(),
                            problems: Vec::new(),
                        });
                    }
                    if let Some(answer) = self.receive(message).await
                        && up.send(WatchUp { message: Some(answer) }).await.is_err()
                    {
                        return format!("{at} closed the stream");
                    }
                }
                Ok(None) => return format!("{at} ended the stream"),
                Err(status) => return ended(status),
            }
        }
    }

    async fn receive(&mut self, message: Down) -> Option<Up> {
        match message {
            Down::Table(update) => Some(self.update(update).await),
            Down::Secrets(set) => {
                self.secrets = Arc::new(accept::secrets(set));
                if let Some(held) = self.live.load_full().filter(|held| held.secrets != self.secrets) {
                    let secrets = Arc::clone(&self.secrets);
                    self.live.store(Some(Arc::new(Serving { secrets, ..Serving::clone(&held) })));
                }
                None
            }
        }
    }

    async fn update(&self, update: TableUpdate) -> Up {
        let held = self.live.load_full();
        let serving = match accept::take(held.as_deref(), &update) {
            Ok(serving) => Arc::new(Serving { secrets: Arc::clone(&self.secrets), ..serving }),
            Err(reason) => {
                tracing::warn!(revision = update.revision, %reason, "a table was refused; the one in force stays");
                return accept::refusal(update.revision, reason);
            }
        };
        self.live.store(Some(Arc::clone(&serving)));
        tracing::info!(revision = serving.revision, digest = %serving.digest, routes = serving.table.routes.len(), "table in force");
        for (route, reason) in &serving.unserved {
            tracing::warn!(%route, %reason, "this route is not served");
        }
        let answer = accept::answer(&serving);
        let TableUpdate { revision, digest, table, resync: _ } = update;
        if !table.is_empty() {
            let dir = self.state_dir.clone();
            let kept = tokio::task::spawn_blocking(move || disk::keep(&dir, revision, &digest, &table)).await;
            if let Err(error) = kept.map_err(|error| error.to_string()).and_then(|kept| kept.map_err(|e| e.to_string()))
            {
                tracing::warn!(%error, "the last good table could not be kept: a restart would need the operator");
            }
        }
        answer
    }

    fn hello(&self) -> Hello {
        let held = self.live.load();
        let (revision, digest) = held.as_ref().map_or((0, String::new()), |held| (held.revision, held.digest.clone()));
        Hello {
            incarnation: self.incarnation.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            revision,
            digest,
            features: wire::FEATURES.iter().map(|&feature| feature.to_owned()).collect(),
        }
    }

    fn unhealthy(&self, problem: String) {
        let first = self.health.borrow().problems.first() != Some(&problem);
        if first {
            tracing::warn!(%problem, "no connection to the operator; what is held goes on being served");
        }
        self.health.send_modify(|health| {
            health.connected = false;
            health.problems = vec![problem];
        });
    }
}
