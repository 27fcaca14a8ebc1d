//! Embedding endpoints: a request's texts in; their vectors out, from the cache and from batches that are shared with other requests.
//!
//! # The way of a text
//! Prepared, looked up among the vectors that are kept, reserved (`tab`), queued with the texts of others (`queue`), sent in a batch
//! (`batch`, `call`), its vector checked and scaled (`read`), kept, and written in the order of the request (`answer`, `lines`).

mod answer;
mod batch;
mod call;
mod cold;
pub mod endpoint;
pub mod jobs;
mod lines;
mod payload;
mod queue;
pub mod read;
mod sagemaker;
mod tab;
mod text;
pub mod vectors;

pub use answer::{Answered, Form};
pub use lines::Lines;

use crate::access::Entry;
use crate::cache::Shared;
use crate::error::ApiError;
use crate::metrics::Kept;
use crate::stack::Proxy;
use crate::stack::respond::Reply;
use answer::Assembly;
use bytes::Bytes;
use endpoint::Endpoint;
use http::StatusCode;
use queue::{Done, Item};
use std::collections::hash_map::Entry as Place;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tab::Tab;
use tokio::time::timeout_at;
use tollway_core::spend::bounds::input_tokens;
use tollway_core::spend::{Nano, Shape, Usage};
use vectors::Key;

/// What a client asks of an embedding endpoint.
#[derive(Debug)]
pub struct Asked {
    pub texts: Vec<String>,
    pub form: Form,
    /// The client takes vectors that were made before.
    pub reads_cache: bool,
}

/// Answers one request.
///
/// # Errors
/// The request is at fault, a budget refuses it, or no source gives its vectors.
pub async fn serve(
    proxy: &Arc<Proxy>,
    endpoint: &Arc<Endpoint>,
    asked: Asked,
    user: Option<String>,
    entry: &mut Entry,
) -> Result<Reply, ApiError> {
    let Asked { texts, form, reads_cache } = asked;
    let config = &endpoint.config;
    let mut assembly = Assembly::new(texts.len(), form, config.cache.is_some());
    // Texts that are not at hand, each once, and where their vectors belong.
    let mut wanted: HashMap<Key, usize> = HashMap::new();
    let mut items: VecDeque<Item> = VecDeque::new();
    let mut prepared = Vec::with_capacity(texts.len());
    for (index, text) in texts.iter().enumerate() {
        let text = text::prepare(config, text);
        if text.is_empty() {
            return Err(
                ApiError::invalid(format!("text {index} is empty: leave it out")).param(format!("input[{index}]"))
            );
        }
        prepared.push((vectors::key(&endpoint.fingerprint, &text), text));
    }
    let at_hand =
        if reads_cache { recall(proxy, endpoint, prepared.iter().map(|(key, _)| *key)).await } else { HashMap::new() };
    for (index, (key, text)) in prepared.into_iter().enumerate() {
        if let Some(vector) = at_hand.get(&key).cloned() {
            assembly.put(index, vector);
            continue;
        }
        match wanted.entry(key) {
            Place::Occupied(first) => assembly.same(*first.get(), index),
            Place::Vacant(free) => {
                free.insert(items.len());
                assembly.awaits(index, key);
                let shape = Shape { bytes: text.len() as u64, texts: 1, ..Shape::default() };
                let bound = input_tokens(&config.bounds, &shape);
                items.push_back(Item { index: items.len(), text: text.into_owned(), bound });
            }
        }
    }
    endpoint.meter.texts_kept(assembly.kept() as u64);
    if config.cache.is_some() {
        endpoint.meter.cache(if items.is_empty() { Kept::Hit } else { Kept::Miss });
    }
    if items.is_empty() {
        // Nothing is asked of anybody, so no budget is asked either.
        return Ok(assembly.reply(endpoint, None));
    }
    let bound = items.iter().map(|item| item.bound).fold(0, u64::saturating_add);
    let worst = config.price.worst_case(bound, 0);
    let reservation = batch::reserve(proxy, endpoint, worst, user.as_deref()).await?;
    let tab = Tab::new(reservation, worst, config.price, user);
    let ends = entry.began + Duration::from_millis(config.timeouts.total_ms);
    let pending = endpoint.enqueue(Arc::clone(&tab), items, ends);
    batch::pump(proxy, endpoint);
    let mut running = Running { proxy: Arc::clone(proxy), endpoint: Arc::clone(endpoint), pending, tab, assembly };
    // The first word decides what the head of the answer says; a stream of lines begins with it.
    let lines = running.assembly.form().is_lines();
    while !running.assembly.is_complete() {
        let word = timeout_at(ends, running.pending.next()).await;
        let word = word.map_err(|_| late(&config.model))?;
        running.take(word, entry)?;
        if lines {
            let begun = running.assembly.head();
            return Ok(Reply::Lines(Box::new(Lines::new(running, begun))));
        }
    }
    let Running { endpoint, tab, assembly, .. } = running;
    Ok(assembly.reply(&endpoint, Some(&tab)))
}

/// The vectors that are kept of these texts, in memory or by another proxy.
async fn recall(proxy: &Proxy, endpoint: &Endpoint, keys: impl Iterator<Item = Key>) -> HashMap<Key, Bytes> {
    let mut at_hand = HashMap::new();
    let Some(cache) = &endpoint.config.cache else { return at_hand };
    let mut elsewhere = Vec::new();
    for key in keys {
        match proxy.vectors.get(&key) {
            Some(vector) => drop(at_hand.insert(key, vector)),
            None => elsewhere.push(key),
        }
    }
    let Some(shared) = endpoint.shared().filter(|_| !elsewhere.is_empty()) else { return at_hand };
    elsewhere.sort_unstable();
    elsewhere.dedup();
    let names: Vec<String> = elsewhere.iter().map(hex::encode).collect();
    let found = shared.get_all(&names, Duration::from_millis(cache.ttl_ms)).await;
    for (key, kept) in elsewhere.into_iter().zip(found) {
        let Some(kept) = kept else { continue };
        proxy.vectors.keep(key, &kept.body, kept.age);
        at_hand.insert(key, kept.body);
    }
    at_hand
}

fn late(model: &str) -> ApiError {
    let message = format!("{model:?} did not answer within the endpoint's time-outs");
    ApiError::upstream(StatusCode::GATEWAY_TIMEOUT, message)
}

/// A request some of whose texts are not embedded yet.
#[derive(Debug)]
pub struct Running {
    proxy: Arc<Proxy>,
    endpoint: Arc<Endpoint>,
    pending: endpoint::Pending,
    tab: Arc<Tab>,
    assembly: Assembly,
}

impl Running {
    /// Takes what a batch says.
    fn take(&mut self, word: Option<Done>, entry: &mut Entry) -> Result<(), ApiError> {
        match word {
            Some(Done::Vectors { vectors, source, attempts }) => {
                entry.attempts = entry.attempts.max(attempts);
                self.keep(&vectors, &source);
                entry.target = Some(source);
                for (number, vector) in vectors {
                    self.assembly.arrived(number, &vector);
                }
                Ok(())
            }
            Some(Done::Failed { error, source, attempts }) => {
                entry.attempts = entry.attempts.max(attempts);
                entry.target = source.or(entry.target.take());
                Err(error)
            }
            None => Err(ApiError::upstream(StatusCode::BAD_GATEWAY, "a batch ended without a word")),
        }
    }

    fn keep(&self, vectors: &[(usize, Bytes)], source: &str) {
        let Some(cache) = &self.endpoint.config.cache else { return };
        let age = Duration::from_millis(cache.ttl_ms);
        let named = vectors.iter().filter_map(|(number, vector)| Some((self.assembly.key(*number)?, vector)));
        let mut sharing = Vec::new();
        let shared = self.endpoint.shared();
        for (key, vector) in named {
            self.proxy.vectors.keep(key, vector, age);
            if shared.is_some() {
                // A copy: the bytes are a small part of a large answer.
                sharing.push((hex::encode(key), Bytes::copy_from_slice(vector)));
            }
        }
        if let Some(shared) = shared {
            Shared::clone(&shared).keep(sharing, source, age);
        }
    }
}

/// What a request came to, for its answer and the log.
fn bill(tab: Option<&Arc<Tab>>) -> (Option<Usage>, Nano) {
    // Nothing was asked of a source: nothing was used.
    tab.map_or((Some(Usage::default()), Nano::ZERO), |tab| (tab.usage(), tab.cost()))
}
