//! The shelf of one job in; the job worked on to its end, or until somebody else holds it, by the steps that core decides on.

use super::bucket::{Bucket, Trouble, When};
use super::calls::{Desk, region};
use super::place::Shelf;
use crate::embed::endpoint::Endpoint;
use crate::stack::Proxy;
use bytes::Bytes;
use futures_util::future::join_all;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::{Instant, sleep};
use tollway_core::jobs::{Call, Heard, Job, Run, VERSION};
use tollway_core::table::Jobs;

/// A manifest that was not written for so long has no holder any more. Nobody's clock is compared with another's: whoever wants to take
/// over watches it for that long.
pub const LEASE: Duration = Duration::from_secs(20);
/// A holder writes its manifest at least this often.
const BEAT: Duration = Duration::from_secs(5);
/// And sends nothing on the strength of one that is older than this.
const FRESH: Duration = Duration::from_secs(8);
/// Between two looks for results, at first and at most.
const LOOKS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(3));

/// What became of the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    Over,
    /// Another proxy works on it.
    Held,
    /// There is a mark and no manifest.
    Nothing,
    /// It goes on at another time: the table changed, S3 cannot be reached, no budget gives anything just now, or somebody else was
    /// faster.
    Later,
}

/// Who works on a job: the process, and which of its turns.
#[derive(Clone, Copy, Debug)]
pub struct Me<'a> {
    pub incarnation: &'a str,
    pub turn: u64,
}

impl Me<'_> {
    fn name(&self) -> String {
        format!("{}/{}", self.incarnation, self.turn)
    }

    /// Whether a holder is this process, which works on a job once at a time.
    fn was(&self, holder: &str) -> bool {
        holder.rsplit_once('/').is_some_and(|(incarnation, _)| incarnation == self.incarnation)
    }
}

fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

/// A manifest and its version.
///
/// # Errors
/// S3 does not say, or it is of no form that this version reads.
pub async fn manifest(bucket: &Bucket<'_>, shelf: &Shelf) -> Result<Option<(Job, String, Bytes)>, Trouble> {
    let key = shelf.manifest();
    let Some(object) = bucket.get(&key).await? else { return Ok(None) };
    let form = |why: &str| Trouble::new(&format!("the manifest {}", bucket.uri(&key)), why);
    let job: Job = serde_json::from_slice(&object.body).map_err(|error| form(&error.to_string()))?;
    if job.version > VERSION {
        return Err(form("a later version wrote it: upgrade this proxy"));
    }
    Ok(Some((job, object.version, object.body)))
}

/// Works on a job.
pub async fn work(proxy: &Arc<Proxy>, endpoint: &Arc<Endpoint>, jobs: &Jobs, shelf: &Shelf, me: Me<'_>) -> Left {
    match try_work(proxy, endpoint, jobs, shelf, me).await {
        Ok(left) => left,
        Err(error) => {
            tracing::warn!(endpoint = endpoint.name, job = shelf.number.as_str(), %error, "a job cannot go on just now");
            Left::Later
        }
    }
}

async fn try_work(
    proxy: &Arc<Proxy>,
    endpoint: &Arc<Endpoint>,
    jobs: &Jobs,
    shelf: &Shelf,
    me: Me<'_>,
) -> Result<Left, Trouble> {
    let bucket = Bucket { proxy, region: region(endpoint), name: &jobs.bucket };
    let Some((mut job, mut version, _)) = manifest(&bucket, shelf).await? else { return Ok(Left::Nothing) };
    if !job.is_over() && job.holder.as_deref().is_some_and(|holder| !me.was(holder)) {
        sleep(LEASE).await;
        let Some((later, now, _)) = manifest(&bucket, shelf).await? else { return Ok(Left::Nothing) };
        if now != version {
            return Ok(Left::Held);
        }
        (job, version) = (later, now);
        tracing::info!(job = job.id, "a job that its proxy left goes on here");
    }
    if job.is_over() {
        bucket.delete(&shelf.mark()).await?;
        return Ok(Left::Over);
    }
    let _place = proxy.jobs.place().await;
    let items = bucket.get(&shelf.items()).await?;
    let texts = items.and_then(|object| serde_json::from_slice::<Vec<String>>(&object.body).ok());
    let Some(texts) = texts else {
        tracing::error!(items = bucket.uri(&shelf.items()), "the items of a job are gone");
        return Ok(Left::Later);
    };
    let desk = Desk { proxy, endpoint, jobs, shelf, texts: &texts, tabs: Mutex::new(HashMap::new()) };
    let at_once = usize::try_from(endpoint.config.batching.max_concurrent).unwrap_or(usize::MAX);
    let mut run = Run::new(job, &me.name(), endpoint.config.retry.attempts, at_once);
    let (mut saved, mut pause) = (Instant::now(), LOOKS.0);
    while !run.is_gone() && !run.is_over() {
        let calls = run.next(now_ms());
        if calls == [Call::Save] {
            let heard = save(&bucket, shelf, &run, &mut version).await?;
            if heard == Heard::Saved {
                saved = Instant::now();
            }
            run.hear(heard, now_ms());
            desk.keep(|first| run.is_funded(first));
            continue;
        }
        // One that waits for money does not stand in the way of others; it is looked at again soon.
        if calls.is_empty() && run.is_held(now_ms()) {
            return Ok(Left::Later);
        }
        if saved.elapsed() > FRESH && calls.iter().any(|call| matches!(call, Call::Invoke(_))) {
            run.beat();
            continue;
        }
        let heard = join_all(calls.iter().map(|call| desk.make(run.job(), *call))).await;
        let moved = heard.into_iter().flatten().fold(false, |moved, heard| run.hear(heard, now_ms()) | moved);
        desk.keep(|first| run.is_funded(first));
        if moved {
            pause = LOOKS.0;
        } else {
            sleep(pause).await;
            pause = (pause * 2).min(LOOKS.1);
        }
        if saved.elapsed() > BEAT {
            run.beat();
        }
        if !is_current(proxy, endpoint) {
            return Ok(Left::Later);
        }
    }
    if run.is_gone() {
        return Ok(Left::Later);
    }
    let counts = run.job().counts();
    tracing::info!(job = run.job().id, completed = counts.completed, failed = counts.failed, cost_usd = %run.job().spent, "a job is over");
    bucket.delete(&shelf.mark()).await?;
    Ok(Left::Over)
}

/// Whether the table in force still has the endpoint as it is here.
fn is_current(proxy: &Proxy, endpoint: &Arc<Endpoint>) -> bool {
    let Some(serving) = proxy.live.load_full() else { return false };
    let known = proxy.targets.following(&serving);
    known.embedding(&endpoint.name).is_some_and(|now| Arc::ptr_eq(now, endpoint))
}

/// Writes the manifest over the version that is known. Where nobody knows whether that worked, what stands there now says it.
async fn save(bucket: &Bucket<'_>, shelf: &Shelf, run: &Run, version: &mut String) -> Result<Heard, Trouble> {
    let job = run.to_write(now_ms() / 1_000);
    let body = Bytes::from(serde_json::to_vec(&job).unwrap_or_default());
    let (mut last, mut wait) = (None, LOOKS.0);
    for _ in 0..4 {
        match bucket.put(&shelf.manifest(), body.clone(), When::Is(version)).await {
            Ok(Some(now)) => {
                *version = now;
                return Ok(Heard::Saved);
            }
            Ok(None) => {}
            Err(error) => last = Some(error),
        }
        match manifest(bucket, shelf).await {
            Ok(Some((_, now, there))) if there == body => {
                *version = now;
                return Ok(Heard::Saved);
            }
            Ok(Some((theirs, now, _))) if now != *version => {
                *version = now;
                return Ok(Heard::Overtaken(Box::new(theirs)));
            }
            Ok(_) => {}
            Err(error) => last = Some(error),
        }
        sleep(wait).await;
        wait *= 3;
    }
    Err(last.unwrap_or_else(|| Trouble::new("S3 PutObject", "the manifest of a job cannot be written")))
}
