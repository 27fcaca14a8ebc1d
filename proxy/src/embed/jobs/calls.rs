//! One call that a job's next step asks for in; the call made, money reserved before and settled after, and what it came to, out.

use super::bucket::{Bucket, Trouble, When, send};
use super::place::Shelf;
use super::queue::{self, Letter};
use crate::embed::endpoint::Endpoint;
use crate::embed::read::{self, Expected, Wrong};
use crate::embed::tab::{Share, Tab};
use crate::embed::{batch, payload};
use crate::error::{ApiError, Code};
use crate::provider::bedrock::{Destination, SAGEMAKER};
use crate::stack::Proxy;
use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tollway_core::jobs::{Call, Heard, Job, Place, Reason, State};
use tollway_core::spend::bounds::input_tokens;
use tollway_core::spend::{Nano, Shape};
use tollway_core::table::{Embedder, Jobs};

/// Bytes of a token where nobody counts them, for the usage that a client is shown.
const BYTES_PER_TOKEN: u64 = 4;
/// Words of an error that are kept.
const MOST_WORDS: usize = 500;
/// Seconds a batch may stand in the service's queue, and be worked on: the most that the service allows.
const QUEUED_S: &str = "21600";
const WORKED_S: &str = "3600";

/// Everything that the calls of one job need.
pub struct Desk<'a> {
    pub proxy: &'a Proxy,
    pub endpoint: &'a Endpoint,
    pub jobs: &'a Jobs,
    pub shelf: &'a Shelf,
    pub texts: &'a [String],
    /// What this process pays, by batch.
    pub tabs: Mutex<HashMap<u32, Paid>>,
}

/// A batch that this process pays.
pub struct Paid {
    tab: Arc<Tab>,
    bound: u64,
}

fn reason(code: Code, message: impl Into<String>) -> Reason {
    Reason { code: code.as_str().to_owned(), message: message.into() }
}

fn trouble(trouble: &Trouble) -> Reason {
    reason(Code::UpstreamUnavailable, trouble.to_string())
}

impl<'a> Desk<'a> {
    pub fn bucket(&self) -> Bucket<'a> {
        Bucket { proxy: self.proxy, region: self.region(), name: &self.jobs.bucket }
    }

    fn region(&self) -> Option<&'a str> {
        region(self.endpoint)
    }

    /// Makes a call other than `Save`.
    pub async fn make(&self, job: &Job, call: Call) -> Option<Heard> {
        match call {
            Call::Save => None,
            Call::Prepare(first) => Some(self.prepare(job, first).await),
            Call::Invoke(first) => Some(self.invoke(job, first).await),
            Call::Look(first) => Some(self.look(job, first).await),
            Call::Tell(first) => Some(self.tell(job, first).await),
        }
    }

    /// Gives back what is reserved for batches that will not be sent.
    pub fn keep(&self, funded: impl Fn(u32) -> bool) {
        self.tabs().retain(|first, _| funded(*first));
    }

    fn tabs(&self) -> std::sync::MutexGuard<'_, HashMap<u32, Paid>> {
        self.tabs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn texts(&self, job: &Job, first: u32) -> (Vec<&str>, u32) {
        let items = job.batches.get(&first).map_or(0, |batch| batch.items);
        let skip = usize::try_from(first).unwrap_or(usize::MAX);
        let texts = self.texts.iter().skip(skip).take(usize::try_from(items).unwrap_or(0));
        (texts.map(String::as_str).collect(), items)
    }

    async fn prepare(&self, job: &Job, first: u32) -> Heard {
        let config = &self.endpoint.config;
        let (texts, items) = self.texts(job, first);
        let bound = |text: &&str| {
            input_tokens(&config.bounds, &Shape { bytes: text.len() as u64, texts: 1, ..Shape::default() })
        };
        let bound = texts.iter().map(bound).fold(0, u64::saturating_add);
        let worst = config.price.worst_case(bound, 0);
        let reservation = match batch::reserve(self.proxy, self.endpoint, worst, job.user.as_deref()).await {
            Ok(reservation) => reservation,
            Err(ApiError { code, message, .. }) => return Heard::Held(reason(code, message)),
        };
        // Dropped before anything is sent, it gives everything back.
        let tab = Tab::new(reservation, worst, config.price, job.user.clone());
        let Some(source) = config.sources.first() else { return Heard::Held(reason(Code::NotReady, "no source")) };
        let body = Bytes::from(payload::body(config, &source.embedder, &texts));
        if let Err(error) = self.bucket().put(&self.shelf.input(first, items), body, When::Always).await {
            return Heard::Held(trouble(&error));
        }
        self.tabs().insert(first, Paid { tab, bound });
        Heard::Prepared(first, worst)
    }

    async fn invoke(&self, job: &Job, first: u32) -> Heard {
        let items = job.batches.get(&first).map_or(0, |batch| batch.items);
        let mine = self.tabs().get(&first).map(|paid| (Arc::clone(&paid.tab), paid.bound));
        let Some(((tab, bound), source)) = mine.zip(self.endpoint.sources.first()) else {
            return Heard::Declined(first, reason(Code::NotReady, "nothing is reserved for it"));
        };
        let input = self.bucket().uri(&self.shelf.input(first, items));
        let name = format!("{}-{first}-{}", self.shelf.number.as_str(), job.batches.get(&first).map_or(0, |b| b.tries));
        let headers = [
            ("x-amzn-sagemaker-content-type", "application/json"),
            ("x-amzn-sagemaker-accept", "application/json"),
            ("x-amzn-sagemaker-inputlocation", input.as_str()),
            ("x-amzn-sagemaker-inference-id", name.as_str()),
            ("x-amzn-sagemaker-requestttlseconds", QUEUED_S),
            ("x-amzn-sagemaker-invocationtimeoutseconds", WORKED_S),
        ];
        let header = |(name, value): (&'static str, &str)| {
            Some((HeaderName::from_static(name), HeaderValue::from_str(value).ok()?))
        };
        let headers: HeaderMap = headers.into_iter().filter_map(header).collect();
        let path = format!("/endpoints/{}/async-invocations", self.jobs.endpoint_name);
        let to = Destination { service: SAGEMAKER, region: self.region(), role: None, path: &path };
        let what = format!("SageMaker InvokeEndpointAsync {}", self.jobs.endpoint_name);
        // From here on nobody may know: should this be the last thing that the process does, it is charged in full.
        tab.sending(bound, source);
        match send(self.proxy, Method::POST, to, headers, Bytes::new(), &what).await {
            Ok((head, body)) if head.status.is_success() => {
                let said = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
                match said("x-amzn-sagemaker-outputlocation") {
                    Some(output) => {
                        let failure = said("x-amzn-sagemaker-failurelocation");
                        Heard::Accepted(first, Place { output, failure })
                    }
                    None => {
                        tracing::warn!(endpoint = self.endpoint.name, body = %String::from_utf8_lossy(&body), "an accepted batch has no place for its result");
                        self.close(first, Share::Bound);
                        Heard::Lost(first, "the service did not say where the result comes".to_owned())
                    }
                }
            }
            Ok((head, body)) => {
                self.close(first, Share::Nothing);
                Heard::Declined(first, trouble(&super::bucket::refused(&what, &head, &body)))
            }
            Err(error) if error.answered => {
                self.close(first, Share::Nothing);
                Heard::Declined(first, trouble(&error))
            }
            Err(error) => {
                self.close(first, Share::Bound);
                Heard::Lost(first, error.to_string())
            }
        }
    }

    /// Settles what this process paid for a batch; what it came to, if it did.
    fn close(&self, first: u32, share: Share) -> Option<Nano> {
        let Paid { tab, bound } = self.tabs().remove(&first)?;
        tab.sent(bound, share);
        Some(tab.cost())
    }

    async fn look(&self, job: &Job, first: u32) -> Heard {
        let Some(State::Sent { place, .. }) = job.batches.get(&first).map(|batch| &batch.state) else {
            return Heard::NotYet(first);
        };
        match self.fetch(&place.output).await {
            Ok(Some(answer)) => self.take(job, first, &answer).await,
            Ok(None) => match self.failure(place).await {
                Ok(Some(words)) => {
                    self.close(first, Share::Nothing);
                    let words: String = String::from_utf8_lossy(&words).chars().take(MOST_WORDS).collect();
                    Heard::Broke(first, format!("the container failed: {}", words.trim()))
                }
                Ok(None) => Heard::NotYet(first),
                Err(error) => self.unseen(first, &error),
            },
            Err(error) => self.unseen(first, &error),
        }
    }

    fn unseen(&self, first: u32, error: &Trouble) -> Heard {
        tracing::warn!(endpoint = self.endpoint.name, %error, "the result of a batch cannot be looked for; it is tried again");
        Heard::NotYet(first)
    }

    async fn failure(&self, place: &Place) -> Result<Option<Bytes>, Trouble> {
        match &place.failure {
            Some(failure) => self.fetch(failure).await,
            None => Ok(None),
        }
    }

    async fn fetch(&self, uri: &str) -> Result<Option<Bytes>, Trouble> {
        let place = uri.strip_prefix("s3://").and_then(|rest| rest.split_once('/'));
        let Some((name, key)) = place else { return Ok(None) };
        let bucket = Bucket { name, ..self.bucket() };
        Ok(bucket.get(key).await?.map(|object| object.body))
    }

    /// The vectors of a batch, checked and kept.
    async fn take(&self, job: &Job, first: u32, answer: &Bytes) -> Heard {
        let config = &self.endpoint.config;
        let (texts, _) = self.texts(job, first);
        let expected = Expected {
            texts: texts.len(),
            dimensions: usize::try_from(config.dimensions).unwrap_or(usize::MAX),
            normalize: config.normalize == Some(true),
            pooling: config.pooling,
        };
        let read = match read::read(answer, expected) {
            Ok(read) => read,
            Err(wrong) => {
                if matches!(wrong, Wrong::Dimensions { .. }) {
                    self.endpoint.meter.wrong_dimensions();
                }
                tracing::warn!(endpoint = self.endpoint.name, job = job.id, first, %wrong, "the result of a batch is turned away");
                // It worked, and nobody says how much.
                self.close(first, Share::Bound);
                return Heard::Spoilt(first, wrong.to_string());
            }
        };
        let mut kept = BytesMut::with_capacity(answer.len() + 2);
        for (at, vector) in read.vectors.iter().enumerate() {
            kept.put_u8(if at == 0 { b'[' } else { b',' });
            kept.put_slice(vector);
        }
        kept.put_u8(b']');
        if let Err(error) = self.bucket().put(&self.shelf.vectors(first), kept.freeze(), When::Always).await {
            return self.unseen(first, &error);
        }
        self.endpoint.meter.job_completed(texts.len() as u64);
        let bytes: u64 = texts.iter().map(|text| text.len() as u64).sum();
        let tokens = read.tokens.unwrap_or_else(|| bytes.div_ceil(BYTES_PER_TOKEN));
        let cost = self.close(first, read.tokens.map_or(Share::Bound, Share::Counted)).unwrap_or_default();
        Heard::Done { first, tokens, cost }
    }

    async fn tell(&self, job: &Job, first: u32) -> Heard {
        let (texts, items) = self.texts(job, first);
        let told = || {
            self.endpoint.meter.job_failed(texts.len() as u64);
            Heard::Told(first)
        };
        let Some(queue) = &self.jobs.dead_letter else { return told() };
        let Some(State::Failed { error, .. }) = job.batches.get(&first).map(|batch| &batch.state) else {
            return Heard::Told(first);
        };
        let input = self.bucket().uri(&self.shelf.input(first, items));
        let letters = texts.iter().zip(0_u32..).map(|(text, position)| Letter {
            job: &job.id,
            index: first + position,
            model: &job.model,
            endpoint: &self.endpoint.name,
            user: job.user.as_deref(),
            error,
            text: queue::short(text),
            input_location: &input,
            position,
        });
        match queue::tell(self.proxy, queue, self.region(), &letters.collect::<Vec<_>>()).await {
            Ok(()) => told(),
            Err(error) => {
                tracing::warn!(endpoint = self.endpoint.name, job = job.id, %error, "the dead-letter queue is tried again");
                Heard::NotTold(trouble(&error))
            }
        }
    }
}

/// Where an endpoint's jobs are done: the region of the endpoint itself.
#[must_use]
pub fn region(endpoint: &Endpoint) -> Option<&str> {
    match endpoint.config.sources.first().map(|source| &source.embedder) {
        Some(Embedder::SageMaker(target)) => target.region.as_deref(),
        Some(Embedder::OpenAi(_)) | None => None,
    }
}
