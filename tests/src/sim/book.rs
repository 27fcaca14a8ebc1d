//! The simulator's own bill and log: what each request used comes in as it happens, totals and records go out at any moment.

use super::config::Price;
use bytes::Bytes;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::sync::watch;

/// What has been charged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Bill {
    /// Everything, in nano-dollars.
    pub nano: u64,
    /// By model.
    pub models: BTreeMap<String, ModelBill>,
}

/// What has been charged for one model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ModelBill {
    /// Requests the model started on.
    pub requests: u64,
    /// Input tokens, cached ones included.
    pub input_tokens: u64,
    /// Output tokens.
    pub output_tokens: u64,
    /// Nano-dollars, rounded up once a request.
    pub nano: u64,
}

/// Which wire a request came over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Surface {
    /// The Bedrock runtime.
    Bedrock,
    /// An OpenAI-compatible server.
    Openai,
    /// Anthropic's Messages API.
    Anthropic,
    /// The SageMaker runtime.
    SageMaker,
    /// The AgentCore runtime.
    AgentCore,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// Answered in full.
    Complete,
    /// Refused with an error before the model started: wrong request, wrong key or scripted.
    Refused,
    /// A scripted fault spoilt the answer.
    Faulted,
    /// The client left.
    Cancelled,
}

/// One request that has ended.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Seen {
    /// Counts from 1 in order of arrival.
    pub id: u64,
    /// Wire.
    pub surface: Surface,
    /// Path as the client wrote it.
    pub path: String,
    /// Headers, names in lower case; those with keys and signatures are left out.
    pub headers: BTreeMap<String, String>,
    /// Body as it came.
    #[serde(serialize_with = "text")]
    pub body: Bytes,
    /// The client: access key id, or `bearer`; absent when it was not authenticated.
    pub client: Option<String>,
    /// Model, as configured; absent when there is none of that name.
    pub model: Option<String>,
    /// Whether a stream was asked for.
    pub stream: bool,
    /// HTTP status; 0 when none was sent.
    pub status: u16,
    /// Name of the error answered or sent inside the stream.
    pub error: Option<String>,
    /// How it ended.
    pub outcome: Outcome,
    /// Events sent whole.
    pub events: usize,
    /// Input tokens charged at the plain price.
    pub input_tokens: u64,
    /// Output tokens charged.
    pub output_tokens: u64,
    /// Nano-dollars charged.
    pub nano: u64,
    /// Arrival, in milliseconds since the Unix epoch.
    pub started_ms: u64,
    /// End, in milliseconds since the Unix epoch.
    pub ended_ms: u64,
}

impl Seen {
    /// The body as JSON; null when it is none.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

fn text<S: serde::Serializer>(body: &Bytes, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&String::from_utf8_lossy(body))
}

pub(super) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}

/// What one request has used up to now.
#[derive(Default)]
struct Meter {
    charge: OnceLock<Charge>,
    output: AtomicU64,
    events: AtomicUsize,
}

/// What starting a request costs, and what its output will.
pub(super) struct Charge {
    pub model: String,
    pub price: Price,
    pub input: u64,
    pub cache_read: u64,
    pub cache_write: u64,
}

impl Meter {
    fn bill(&self) -> Option<(&str, ModelBill)> {
        let charge = self.charge.get()?;
        let output_tokens = self.output.load(Relaxed);
        let Price { input, output, cache_read, cache_write, per_request } = charge.price;
        let tokens = [
            (charge.input, input),
            (charge.cache_read, cache_read),
            (charge.cache_write, cache_write),
            (output_tokens, output),
        ];
        let micro_nanos: u128 = tokens.iter().map(|&(n, price)| u128::from(n) * u128::from(price)).sum();
        let nano = u64::try_from(micro_nanos.div_ceil(1_000_000)).expect("the bill of one request fits 64 bits");
        Some((
            &charge.model,
            ModelBill {
                requests: 1,
                input_tokens: charge.input + charge.cache_read + charge.cache_write,
                output_tokens,
                nano: nano + per_request,
            },
        ))
    }
}

impl Bill {
    fn add(&mut self, meter: &Meter) {
        let Some((model, one)) = meter.bill() else { return };
        self.nano += one.nano;
        // Looked up first: the name is copied once a model, not once a request.
        let total = match self.models.get_mut(model) {
            Some(total) => total,
            None => self.models.entry(model.to_owned()).or_default(),
        };
        total.requests += one.requests;
        total.input_tokens += one.input_tokens;
        total.output_tokens += one.output_tokens;
        total.nano += one.nano;
    }
}

#[derive(Default)]
struct Pages {
    started: u64,
    open: HashMap<u64, Arc<Meter>>,
    ended: Bill,
    log: VecDeque<Seen>,
    cancelled: Vec<u64>,
}

/// All requests of one simulator.
pub(super) struct Book {
    pages: Mutex<Pages>,
    keep: usize,
    changed: watch::Sender<()>,
}

impl Book {
    pub(super) fn new(keep: usize) -> Arc<Self> {
        Arc::new(Self { pages: Mutex::default(), keep, changed: watch::Sender::new(()) })
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request arrives.
    pub(super) fn open(self: &Arc<Self>, surface: Surface, parts: &http::request::Parts, body: Bytes) -> Flight {
        let meter = Arc::new(Meter::default());
        let id = {
            let mut pages = self.pages();
            pages.started += 1;
            let id = pages.started;
            pages.open.insert(id, Arc::clone(&meter));
            id
        };
        self.changed.send_replace(());
        let headers = if self.keep == 0 {
            BTreeMap::new()
        } else {
            let secret = |name: &str| matches!(name, "authorization" | "x-amz-security-token");
            let shown = parts.headers.iter().filter(|(name, _)| !secret(name.as_str()));
            shown
                .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
                .collect()
        };
        let seen = Seen {
            id,
            surface,
            path: parts.uri.path().to_owned(),
            headers,
            body,
            client: None,
            model: None,
            stream: false,
            status: 0,
            error: None,
            outcome: Outcome::Cancelled,
            events: 0,
            input_tokens: 0,
            output_tokens: 0,
            nano: 0,
            started_ms: now_ms(),
            ended_ms: 0,
        };
        Flight { book: Arc::clone(self), meter, seen: Some(seen) }
    }

    pub(super) fn bill(&self) -> Bill {
        let pages = self.pages();
        let mut bill = pages.ended.clone();
        pages.open.values().for_each(|meter| bill.add(meter));
        bill
    }

    pub(super) fn requests(&self) -> Vec<Seen> {
        self.pages().log.iter().cloned().collect()
    }

    pub(super) fn in_flight(&self) -> usize {
        self.pages().open.len()
    }

    pub(super) fn started(&self) -> u64 {
        self.pages().started
    }

    pub(super) fn cancelled(&self) -> Vec<u64> {
        self.pages().cancelled.clone()
    }

    pub(super) async fn wait_until(&self, mut enough: impl FnMut(u64, usize) -> bool) {
        let mut changed = self.changed.subscribe();
        let reached = || {
            let pages = self.pages();
            (pages.started, pages.open.len())
        };
        loop {
            changed.borrow_and_update();
            let (started, in_flight) = reached();
            if enough(started, in_flight) {
                return;
            }
            if changed.changed().await.is_err() {
                return;
            }
        }
    }

    fn close(&self, meter: &Meter, mut seen: Seen) {
        seen.ended_ms = now_ms();
        seen.events = meter.events.load(Relaxed);
        if let (Some(charge), Some((_, bill))) = (meter.charge.get(), meter.bill()) {
            (seen.input_tokens, seen.output_tokens, seen.nano) = (charge.input, bill.output_tokens, bill.nano);
        }
        {
            let mut pages = self.pages();
            pages.open.remove(&seen.id);
            pages.ended.add(meter);
            if seen.outcome == Outcome::Cancelled {
                pages.cancelled.push(seen.ended_ms);
            }
            if self.keep > 0 {
                if pages.log.len() == self.keep {
                    pages.log.pop_front();
                }
                pages.log.push_back(seen);
            }
        }
        self.changed.send_replace(());
    }
}

/// One request being served. Dropped before [`Flight::end`], it counts as left by the client.
pub(super) struct Flight {
    book: Arc<Book>,
    meter: Arc<Meter>,
    seen: Option<Seen>,
}

impl Flight {
    pub(super) fn id(&self) -> u64 {
        self.seen.as_ref().map_or(0, |seen| seen.id)
    }

    /// Who sent it.
    pub(super) fn client(&self) -> Option<String> {
        self.seen.as_ref()?.client.clone()
    }

    pub(super) fn note(&mut self, change: impl FnOnce(&mut Seen)) {
        if let Some(seen) = &mut self.seen {
            change(seen);
        }
    }

    /// The model starts to read: from here on the request costs money.
    pub(super) fn charge(&mut self, charge: Charge) {
        // A request starts once; a second start would be a mistake in the caller and changes nothing.
        let _ = self.meter.charge.set(charge);
    }

    /// So many output tokens have been generated in all.
    pub(super) fn generated(&self, tokens: u64) {
        self.meter.output.store(tokens, Relaxed);
    }

    pub(super) fn sent_event(&self) {
        self.meter.events.fetch_add(1, Relaxed);
    }

    pub(super) fn end(&mut self, outcome: Outcome) {
        if let Some(mut seen) = self.seen.take() {
            seen.outcome = outcome;
            self.book.close(&self.meter, seen);
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.end(Outcome::Cancelled);
    }
}
