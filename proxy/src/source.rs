//! Where the table comes from: every source fills one `Live` cell, and the request path reads it without a lock.

pub mod channel;
pub mod disk;
pub mod folder;

use arc_swap::ArcSwapOption;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use tollway_core::table::Table;

/// What is served just now; empty on a first start until a table arrives.
pub type Live = Arc<ArcSwapOption<Serving>>;

/// One accepted table and what came beside it; replaced whole at every change.
#[derive(Clone, Debug, Default)]
pub struct Serving {
    /// Rises with every change; 0 for a table that a folder gave before any edit.
    pub revision: u64,
    /// Digest of the table's canonical bytes.
    pub digest: String,
    pub table: Table,
    /// Routes of the table that this proxy cannot serve, with the reason: 503 for them, the rest applies.
    pub unserved: BTreeMap<String, String>,
    pub secrets: Arc<Secrets>,
}

/// How the source is doing, for `/status`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Whether the operator's stream stands, or the folder could be read.
    pub connected: bool,
    /// The operator's address, or the folder.
    pub place: String,
    /// What is wrong just now, one line each.
    pub problems: Vec<String>,
}

/// Secrets by name and key, in memory only: neither `Debug` nor any page shows a value.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secrets {
    text: BTreeMap<String, BTreeMap<String, String>>,
    /// What is no text: keys of ciphers.
    binary: BTreeMap<String, BTreeMap<String, Vec<u8>>>,
}

impl Secrets {
    #[must_use]
    pub fn new(secrets: BTreeMap<String, BTreeMap<String, String>>) -> Self {
        Self { text: secrets, binary: BTreeMap::new() }
    }

    /// Values as a Secret has them; one that is not text can be no API key, and a line end that an editor left is no part of one.
    #[must_use]
    pub fn from_bytes(secrets: BTreeMap<String, BTreeMap<String, Vec<u8>>>) -> Self {
        let mut found = Self::default();
        for (name, data) in secrets {
            let text = found.text.entry(name.clone()).or_default();
            for (key, value) in data {
                match String::from_utf8(value) {
                    Ok(value) => _ = text.insert(key, value.trim_end_matches(['\r', '\n']).to_owned()),
                    Err(error) => {
                        found.binary.entry(name.clone()).or_default().insert(key, error.into_bytes());
                    }
                }
            }
        }
        found
    }

    /// The value of one key of one Secret, text or not.
    #[must_use]
    pub fn bytes(&self, name: &str, key: &str) -> Option<&[u8]> {
        let text = self.get(name, key).map(str::as_bytes);
        text.or_else(|| self.binary.get(name)?.get(key).map(Vec::as_slice))
    }

    /// The value of one key of one Secret; `None` while either is missing.
    #[must_use]
    pub fn get(&self, name: &str, key: &str) -> Option<&str> {
        self.text.get(name)?.get(key).map(String::as_str)
    }

    /// Every key of one Secret with its value; of an `apiKeys` Secret these are the clients. `None` while the Secret is missing.
    #[must_use]
    pub fn all(&self, name: &str) -> Option<&BTreeMap<String, String>> {
        self.text.get(name)
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = |of: &BTreeMap<String, String>| of.keys().cloned().collect::<Vec<_>>();
        f.debug_map().entries(self.text.iter().map(|(name, data)| (name, keys(data)))).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets() -> Secrets {
        let data = BTreeMap::from([("apiKey".to_owned(), "sk-very-secret".to_owned())]);
        Secrets::new(BTreeMap::from([("openai".to_owned(), data)]))
    }

    #[test]
    fn a_secret_is_found_by_name_and_key() {
        assert_eq!(secrets().get("openai", "apiKey"), Some("sk-very-secret"));
        assert_eq!((secrets().get("openai", "other"), secrets().get("other", "apiKey")), (None, None));
    }

    #[test]
    fn a_value_loses_its_line_end_and_must_be_text() {
        let data = BTreeMap::from([("apiKey".to_owned(), b"sk-1\n".to_vec()), ("binary".to_owned(), vec![0xff])]);
        let secrets = Secrets::from_bytes(BTreeMap::from([("openai".to_owned(), data)]));
        assert_eq!((secrets.get("openai", "apiKey"), secrets.get("openai", "binary")), (Some("sk-1"), None));
        assert_eq!(secrets.bytes("openai", "binary"), Some([0xff].as_slice()));
        assert_eq!(secrets.bytes("openai", "apiKey"), Some(b"sk-1".as_slice()));
        assert!(!format!("{secrets:?}").contains("255"));
    }

    #[test]
    fn debug_output_names_keys_and_never_a_value() {
        let shown = format!("{:?}", Serving { secrets: Arc::new(secrets()), ..Serving::default() });
        assert!(shown.contains("apiKey") && !shown.contains("very-secret"), "{shown}");
    }
}
