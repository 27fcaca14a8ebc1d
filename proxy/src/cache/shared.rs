//! The place of an answer in; the answer that another proxy kept there, or none whatever went wrong, out.

use super::vault::{self, Vault};
use super::{Kept, LARGEST};
use crate::store::{Operation, Store};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;

/// Longest name of a target.
const NAME: usize = 253;

/// Where the answers of one route are shared.
#[derive(Clone, Debug)]
pub struct Shared {
    pub store: Arc<Store>,
    pub vault: Arc<Vault>,
}

impl Shared {
    /// The answer known as `key`, with the age it may still reach; at most `most`.
    pub async fn get(&self, key: &str, most: Duration) -> Option<Kept> {
        let place = self.vault.place(key);
        let found = self.store.ask(Operation::Get, async |mut link| {
            // Whatever stands there, no more is read than an answer of ours may have.
            let mut both = redis::pipe();
            both.cmd("GETRANGE").arg(&place).arg(0).arg(vault::size(LARGEST, NAME));
            both.cmd("PTTL").arg(&place);
            both.query_async::<(Vec<u8>, i64)>(&mut link).await
        });
        let (value, left) = found.await.ok()?;
        // Everything of ours comes to an end.
        let left = Duration::from_millis(u64::try_from(left).ok().filter(|left| *left > 0)?);
        let (target, body) = self.vault.open(&place, value)?;
        Some(Kept { body, target, age: left.min(most) })
    }

    /// Keeps an answer for the other proxies. Nobody waits for it.
    pub fn keep(self, key: &str, body: Bytes, target: &str, age: Duration) {
        let (key, target) = (key.to_owned(), target.to_owned());
        tokio::spawn(async move {
            let Self { store, vault } = self;
            let place = vault.place(&key);
            let Some(value) = vault.seal(&place, &target, &body) else { return };
            let age = u64::try_from(age.as_millis()).unwrap_or(u64::MAX).max(1);
            // The next proxy that needs it asks upstream, and tries again to keep it.
            let _ = store
                .ask(Operation::Set, async |mut link| {
                    redis::cmd("SET").arg(&place).arg(value).arg("PX").arg(age).exec_async(&mut link).await
                })
                .await;
        });
    }
}
