//! A text in, the vector that the same endpoint gave it before out; in memory, with an end to both size and age.

use bytes::Bytes;
use moka::Expiry;
use moka::sync::Cache;
use sha2::{Digest, Sha256};
use std::time::{Duration, Instant};

/// What one entry costs beside its vector.
const OVERHEAD: usize = 256;

/// Names one text of one endpoint.
pub type Key = [u8; 32];

/// Every vector that is kept.
#[derive(Clone, Debug)]
pub struct Vectors(Cache<Key, Kept>);

#[derive(Clone, Debug)]
struct Kept {
    vector: Bytes,
    age: Duration,
}

struct Ages;

impl Expiry<Key, Kept> for Ages {
    fn expire_after_create(&self, _: &Key, kept: &Kept, _: Instant) -> Option<Duration> {
        Some(kept.age)
    }

    fn expire_after_update(&self, _: &Key, kept: &Kept, _: Instant, _: Option<Duration>) -> Option<Duration> {
        Some(kept.age)
    }
}

/// The name of a text; `endpoint` is the fingerprint of everything that makes its vectors what they are.
#[must_use]
pub fn key(endpoint: &str, text: &str) -> Key {
    Sha256::new().chain_update(endpoint).chain_update([0]).chain_update(text).finalize().into()
}

impl Vectors {
    #[must_use]
    pub fn new(capacity: u64) -> Self {
        let weight = |_: &Key, kept: &Kept| u32::try_from(kept.vector.len() + OVERHEAD).unwrap_or(u32::MAX);
        Self(Cache::builder().max_capacity(capacity).weigher(weight).expire_after(Ages).build())
    }

    #[must_use]
    pub fn get(&self, key: &Key) -> Option<Bytes> {
        self.0.get(key).map(|kept| kept.vector)
    }

    pub fn keep(&self, key: Key, vector: &Bytes, age: Duration) {
        // A copy: the bytes are a small part of a large answer.
        self.0.insert(key, Kept { vector: Bytes::copy_from_slice(vector), age });
    }
}
