//! The proxy's own control channel, a thousand times in one process, each with a connection of its own: namespaces in, how many are served out.
//!
//! A thousand whole proxies do not fit beside an API server on one machine; what the operator sees of one is this.

use super::tables::AT_ONCE;
use futures_util::{StreamExt, stream};
use std::path::Path;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tollway_proxy::metrics::Metrics;
use tollway_proxy::operator::Addresses;
use tollway_proxy::source::channel::ControlChannel;
use tollway_proxy::source::{Health, Live, Secrets};
use tollway_proxy::{observe, source};
use tollway_tests::cluster::{AUDIENCE, Cluster};
use tollway_tests::process::Operator;
use tollway_tests::scratch;

/// Streams that connect again by themselves until they are dropped.
pub struct Streams {
    of: Vec<(watch::Sender<Health>, Live)>,
    _stop: watch::Sender<bool>,
    _tasks: JoinSet<()>,
}

impl Streams {
    /// One for each namespace, beginning to connect.
    pub async fn start(cluster: &Cluster, operator: &Operator, namespaces: &[String]) -> Streams {
        let folder = scratch::folder("streams");
        let write = |name: String| {
            let path = folder.join(&name);
            async move {
                cluster.service_account(&name, "default").await;
                let token = cluster.token(&name, "default", AUDIENCE, None).await;
                std::fs::create_dir_all(&path).expect("a folder");
                std::fs::write(path.join("token"), token).expect("a file for the token");
                path
            }
        };
        let homes = stream::iter(namespaces.iter().cloned()).map(write).buffer_unordered(AT_ONCE);
        let homes: Vec<_> = homes.collect().await;
        let (stop, stopped) = watch::channel(false);
        let (mut tasks, mut of) = (JoinSet::new(), Vec::new());
        for home in homes {
            of.push(follow(operator, &home, &mut tasks, stopped.clone()));
        }
        Streams { of, _stop: stop, _tasks: tasks }
    }

    /// How many stand and hold a table.
    pub fn served(&self) -> usize {
        self.of.iter().filter(|(health, live)| health.borrow().connected && live.load().is_some()).count()
    }
}

fn follow(
    operator: &Operator,
    home: &Path,
    tasks: &mut JoinSet<()>,
    stopped: watch::Receiver<bool>,
) -> (watch::Sender<Health>, source::Live) {
    let token = home.join("token");
    let addresses =
        Addresses::new(std::slice::from_ref(&operator.url), Some(operator.ca.clone()), token).expect("an address");
    let (leader, health, live) = (watch::Sender::new(None), watch::Sender::new(Health::default()), Live::default());
    let incarnation = home.display().to_string();
    let metrics = Metrics::new().expect("metrics");
    tasks.spawn(observe::run(metrics, incarnation.clone(), leader.subscribe(), stopped));
    let channel = ControlChannel {
        addresses,
        incarnation,
        state_dir: home.to_owned(),
        live: live.clone(),
        health: health.clone(),
        leader,
        secrets: Arc::new(Secrets::default()),
    };
    tasks.spawn(channel.run());
    (health, live)
}
