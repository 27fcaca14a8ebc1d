//! One proxy's Watch stream: its hello and answers in; Secrets and tables of its namespace out, the newest only.

use super::{Tenure, first, not_leading};
use crate::auth::Caller;
use crate::metrics::Metrics;
use crate::publish::{Published, Secrets, Space};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::mpsc::Sender;
use tollway_core::control::{
    Hello, Nack, SecretData, SecretSet, TableUpdate, WatchDown, WatchUp, watch_down, watch_up,
};
use tonic::{Status, Streaming};

type Down = Sender<Result<WatchDown, Status>>;

/// Runs the stream to its end, and says why it ended if the proxy is still there to hear it.
pub(super) async fn run(
    caller: Caller,
    mut tenure: Tenure,
    mut up: Streaming<WatchUp>,
    down: Down,
    metrics: Arc<Metrics>,
) {
    let hello = match first(&mut up).await {
        Ok(WatchUp { message: Some(watch_up::Message::Hello(hello)) }) => hello,
        Ok(_) => return end(&down, Status::invalid_argument("the first message must be a hello")).await,
        Err(status) => return end(&down, status).await,
    };
    let space = tenure.term.hub.space(&caller.namespace);
    let name = caller.proxy_name(&hello.incarnation);
    let identity = match &caller.pod {
        Some(pod) => pod.uid.clone(),
        None => format!("{}/{}", caller.account_uid, hello.incarnation),
    };
    tracing::info!(
        namespace = caller.namespace,
        proxy = name,
        version = hello.version,
        revision = hello.revision,
        "proxy connected"
    );
    let place = Place::take(&space, &tenure, &caller.namespace, name, identity, metrics);
    let ended = tenure.clone();
    tokio::select! {
        () = tenure.ended() => end(&down, not_leading()).await,
        outcome = serve(&place, &ended, hello, up, &down) => if let Err(status) = outcome {
            end(&down, status).await;
        },
    }
    tracing::info!(namespace = caller.namespace, proxy = place.name, "proxy disconnected");
}

async fn end(down: &Down, status: Status) {
    // An error means that the proxy is gone.
    let _ = down.send(Err(status)).await;
}

/// A proxy's place in its namespace's fleet; given up when dropped.
struct Place {
    space: Arc<Space>,
    tenure: Tenure,
    namespace: String,
    name: String,
    id: u64,
    metrics: Arc<Metrics>,
}

impl Place {
    fn take(
        space: &Arc<Space>,
        tenure: &Tenure,
        namespace: &str,
        name: String,
        identity: String,
        metrics: Arc<Metrics>,
    ) -> Place {
        let id = space.fleet().join(name.clone(), identity);
        metrics.proxies.inc();
        let place =
            Place { space: space.clone(), tenure: tenure.clone(), namespace: namespace.to_owned(), name, id, metrics };
        place.moved();
        place
    }

    fn moved(&self) {
        self.tenure.term.hub.moved.mark(self.namespace.clone());
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.space.fleet().leave(self.id);
        self.metrics.proxies.dec();
        self.moved();
    }
}

async fn serve(
    place: &Place,
    tenure: &Tenure,
    hello: Hello,
    mut up: Streaming<WatchUp>,
    down: &Down,
) -> Result<(), Status> {
    let mut table = place.space.table();
    let mut secrets = place.space.secrets();
    table.mark_changed();
    secrets.mark_changed();
    let mut first_table = true;
    loop {
        tokio::select! {
            // Secrets first: a table that needs a new one must find it.
            biased;
            changed = secrets.changed() => {
                changed.map_err(|_| not_leading())?;
                let set = secrets.borrow_and_update().as_deref().map(secret_set);
                if let Some(set) = set {
                    send(down, watch_down::Message::Secrets(set)).await?;
                }
            }
            changed = table.changed() => {
                changed.map_err(|_| not_leading())?;
                let newest = table.borrow_and_update().clone();
                if let Some(newest) = newest {
                    let resync = first_table && went_back(&hello, &newest, tenure).await;
                    let update = update(&newest, first_table.then_some(&hello), resync);
                    first_table = false;
                    let body = if update.table.is_empty() { "held" } else { "sent" };
                    place.metrics.table_messages.with_label_values(&[body]).inc();
                    send(down, watch_down::Message::Table(update)).await?;
                }
            }
            message = up.message() => match message? {
                None => return Ok(()),
                Some(WatchUp { message: Some(message) }) => answer(place, message)?,
                // A message of a newer version that this one does not know.
                Some(WatchUp { message: None }) => {}
            },
        }
    }
}

async fn send(down: &Down, message: watch_down::Message) -> Result<(), Status> {
    down.send(Ok(WatchDown { message: Some(message) })).await.map_err(|_| Status::cancelled("the proxy is gone"))
}

fn answer(place: &Place, message: watch_up::Message) -> Result<(), Status> {
    match message {
        watch_up::Message::Hello(_) => return Err(Status::invalid_argument("a second hello")),
        watch_up::Message::Ack(ack) => place.space.fleet().ack(place.id, ack.revision),
        watch_up::Message::Nack(Nack { revision, reason, routes }) => {
            tracing::warn!(
                namespace = place.namespace,
                proxy = place.name,
                revision,
                reason,
                routes = routes.len(),
                "table turned down"
            );
            if routes.is_empty() {
                place.space.fleet().refuse(place.id, revision, reason);
            } else {
                let without =
                    routes.into_iter().map(|refusal| (refusal.route, refusal.reason)).collect::<BTreeMap<_, _>>();
                place.space.fleet().took(place.id, revision, without);
            }
        }
    }
    place.moved();
    Ok(())
}

/// Whether the proxy holds a revision that this cluster has not reached: it was restored from a backup.
/// A revision that only this replica has not reached is no reason; what it sends then is old, and the proxy is right to refuse it.
async fn went_back(hello: &Hello, newest: &Published, tenure: &Tenure) -> bool {
    if hello.revision <= newest.revision {
        return false;
    }
    let reached = tenure.term.cluster_revision().await;
    let back = reached.is_some_and(|reached| reached < hello.revision);
    tracing::warn!(
        proxy = hello.revision,
        ours = newest.revision,
        cluster = reached,
        back,
        "a proxy holds a later revision"
    );
    back
}

/// The message for a table; the bytes stay here if the proxy said that it has them.
fn update(newest: &Published, hello: Option<&Hello>, resync: bool) -> TableUpdate {
    let has_it = hello.is_some_and(|hello| hello.digest == newest.digest);
    TableUpdate {
        revision: newest.revision,
        digest: newest.digest.clone(),
        table: if has_it { Vec::new() } else { newest.bytes.clone() },
        resync,
    }
}

fn secret_set(secrets: &Secrets) -> SecretSet {
    let secrets = secrets.iter().map(|(name, data)| (name.clone(), SecretData { data: data.clone() })).collect();
    SecretSet { secrets }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_that_the_proxy_holds_is_named_and_not_sent() {
        let newest = Published { revision: 7, digest: "d".into(), bytes: vec![1, 2] };
        let hello = Hello { digest: "d".into(), revision: 5, ..Hello::default() };
        assert_eq!(update(&newest, Some(&hello), false).table, Vec::<u8>::new());
        let other = Hello { digest: "e".into(), ..Hello::default() };
        assert_eq!(update(&newest, Some(&other), false).table, [1, 2]);
        assert_eq!(update(&newest, None, false).table, [1, 2]);
    }
}
