//! Very large embedding jobs: a request's texts in, an id out; asked by that id, how far the job is and in the end its vectors, for whoever
//! gave it and nobody else.
//!
//! # The way of a job
//! Its texts, a mark and its manifest are put to S3 (`accept`), where every proxy of the namespace finds it (`follow`). One takes it and
//! works on it (`work`, `calls`) by the steps that `tollway_core::jobs` decides on. Everything that counts is in the manifest.

mod bucket;
mod calls;
mod follow;
mod place;
mod queue;
mod result;
mod work;

pub use follow::{Desks, follow};
pub use result::Pages;

use super::endpoint::Endpoint;
use super::text;
use crate::error::{ApiError, Code};
use crate::source::Serving;
use crate::stack::Proxy;
use bucket::{Bucket, Trouble, When};
use bytes::Bytes;
use futures_util::future::join_all;
use http::StatusCode;
use place::{Number, Shelf};
use serde_json::{Value, json};
use std::sync::Arc;
use tollway_core::jobs::{Job, Status, split};
use tollway_core::table::Jobs;

/// Bytes of text in one batch at most, as in the calls that wait for their answer.
const MOST_BYTES: usize = 4 * 1024 * 1024;
/// Jobs in a list at most, and when nothing is said.
pub const MOST_LISTED: usize = 100;
pub const LISTED: usize = 20;

/// An endpoint that does jobs.
pub struct Office<'a> {
    proxy: &'a Arc<Proxy>,
    endpoint: Arc<Endpoint>,
    jobs: &'a Jobs,
    folder: String,
}

/// The endpoint of that name, if it does jobs.
///
/// # Errors
/// It does none.
pub fn office<'a>(proxy: &'a Arc<Proxy>, serving: &'a Arc<Serving>, name: &str) -> Option<Office<'a>> {
    let jobs = serving.table.embeddings.get(name)?.jobs.as_ref()?;
    let endpoint = Arc::clone(proxy.targets.following(serving).embedding(name)?);
    Some(Office { proxy, endpoint, jobs, folder: place::folder(jobs, &serving.table.namespace, name) })
}

/// What a client asks for.
#[derive(Debug)]
pub struct Order {
    pub texts: Vec<String>,
    pub base64: bool,
    pub user: Option<String>,
}

fn away(trouble: &Trouble) -> ApiError {
    ApiError::upstream(StatusCode::SERVICE_UNAVAILABLE, format!("jobs cannot be reached just now: {trouble}"))
}

fn unknown(id: &str) -> ApiError {
    ApiError::invalid(format!("there is no job {id:?} of yours")).status(StatusCode::NOT_FOUND)
}

impl Office<'_> {
    #[must_use]
    pub const fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    fn bucket(&self) -> Bucket<'_> {
        Bucket { proxy: self.proxy, region: calls::region(&self.endpoint), name: &self.jobs.bucket }
    }

    fn shelf(&self, user: Option<&str>, number: Number) -> Shelf {
        Shelf::new(self.folder.clone(), place::caller(user), number)
    }

    /// Takes a job; what a client is told of it.
    ///
    /// # Errors
    /// A text is empty, or S3 does not take it.
    pub async fn accept(&self, order: Order) -> Result<Bytes, ApiError> {
        let Order { texts, base64, user } = order;
        let config = &self.endpoint.config;
        let mut prepared = Vec::with_capacity(texts.len());
        for (index, text) in texts.iter().enumerate() {
            let text = text::prepare(config, text);
            if text.is_empty() {
                let message = format!("text {index} is empty: leave it out");
                return Err(ApiError::invalid(message).param(format!("input[{index}]")));
            }
            prepared.push(text);
        }
        let now = jiff::Timestamp::now();
        let unready = || ApiError::new(Code::NotReady, "the system gives no random numbers; try again");
        let number = Number::new(now.as_millisecond()).ok_or_else(unready)?;
        let sizes: Vec<usize> = prepared.iter().map(|text| text.len()).collect();
        let batches = split(&sizes, config.batching.max_items, MOST_BYTES);
        let id = number.id(&self.endpoint.name);
        let job = Job::new(id, config.model.clone(), user.clone(), base64, now.as_second(), batches);
        let (bucket, shelf) = (self.bucket(), self.shelf(user.as_deref(), number));
        let json = |what: serde_json::Result<Vec<u8>>| Bytes::from(what.unwrap_or_default());
        // The manifest last: without it there is no job, and with it everything is there that the job needs.
        for (key, body, when) in [
            (shelf.items(), json(serde_json::to_vec(&prepared)), When::Always),
            (shelf.mark(), Bytes::from_static(b"{}"), When::Always),
            (shelf.manifest(), json(serde_json::to_vec(&job)), When::Is("")),
        ] {
            bucket.put(&key, body, when).await.map_err(|trouble| away(&trouble))?;
        }
        self.proxy.jobs.wake();
        Ok(Bytes::from(self.shown(&job).to_string()))
    }

    async fn find(&self, user: Option<&str>, id: &str) -> Result<(Job, String, Shelf), ApiError> {
        let (number, _) = place::parse(id).ok_or_else(|| unknown(id))?;
        let shelf = self.shelf(user, number);
        let found = work::manifest(&self.bucket(), &shelf).await.map_err(|trouble| away(&trouble))?;
        let (job, version, _) = found.ok_or_else(|| unknown(id))?;
        Ok((job, version, shelf))
    }

    /// How far a job is.
    ///
    /// # Errors
    /// There is none, or S3 does not say.
    pub async fn show(&self, user: Option<&str>, id: &str) -> Result<Bytes, ApiError> {
        let (job, ..) = self.find(user, id).await?;
        Ok(Bytes::from(self.shown(&job).to_string()))
    }

    /// Cancels what was not sent.
    ///
    /// # Errors
    /// There is no such job, or S3 does not take the word.
    pub async fn cancel(&self, user: Option<&str>, id: &str) -> Result<Bytes, ApiError> {
        // Whoever works on it writes at the same time; a few tries meet a gap.
        for _ in 0..20 {
            let (mut job, version, shelf) = self.find(user, id).await?;
            if job.is_over() || job.cancelled {
                return Ok(Bytes::from(self.shown(&job).to_string()));
            }
            job.cancel();
            job.writes += 1;
            if job.is_over() {
                job.finished_at = Some(jiff::Timestamp::now().as_second());
            }
            let body = Bytes::from(serde_json::to_vec(&job).unwrap_or_default());
            let written = self.bucket().put(&shelf.manifest(), body, When::Is(&version)).await;
            if written.map_err(|trouble| away(&trouble))?.is_some() {
                self.proxy.jobs.wake();
                return Ok(Bytes::from(self.shown(&job).to_string()));
            }
        }
        Err(ApiError::upstream(StatusCode::SERVICE_UNAVAILABLE, "the job changes too fast just now; try again"))
    }

    /// A user's jobs, the newest first, older than `after`, and whether there are more.
    ///
    /// # Errors
    /// S3 does not say.
    pub async fn list(
        &self,
        user: Option<&str>,
        after: Option<&Number>,
        most: usize,
    ) -> Result<(Vec<Value>, bool), ApiError> {
        let folder = place::jobs_of(&self.folder, &place::caller(user));
        let bucket = self.bucket();
        let listed = bucket.list(&folder, after.map(Number::as_str), most).await.map_err(|trouble| away(&trouble))?;
        let shelves = listed.names.iter().filter_map(|name| Some(self.shelf(user, Number::read(name)?)));
        let shelves: Vec<Shelf> = shelves.collect();
        let found = join_all(shelves.iter().map(|shelf| work::manifest(&bucket, shelf))).await;
        let mut jobs = Vec::with_capacity(found.len());
        for manifest in found {
            if let Some((job, ..)) = manifest.map_err(|trouble| away(&trouble))? {
                jobs.push(self.shown(&job));
            }
        }
        Ok((jobs, listed.more))
    }

    /// The vectors of a job that is over, a batch at a time.
    ///
    /// # Errors
    /// There is none, or it is not over.
    pub async fn result(&self, user: Option<&str>, id: &str, lines: bool) -> Result<Pages, ApiError> {
        let (job, _, shelf) = self.find(user, id).await?;
        if !job.is_over() {
            let message = format!("the job is {}: its result is there when it is over", word(job.status()));
            return Err(ApiError::invalid(message).status(StatusCode::CONFLICT));
        }
        let (proxy, endpoint) = (Arc::clone(self.proxy), Arc::clone(&self.endpoint));
        Ok(Pages::new(proxy, endpoint, self.jobs.bucket.clone(), shelf, job, lines))
    }

    fn shown(&self, job: &Job) -> Value {
        let tokens = job.tokens();
        json!({
            "id": job.id,
            "object": "embedding.job",
            "model": job.model,
            "endpoint": self.endpoint.name,
            "status": job.status(),
            "status_reason": job.reason,
            "created_at": job.created_at,
            "finished_at": job.finished_at,
            "item_counts": job.counts(),
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
            "cost_usd": job.spent.to_string(),
        })
    }
}

/// The number of a job by its id, and the endpoint's name.
#[must_use]
pub fn parse(id: &str) -> Option<(place::Number, &str)> {
    place::parse(id)
}

fn word(status: Status) -> String {
    serde_json::to_value(status).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}
