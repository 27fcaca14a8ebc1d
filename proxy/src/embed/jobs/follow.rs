//! The table in force in; every job of its endpoints that is not over worked on, by this proxy or another, until the process stops.

use super::bucket::Bucket;
use super::calls::region;
use super::place::{self, Shelf};
use super::work::{Left, Me, work};
use crate::stack::Proxy;
use futures_util::future::join_all;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, Semaphore, SemaphorePermit, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// Between two looks for jobs that nobody works on; up to half as long again.
const SCAN: Duration = Duration::from_secs(15);
/// Before there is a table.
const SOON: Duration = Duration::from_millis(200);
/// Jobs that one proxy works on at a time: each holds its texts in memory.
const MOST_RUNNING: usize = 4;
/// Marks read at a time.
const MOST_MARKS: usize = 1_000;
/// A mark that had no manifest for so long is that of a job that was never accepted.
const VAIN: Duration = Duration::from_secs(600);
/// How long a job that another proxy works on is left alone; up to twice that.
const HELD: Duration = Duration::from_secs(20);

/// What a proxy keeps of its jobs between requests.
#[derive(Debug)]
pub struct Desks {
    wake: Notify,
    places: Semaphore,
}

impl Default for Desks {
    fn default() -> Self {
        Self { wake: Notify::new(), places: Semaphore::new(MOST_RUNNING) }
    }
}

impl Desks {
    /// There is a new job.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// One of the places for jobs that are worked on, given back when dropped; none is never the answer.
    pub async fn place(&self) -> Option<SemaphorePermit<'_>> {
        self.places.acquire().await.ok()
    }
}

/// Whoever works on jobs here.
struct Follower {
    proxy: Arc<Proxy>,
    incarnation: String,
    turn: u64,
    busy: Arc<Mutex<HashSet<Shelf>>>,
    /// Since when marks were found without a manifest.
    vain: Arc<Mutex<HashMap<Shelf, Instant>>>,
    running: JoinSet<()>,
}

/// Works on jobs until it is told to stop; what is under way then is charged in full, and its results are read by whoever goes on.
pub async fn follow(proxy: Arc<Proxy>, incarnation: String, mut stop: watch::Receiver<bool>) {
    let mut follower = Follower {
        proxy: Arc::clone(&proxy),
        incarnation,
        turn: 0,
        busy: Arc::default(),
        vain: Arc::default(),
        running: JoinSet::new(),
    };
    let looking = async {
        loop {
            let wait = if follower.scan().await { SCAN + SCAN.mul_f64(fastrand::f64() / 2.0) } else { SOON };
            tokio::select! {
                () = sleep(wait) => {}
                () = proxy.jobs.wake.notified() => {}
            }
        }
    };
    tokio::select! {
        () = looking => {}
        _ = stop.wait_for(|stop| *stop) => {}
    }
    follower.running.shutdown().await;
}

impl Follower {
    /// Starts work on every job that is not over; whether there was a table to go by.
    async fn scan(&mut self) -> bool {
        while self.running.try_join_next().is_some() {}
        let Some(serving) = self.proxy.live.load_full() else { return false };
        // What asks nobody who they are is not served by a gateway.
        if self.proxy.options.gateway {
            return true;
        }
        let known = self.proxy.targets.following(&serving);
        let endpoints = serving.table.embeddings.iter().filter_map(|(name, config)| {
            let (jobs, endpoint) = config.jobs.as_ref().zip(known.embedding(name))?;
            Some((jobs, endpoint, place::folder(jobs, &serving.table.namespace, name)))
        });
        // All at once: a bucket that does not answer delays no other.
        let proxy = &self.proxy;
        let looked = join_all(endpoints.map(async |(jobs, endpoint, folder)| {
            let bucket = Bucket { proxy, region: region(endpoint), name: &jobs.bucket };
            let marks = bucket.list(&place::marks(&folder), None, MOST_MARKS).await;
            (jobs, endpoint, folder, marks)
        }))
        .await;
        for (jobs, endpoint, folder, marks) in looked {
            let marks = match marks {
                Ok(listed) => listed.names,
                Err(error) => {
                    tracing::warn!(endpoint = endpoint.name, %error, "jobs cannot be looked for");
                    continue;
                }
            };
            let shelves: Vec<Shelf> = marks.iter().filter_map(|mark| Shelf::of_mark(&folder, mark)).collect();
            for shelf in shelves {
                if !lock(&self.busy).insert(shelf.clone()) {
                    continue;
                }
                self.turn += 1;
                let (proxy, endpoint, jobs) = (Arc::clone(&self.proxy), Arc::clone(endpoint), jobs.clone());
                let (incarnation, turn) = (self.incarnation.clone(), self.turn);
                let place = Place { busy: Arc::clone(&self.busy), shelf };
                let vain = Arc::clone(&self.vain);
                self.running.spawn(async move {
                    let me = Me { incarnation: &incarnation, turn };
                    let left = work(&proxy, &endpoint, &jobs, &place.shelf, me).await;
                    let lost = left == Left::Nothing && is_lost(&vain, &place.shelf);
                    if lost {
                        let bucket = Bucket { proxy: &proxy, region: region(&endpoint), name: &jobs.bucket };
                        // Left where it is, it is found once more.
                        drop(bucket.delete(&place.shelf.mark()).await);
                    }
                    if left == Left::Held {
                        sleep(HELD + HELD.mul_f64(fastrand::f64())).await;
                    }
                });
            }
        }
        true
    }
}

/// Whether a mark was found without its manifest for long enough.
fn is_lost(vain: &Mutex<HashMap<Shelf, Instant>>, shelf: &Shelf) -> bool {
    let mut vain = lock(vain);
    let lost = vain.entry(shelf.clone()).or_insert_with(Instant::now).elapsed() > VAIN;
    if lost {
        vain.remove(shelf);
    }
    lost
}

/// One of the jobs that are worked on here, free for another try however the work ends.
struct Place {
    busy: Arc<Mutex<HashSet<Shelf>>>,
    shelf: Shelf,
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.busy).remove(&self.shelf);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
