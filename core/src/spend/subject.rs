//! Names of users and clients in; whose share of a budget a request is charged to out: hashes, so that no name is stored or sent.
//!
//! # Why a hash hides no secret
//! Whoever may read ledgers can try a guessed name against it. It keeps names out of objects, messages and logs; it is no vault.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};
use std::fmt;
use std::str::FromStr;

/// Whose shares a grant or a request is charged to, besides the budget itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Subject {
    /// The user, where each has a share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<Who>,
    /// The client, where each has a share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<Who>,
}

/// One user or one client, by hash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Who(u64);

/// Kinds of shares inside a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Share {
    /// Of each user.
    User,
    /// Of each client.
    Client,
}

impl Subject {
    /// `None`: there are no shares of that kind. `Some(None)`: a request that says nobody's name; all of these have one share together.
    #[must_use]
    pub fn new(user: Option<Option<&str>>, client: Option<Option<&str>>) -> Self {
        Self { user: user.map(Who::named), client: client.map(Who::named) }
    }

    /// Nobody's in particular.
    #[must_use]
    pub const fn is_whole(self) -> bool {
        self.user.is_none() && self.client.is_none()
    }

    /// Whether shares of the same kinds are meant.
    #[must_use]
    pub const fn is_like(self, other: Self) -> bool {
        self.user.is_some() == other.user.is_some() && self.client.is_some() == other.client.is_some()
    }

    /// The one kind of share that it has, where it has just one.
    #[must_use]
    pub const fn only(self) -> Option<Share> {
        match (self.user, self.client) {
            (Some(_), None) => Some(Share::User),
            (None, Some(_)) => Some(Share::Client),
            _ => None,
        }
    }

    /// The user or the client.
    #[must_use]
    pub const fn of(self, share: Share) -> Option<Who> {
        match share {
            Share::User => self.user,
            Share::Client => self.client,
        }
    }
}

impl Who {
    fn named(name: Option<&str>) -> Self {
        let mut hash = Sha256::new();
        // Nobody is not the one whose name is empty.
        hash.update([u8::from(name.is_some())]);
        hash.update(name.unwrap_or_default());
        let first = hash.finalize().first_chunk().copied().unwrap_or_default();
        Self(u64::from_be_bytes(first))
    }

    /// One of `buckets`, where those share who find no place of their own.
    #[must_use]
    pub const fn bucket(self, buckets: u64) -> Self {
        Self(self.0 % buckets)
    }
}

/// Sixteen hexadecimal digits.
impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for Who {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u64::from_str_radix(text, 16).map(Self)
    }
}

/// Text, since Kubernetes keeps large integers as floats.
impl Serialize for Who {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Who {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|_| D::Error::custom(format!("{text:?} is not a hash of 16 hexadecimal digits")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn user(name: Option<&str>) -> Who {
        Subject::new(Some(name), None).user.unwrap()
    }

    #[test]
    fn names_are_told_apart_and_nobody_is_not_the_empty_name() {
        assert_eq!(user(Some("ann")), user(Some("ann")));
        assert_ne!(user(Some("ann")), user(Some("bob")));
        assert_ne!(user(None), user(Some("")));
        assert!(Subject::new(None, None).is_whole() && !Subject::new(None, Some(None)).is_whole());
    }

    #[test]
    fn what_is_stored_is_text_that_says_no_name() {
        let stored = serde_json::to_string(&BTreeMap::from([(user(Some("ann")), 5)])).unwrap();
        assert!(stored.len() == 22 && !stored.contains("ann"), "{stored}");
        let back: BTreeMap<Who, u64> = serde_json::from_str(&stored).unwrap();
        assert_eq!(back, BTreeMap::from([(user(Some("ann")), 5)]));
        assert!(serde_json::from_str::<Who>("\"ann\"").is_err());
        assert_eq!(user(None).to_string().parse(), Ok(user(None)));
    }
}
