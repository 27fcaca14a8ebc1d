//! Ledger streams of one namespace's proxies: who is connected and what they showed, so that keepers can answer and ask.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::watch;
use tollway_core::control::{HeldGrant, LedgerDown};
use tonic::Status;

/// A proxy as its grants know it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Holder {
    /// Uid of its Pod; for a token without a Pod, account and incarnation, which no Pod's end and no successor can match.
    pub pod: String,
    /// The process.
    pub incarnation: String,
}

impl Holder {
    /// Whether that is the uid of a Pod: those have no slash.
    pub fn is_pod(pod: &str) -> bool {
        !pod.contains('/')
    }
}

/// Where messages for one proxy go.
#[derive(Clone)]
pub struct Stream {
    /// Who it is.
    pub holder: Holder,
    /// What it held when it connected.
    pub held: Arc<Vec<HeldGrant>>,
    down: Sender<Result<LedgerDown, Status>>,
    id: u64,
    /// Turns true when the registry gives the stream up.
    cut: watch::Receiver<bool>,
}

impl Stream {
    /// Returns when the stream is to end.
    pub async fn cut(&self) {
        // An error means that the registry dropped its half: given up as well.
        let _ = self.cut.clone().wait_for(|cut| *cut).await;
    }
}

/// The registry's half of a stream.
struct Open {
    stream: Stream,
    /// Dropping it ends the stream.
    _cut: watch::Sender<bool>,
}

/// How long a process may be away before another one of its Pod, that is connected, is taken for its successor: longer than
/// a proxy waits between two attempts to connect.
const AWAY: Duration = Duration::from_secs(10);

/// Every ledger stream of a namespace, by incarnation.
pub struct Streams {
    open: Mutex<(u64, BTreeMap<String, Open>)>,
    /// When a process was last connected, for as long as that matters.
    left: Mutex<BTreeMap<Holder, Instant>>,
    /// Before that moment nobody can have been away for long.
    since: Instant,
}

impl Default for Streams {
    fn default() -> Self {
        Streams { open: Mutex::default(), left: Mutex::default(), since: Instant::now() }
    }
}

impl Streams {
    fn open(&self) -> MutexGuard<'_, (u64, BTreeMap<String, Open>)> {
        self.open.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// A stream began; an older one of the same incarnation ends.
    pub fn join(&self, holder: Holder, held: Vec<HeldGrant>, down: Sender<Result<LedgerDown, Status>>) -> Stream {
        let mut open = self.open();
        open.0 += 1;
        let (cut, cut_seen) = watch::channel(false);
        let stream = Stream { holder: holder.clone(), held: Arc::new(held), down, id: open.0, cut: cut_seen };
        open.1.insert(holder.incarnation, Open { stream: stream.clone(), _cut: cut });
        stream
    }

    /// The stream ended; a newer one of the same incarnation stays.
    pub fn leave(&self, stream: &Stream) {
        let mut open = self.open();
        if open.1.get(&stream.holder.incarnation).is_some_and(|held| held.stream.id == stream.id) {
            open.1.remove(&stream.holder.incarnation);
        }
        drop(open);
        let mut left = self.left.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        left.insert(stream.holder.clone(), Instant::now());
    }

    /// Every stream open now.
    pub fn all(&self) -> Vec<Stream> {
        self.open().1.values().map(|open| open.stream.clone()).collect()
    }

    /// By Pod with a process that is connected: which of its processes live. One that is away counts until it is away for long.
    pub fn living(&self, now: Instant) -> BTreeMap<String, Vec<String>> {
        if now.saturating_duration_since(self.since) < AWAY {
            return BTreeMap::new();
        }
        let mut living: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for stream in self.all() {
            living.entry(stream.holder.pod).or_default().push(stream.holder.incarnation);
        }
        let mut left = self.left.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        left.retain(|_, at| now.saturating_duration_since(*at) < AWAY);
        for holder in left.keys() {
            if let Some(incarnations) = living.get_mut(&holder.pod) {
                incarnations.push(holder.incarnation.clone());
            }
        }
        living
    }

    /// Sends to one incarnation if it is connected. One whose buffer is full is cut off: it connects again and shows what it holds.
    pub fn send(&self, incarnation: &str, message: LedgerDown) {
        let mut open = self.open();
        let Some(held) = open.1.get(incarnation) else { return };
        if let Err(TrySendError::Full(_) | TrySendError::Closed(_)) = held.stream.down.try_send(Ok(message)) {
            tracing::warn!(incarnation, "ledger stream cut: the proxy does not read it");
            open.1.remove(incarnation);
        }
    }

    /// Ends every stream: the proxies connect again and show what they hold.
    pub fn cut_all(&self) {
        self.open().1.clear();
    }

    /// Ends the streams of a Pod that is gone.
    pub fn cut(&self, pod: &str) {
        self.open().1.retain(|_, open| open.stream.holder.pod != pod);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::mpsc;

    fn holder(incarnation: &str) -> Holder {
        Holder { pod: "p".into(), incarnation: incarnation.into() }
    }

    #[test]
    fn a_late_end_of_an_old_stream_leaves_the_new_one() {
        let streams = Streams::default();
        let (down, _up) = mpsc::channel(1);
        let old = streams.join(holder("a"), vec![], down.clone());
        let new = streams.join(holder("a"), vec![], down);
        streams.leave(&old);
        assert_eq!(streams.all().len(), 1);
        streams.leave(&new);
        assert!(streams.all().is_empty());
    }

    #[test]
    fn a_process_that_is_away_lives_until_it_is_away_for_long() {
        let streams = Streams::default();
        let (down, _up) = mpsc::channel(1);
        let old = streams.join(holder("a"), vec![], down.clone());
        streams.leave(&old);
        let left = Instant::now();
        streams.join(holder("b"), vec![], down);
        assert!(streams.living(streams.since).is_empty(), "nobody is judged at the start of a term");
        let soon = streams.since + AWAY;
        assert_eq!(streams.living(soon)["p"], ["b", "a"]);
        assert_eq!(streams.living(left + AWAY)["p"], ["b"]);
    }

    #[test]
    fn a_proxy_that_does_not_read_is_cut_off() {
        let streams = Streams::default();
        let (down, _up) = mpsc::channel(1);
        streams.join(holder("a"), vec![], down);
        streams.send("a", LedgerDown::default());
        assert_eq!(streams.all().len(), 1);
        streams.send("a", LedgerDown::default());
        assert!(streams.all().is_empty());
    }
}
