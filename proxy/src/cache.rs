//! A request in, the answer that exactly the same request of the same caller got before out; from memory, with an end to both size and age,
//! and where the route says so from what another proxy kept.
//!
//! # What is the same
//! The route with everything in it (targets, parameters, bundle), the rule, the dialect and path, every byte of the body, vendors' own
//! headers, and who asks. So an answer never crosses a namespace, a client or a user, and a change of the route starts anew.

mod shared;
mod vault;

pub use shared::Shared;
pub use vault::{Vault, key};

use crate::auth::Caller;
use bytes::Bytes;
use http::HeaderMap;
use http::header::CACHE_CONTROL;
use moka::Expiry;
use moka::sync::Cache;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tollway_core::wire;

/// Bytes of all answers kept, unless the command line says otherwise.
pub const CAPACITY: u64 = 100 * 1024 * 1024;
/// Bytes of the largest answer that is kept.
const LARGEST: usize = 1024 * 1024;
/// What one entry costs beside its answer.
const OVERHEAD: usize = 512;

/// Every answer that is kept.
#[derive(Clone, Debug)]
pub struct Answers(Cache<String, Arc<Kept>>);

/// A complete answer, as its client got it.
#[derive(Debug)]
pub struct Kept {
    pub body: Bytes,
    /// Who gave it.
    pub target: String,
    /// How long it may be kept still.
    pub age: Duration,
}

/// What makes two requests the same.
#[derive(Clone, Copy, Debug)]
pub struct Sameness<'a> {
    pub namespace: &'a str,
    pub route: &'a str,
    /// Of the route with everything in it.
    pub fingerprint: &'a str,
    pub rule: &'a str,
    pub dialect: &'a str,
    pub path: &'a str,
    pub caller: &'a Caller,
    pub body: &'a [u8],
}

/// Who had an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    Memory,
    Shared,
}

/// Where the answer to one request belongs.
#[derive(Debug)]
pub struct Place {
    answers: Answers,
    key: String,
    age: Duration,
    shared: Option<Shared>,
    /// The client takes an answer that was given before.
    reads: bool,
}

/// A stream on its way, remembered.
#[derive(Debug)]
pub struct Recording {
    place: Place,
    target: String,
    bytes: Vec<u8>,
    fits: bool,
}

struct Ages;

impl Expiry<String, Arc<Kept>> for Ages {
    fn expire_after_create(&self, _: &String, kept: &Arc<Kept>, _: Instant) -> Option<Duration> {
        Some(kept.age)
    }

    fn expire_after_update(&self, _: &String, kept: &Arc<Kept>, _: Instant, _: Option<Duration>) -> Option<Duration> {
        Some(kept.age)
    }
}

impl Answers {
    #[must_use]
    pub fn new(capacity: u64) -> Self {
        let weight = |_: &String, kept: &Arc<Kept>| u32::try_from(kept.body.len() + OVERHEAD).unwrap_or(u32::MAX);
        Self(Cache::builder().max_capacity(capacity).weigher(weight).expire_after(Ages).build())
    }

    /// The place of an answer; `None` when the client wants nothing of it kept.
    #[must_use]
    pub fn place(
        &self,
        age: Duration,
        shared: Option<&Shared>,
        headers: &HeaderMap,
        same: &Sameness<'_>,
    ) -> Option<Place> {
        let said = |wanted: &str| {
            let values = headers.get_all(CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
            values.flat_map(|value| value.split(',')).any(|part| part.trim().eq_ignore_ascii_case(wanted))
        };
        if said("no-store") {
            return None;
        }
        let reads = !said("no-cache") && !said("max-age=0");
        Some(Place { answers: self.clone(), key: same.key(headers), age, shared: shared.cloned(), reads })
    }
}

/// Beginnings of the names of headers that reach a target and change its answer.
const VENDORS: [&str; 2] = ["anthropic-", "x-amzn-bedrock-"];

impl Sameness<'_> {
    fn key(&self, headers: &HeaderMap) -> String {
        let Self { namespace, route, fingerprint, rule, dialect, path, caller, body } = *self;
        let client = caller.client.as_deref().map_or_else(String::new, |client| format!("c{client}"));
        let user = caller.user.as_deref().map_or_else(String::new, |user| format!("u{user}"));
        let mut text = Vec::with_capacity(body.len() + 512);
        for part in [namespace, route, fingerprint, rule, dialect, path, &client, &user] {
            // Lengths keep one part from running into the next.
            text.extend_from_slice(&part.len().to_be_bytes());
            text.extend_from_slice(part.as_bytes());
        }
        // Vendors' own headers change what is answered: a guardrail, a beta.
        let vendors = headers.iter().filter(|(name, _)| VENDORS.iter().any(|prefix| name.as_str().starts_with(prefix)));
        let mut vendors: Vec<_> = vendors.map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        vendors.sort_unstable();
        for part in vendors.into_iter().flat_map(|(name, value)| [name.as_bytes(), value]).chain([body]) {
            text.extend_from_slice(&part.len().to_be_bytes());
            text.extend_from_slice(part);
        }
        wire::digest(&text)
    }
}

impl Place {
    /// The answer that was given before, by this proxy or by another one.
    pub async fn get(&self) -> Option<(Arc<Kept>, From)> {
        if !self.reads {
            return None;
        }
        if let Some(kept) = self.answers.0.get(&self.key) {
            return Some((kept, From::Memory));
        }
        let kept = Arc::new(self.shared.as_ref()?.get(&self.key, self.age).await?);
        self.answers.0.insert(self.key.clone(), Arc::clone(&kept));
        Some((kept, From::Shared))
    }

    /// Keeps a complete answer.
    pub fn keep(self, body: &Bytes, target: &str) {
        if body.len() <= LARGEST {
            // A copy: the bytes may be a small part of a large buffer.
            let body = Bytes::copy_from_slice(body);
            if let Some(shared) = self.shared {
                shared.keep(vec![(self.key.clone(), body.clone())], target, self.age);
            }
            let kept = Kept { body, target: target.to_owned(), age: self.age };
            self.answers.0.insert(self.key, Arc::new(kept));
        }
    }

    /// Keeps a stream that is about to begin, when it comes to its end.
    #[must_use]
    pub fn record(self, target: &str) -> Recording {
        Recording { place: self, target: target.to_owned(), bytes: Vec::new(), fits: true }
    }
}

impl Recording {
    /// The client got these bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.fits &= self.bytes.len() + bytes.len() <= LARGEST;
        if self.fits {
            self.bytes.extend_from_slice(bytes);
        } else {
            self.bytes = Vec::new();
        }
    }

    /// The answer is complete.
    pub fn keep(self) {
        if self.fits {
            self.place.keep(&self.bytes.into(), &self.target);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(change: impl FnOnce(&mut Sameness<'_>)) -> String {
        let caller = Caller::default();
        let mut same = Sameness {
            namespace: "team",
            route: "r",
            fingerprint: "f",
            rule: "0",
            dialect: "openai",
            path: "/",
            caller: &caller,
            body: b"{}",
        };
        change(&mut same);
        same.key(&HeaderMap::new())
    }

    #[test]
    fn whatever_differs_makes_another_answer() {
        let ann = Caller { client: None, user: Some("ann".to_owned()) };
        let client = Caller { client: Some("ann".to_owned()), user: None };
        let mut keys = vec![
            key(|_| {}),
            key(|s| s.namespace = "other"),
            key(|s| s.route = "rf"),
            key(|s| (s.route, s.fingerprint) = ("", "rf")),
            key(|s| s.fingerprint = "g"),
            key(|s| s.rule = "1"),
            key(|s| s.dialect = "bedrock"),
            key(|s| s.path = "/x"),
            key(|s| s.body = b"{ }"),
        ];
        for caller in [&ann, &client] {
            let base = Sameness {
                namespace: "team",
                route: "r",
                fingerprint: "f",
                rule: "0",
                dialect: "openai",
                path: "/",
                caller,
                body: b"{}",
            };
            keys.push(base.key(&HeaderMap::new()));
            for (name, value) in [("x-amzn-bedrock-guardrailidentifier", "g"), ("anthropic-beta", "b")] {
                keys.push(base.key(&[(name.parse().unwrap(), value.parse().unwrap())].into_iter().collect()));
            }
        }
        let count = keys.len();
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), count);
    }
}
