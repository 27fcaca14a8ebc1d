//! A cache, its Secrets and the store of this proxy in; where what it keeps is shared out, and what a person should know of what is not.

use crate::cache::{self, Vault};
use crate::source::{Secrets, Serving};
use crate::store::Store;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use tollway_core::table::{CACHE_SECRET, CACHE_SECRET_KEY, Cache, LimitScope, Route, SecretKey, SharedCache};

/// What was said already.
#[derive(Debug, Default)]
pub struct Told(Mutex<BTreeSet<String>>);

impl Told {
    /// Says each note of a route or an embedding endpoint once.
    pub fn tell(&self, place: &str, notes: Vec<String>) {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for note in notes {
            let line = format!("{place}: {note}");
            if !told.contains(&line) {
                tracing::warn!("{line}");
                told.insert(line);
            }
        }
    }
}

/// Where what a cache keeps is shared.
pub fn of(cache: Option<&Cache>, serving: &Serving, store: Option<&Arc<Store>>) -> Option<cache::Shared> {
    let SharedCache { key } = cache?.shared.as_ref()?;
    let store = store?;
    let namespace = &serving.table.namespace;
    let vault = match key {
        Some(key) => Vault::new(&given(key, &serving.secrets)?, namespace),
        None => Vault::new(&store.address().material(), namespace),
    };
    Some(cache::Shared { store: Arc::clone(store), vault: Arc::new(vault?) })
}

fn given(key: &SecretKey, secrets: &Secrets) -> Option<[u8; 32]> {
    cache::key(secrets.bytes(&key.name, &key.key)?)
}

/// What of a route is not shared as its manifest says, or not as well as it could be.
#[must_use]
pub fn notes(route: &Route, secrets: &Secrets, store: Option<&Store>) -> Vec<String> {
    let mut notes = Vec::new();
    if store.is_none() && route.rate_limits.iter().any(|limit| limit.scope == LimitScope::Global) {
        notes.push(
            "its limits with scope Global are kept by this proxy alone: start every proxy with the same --redis-url"
                .to_owned(),
        );
    }
    notes.extend(route.cache.as_ref().and_then(|cache| note(cache, "answers", secrets, store)));
    notes
}

/// Why a cache does not share what it keeps, called `what`, or not as well as it could.
#[must_use]
pub fn note(cache: &Cache, what: &str, secrets: &Secrets, store: Option<&Store>) -> Option<String> {
    let SharedCache { key } = cache.shared.as_ref()?;
    match (store, key) {
        (None, _) => Some(format!(
            "its {what} with scope Shared stay in this proxy: start every proxy with the same --redis-url"
        )),
        (Some(store), None) => {
            let which =
                if store.address().has_password() { "address and password" } else { "address (it has no password)" };
            Some(format!(
                "its shared {what} are encrypted under a key made from the {which} of Redis, which is only as secret as these: \
                 create Secret {CACHE_SECRET} whose key {CACHE_SECRET_KEY} holds 32 random bytes"
            ))
        }
        (Some(_), Some(key)) if secrets.bytes(&key.name, &key.key).is_some() && given(key, secrets).is_none() => {
            Some(format!(
                "its {what} are not shared: key {} of Secret {} must hold 32 bytes, raw or in base64",
                key.key, key.name
            ))
        }
        (Some(_), Some(_)) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{assistant, simulated, table};
    use crate::metrics::Metrics;
    use crate::store::{Address, TIMEOUT};
    use std::collections::BTreeMap;
    use tollway_core::table::{Per, RateLimit};

    fn sharing(key: bool) -> Route {
        let mut route = assistant(vec![("pretend", simulated("x"))]);
        let key = key.then(|| SecretKey { name: CACHE_SECRET.to_owned(), key: CACHE_SECRET_KEY.to_owned() });
        route.cache = Some(Cache { ttl_ms: 1_000, shared: Some(SharedCache { key }) });
        let limit =
            RateLimit { per: Per::Route, requests: Some(1), tokens: None, window_ms: 1_000, scope: LimitScope::Global };
        route.rate_limits = vec![limit];
        route
    }

    fn serving(route: Route, key: Option<&[u8]>) -> Serving {
        let data = key.map(|key| BTreeMap::from([(CACHE_SECRET_KEY.to_owned(), key.to_vec())]));
        let secrets = data.map(|data| BTreeMap::from([(CACHE_SECRET.to_owned(), data)])).unwrap_or_default();
        Serving { table: table(route), secrets: Arc::new(Secrets::from_bytes(secrets)), ..Serving::default() }
    }

    #[test]
    fn answers_are_shared_under_the_secrets_key_or_one_made_from_the_address_and_never_by_surprise() {
        let metrics = Metrics::new().unwrap();
        let store = Store::new(Address::parse("redis://:p@h").unwrap(), TIMEOUT, metrics.store().unwrap());
        let place = |secret: bool, value: Option<&[u8]>| {
            let serving = serving(sharing(secret), value);
            let shared = of(serving.table.routes["assistant"].cache.as_ref(), &serving, Some(&store));
            shared.map(|shared| shared.vault.place("x"))
        };
        let derived = place(false, None).unwrap();
        let given = place(true, Some(&[0xf7; 32])).unwrap();
        assert_ne!(derived, given);
        assert_eq!(place(false, Some(&[0xf7; 32])), Some(derived), "the table says which one it is");
        assert_eq!((place(true, None), place(true, Some(b"short"))), (None, None));
        let serving = serving(sharing(false), None);
        assert!(of(serving.table.routes["assistant"].cache.as_ref(), &serving, None).is_none());
    }

    #[test]
    fn a_person_is_told_what_is_not_shared() {
        let metrics = Metrics::new().unwrap();
        let store = Store::new(Address::parse("redis://h").unwrap(), TIMEOUT, metrics.store().unwrap());
        let said = |secret: bool, value: Option<&[u8]>, store: Option<&Store>| {
            let serving = serving(sharing(secret), value);
            notes(&serving.table.routes["assistant"], &serving.secrets, store).join("\n")
        };
        let alone = said(false, None, None);
        assert!(alone.contains("scope Global") && alone.contains("scope Shared"), "{alone}");
        assert!(said(false, None, Some(&store)).contains("no password"));
        assert!(said(true, Some(b"short"), Some(&store)).contains("must hold 32 bytes"));
        assert_eq!(said(true, Some(&[1; 32]), Some(&store)), "");
    }
}
