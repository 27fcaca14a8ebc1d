//! The names of answers or vectors in; those that another proxy kept under them, or none whatever went wrong, out.

use super::vault::{self, Vault};
use super::{Kept, LARGEST};
use crate::store::{Operation, Store};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;

/// Longest name of a target.
const NAME: usize = 253;

/// Names asked for in one go.
const AT_ONCE: usize = 128;

/// Where the answers of one route, or the vectors of one endpoint, are shared.
#[derive(Clone, Debug)]
pub struct Shared {
    pub store: Arc<Store>,
    pub vault: Arc<Vault>,
}

impl Shared {
    /// The answer known as `key`, with the age it may still reach; at most `most`.
    pub async fn get(&self, key: &str, most: Duration) -> Option<Kept> {
        self.get_all(&[key.to_owned()], most).await.pop().flatten()
    }

    /// One for each key, in their order. The first operation that fails leaves the rest out.
    pub async fn get_all(&self, keys: &[String], most: Duration) -> Vec<Option<Kept>> {
        let mut all = Vec::with_capacity(keys.len());
        for keys in keys.chunks(AT_ONCE) {
            let places: Vec<String> = keys.iter().map(|key| self.vault.place(key)).collect();
            let found = self.store.ask(Operation::Get, async |mut link| {
                // Whatever stands there, no more is read than an answer of ours may have.
                let mut pipe = redis::pipe();
                for place in &places {
                    pipe.cmd("GETRANGE").arg(place).arg(0).arg(vault::size(LARGEST, NAME));
                    pipe.cmd("PTTL").arg(place);
                }
                pipe.query_async::<Vec<redis::Value>>(&mut link).await
            });
            let Ok(found) = found.await else { break };
            let mut found = found.into_iter();
            all.extend(places.iter().map(|place| {
                let (value, left) = (found.next()?, found.next()?);
                let value: Vec<u8> = redis::from_redis_value(value).ok()?;
                let left: i64 = redis::from_redis_value(left).ok()?;
                // Everything of ours comes to an end.
                let left = Duration::from_millis(u64::try_from(left).ok().filter(|left| *left > 0)?);
                let (target, body) = self.vault.open(place, value)?;
                Some(Kept { body, target, age: left.min(most) })
            }));
        }
        all.resize_with(keys.len(), || None);
        all
    }

    /// Keeps answers for the other proxies, each under its key. Nobody waits for it.
    pub fn keep(self, answers: Vec<(String, Bytes)>, target: &str, age: Duration) {
        let target = target.to_owned();
        tokio::spawn(async move {
            let Self { store, vault } = self;
            let age = u64::try_from(age.as_millis()).unwrap_or(u64::MAX).max(1);
            for answers in answers.chunks(AT_ONCE) {
                let mut pipe = redis::pipe();
                for (key, body) in answers {
                    let place = vault.place(key);
                    let Some(value) = vault.seal(&place, &target, body) else { return };
                    pipe.cmd("SET").arg(&place).arg(value).arg("PX").arg(age).ignore();
                }
                // The next proxy that needs them asks upstream, and tries again to keep them.
                let kept = store.ask(Operation::Set, async |mut link| pipe.exec_async(&mut link).await).await;
                if kept.is_err() {
                    return;
                }
            }
        });
    }
}
