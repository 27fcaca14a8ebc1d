//! Keys that need work in; each once, however often it was marked, out.

use std::collections::BTreeSet;
use std::sync::Mutex;
use tokio::sync::Notify;

/// A set of keys that somebody waits for.
pub struct Dirty<K> {
    keys: Mutex<BTreeSet<K>>,
    wake: Notify,
}

impl<K: Ord> Default for Dirty<K> {
    fn default() -> Self {
        Dirty { keys: Mutex::default(), wake: Notify::new() }
    }
}

impl<K: Ord> Dirty<K> {
    /// Notes that a key needs work.
    pub fn mark(&self, key: K) {
        self.keys.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).insert(key);
        self.wake.notify_one();
    }

    /// Everything marked since the last call; waits until there is something. Only one task may wait.
    pub async fn take(&self) -> BTreeSet<K> {
        loop {
            let wake = self.wake.notified();
            let keys = std::mem::take(&mut *self.keys.lock().unwrap_or_else(|poisoned| poisoned.into_inner()));
            if !keys.is_empty() {
                return keys;
            }
            wake.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn marks_coalesce_and_are_not_lost() {
        let dirty = Dirty::default();
        dirty.mark("b");
        dirty.mark("a");
        dirty.mark("a");
        assert_eq!(dirty.take().await, BTreeSet::from(["a", "b"]));
        dirty.mark("c");
        assert_eq!(dirty.take().await, BTreeSet::from(["c"]));
    }
}
