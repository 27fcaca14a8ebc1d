//! An answer and its place in; bytes that only a proxy with the same key can read, and at that place only, out; and back.
//!
//! # Why a key for each place
//! AES-256-GCM breaks when a nonce is used twice under one key. Nonces are drawn at random, so the answers of one key must be few: each place
//! has its own, made from the one that is given and the place. The place is authenticated too, so no value can stand in for another.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::{hkdf, hmac, rand};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use bytes::Bytes;
use std::fmt;

/// Form of a value; another one is another version's.
const FORM: u8 = 1;
/// Bytes of a key that is given.
const KEY: usize = 32;
/// What a value has beside an answer and the name of its target.
const AROUND: usize = 1 + NONCE_LEN + 2 + 16;

/// The keys of one namespace.
pub struct Vault {
    namespace: String,
    places: hmac::Key,
    values: hkdf::Prk,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

/// The key that a Secret holds: 32 bytes, as they are or in base64.
#[must_use]
pub fn key(value: &[u8]) -> Option<[u8; KEY]> {
    if let Ok(key) = value.try_into() {
        return Some(key);
    }
    let text = value.trim_ascii();
    let bytes = STANDARD.decode(text).or_else(|_| STANDARD_NO_PAD.decode(text)).ok()?;
    bytes.try_into().ok()
}

/// Bytes of a value whose answer and target's name have these.
#[must_use]
pub const fn size(answer: usize, target: usize) -> usize {
    AROUND + target + answer
}

impl Vault {
    /// Keys made from secret bytes; `None` when they cannot be made.
    #[must_use]
    pub fn new(material: &[u8], namespace: &str) -> Option<Self> {
        let values = hkdf::Salt::new(hkdf::HKDF_SHA256, b"tollway cache 1").extract(material);
        let places = hmac::Key::from(values.expand(&[b"places\0", namespace.as_bytes()], hmac::HMAC_SHA256).ok()?);
        Some(Self { namespace: namespace.to_owned(), places, values })
    }

    /// Where the answer known here as `key` is there; says nothing to whoever has not got the key.
    #[must_use]
    pub fn place(&self, key: &str) -> String {
        format!("tollway:{}:answer:{}", self.namespace, hex::encode(hmac::sign(&self.places, key.as_bytes())))
    }

    /// The value of an answer at its place.
    #[must_use]
    pub fn seal(&self, place: &str, target: &str, answer: &[u8]) -> Option<Vec<u8>> {
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).ok()?;
        let mut value = Vec::with_capacity(size(answer.len(), target.len()));
        value.extend_from_slice(&u16::try_from(target.len()).ok()?.to_be_bytes());
        value.extend_from_slice(target.as_bytes());
        value.extend_from_slice(answer);
        let tag = self
            .of(place)?
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(place.as_bytes()), &mut value)
            .ok()?;
        value.extend_from_slice(tag.as_ref());
        value.splice(0..0, std::iter::once(FORM).chain(nonce));
        Some(value)
    }

    /// The target and the answer that a value holds; `None` when it is not what a proxy with this key put at this place.
    #[must_use]
    pub fn open(&self, place: &str, mut value: Vec<u8>) -> Option<(String, Bytes)> {
        let (head, sealed) = value.split_at_mut_checked(1 + NONCE_LEN)?;
        let nonce = match head {
            [FORM, nonce @ ..] => Nonce::try_assume_unique_for_key(nonce).ok()?,
            _ => return None,
        };
        let plain = self.of(place)?.open_in_place(nonce, Aad::from(place.as_bytes()), sealed).ok()?;
        let (length, rest) = plain.split_first_chunk()?;
        let (target, answer) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        Some((String::from_utf8(target.to_vec()).ok()?, Bytes::copy_from_slice(answer)))
    }

    fn of(&self, place: &str) -> Option<LessSafeKey> {
        let info = [b"value\0".as_slice(), self.namespace.as_bytes(), b"\0", place.as_bytes()];
        Some(LessSafeKey::new(UnboundKey::from(self.values.expand(&info, &AES_256_GCM).ok()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn vault(material: &[u8], namespace: &str) -> Vault {
        Vault::new(material, namespace).unwrap()
    }

    #[test]
    fn a_key_is_32_bytes_as_they_are_or_in_base64() {
        let raw = [0xe5; KEY];
        assert_eq!(key(&raw), Some(raw));
        for text in [STANDARD.encode(raw), STANDARD_NO_PAD.encode(raw), format!("{}\n", STANDARD.encode(raw))] {
            assert_eq!(key(text.as_bytes()), Some(raw), "{text}");
        }
        assert!(key(b"0123456789abcdef0123456789abcdef").is_some(), "32 letters are 32 bytes");
        for bad in [b"".as_slice(), b"short", &[1; 31], &[1; 33], STANDARD.encode([1; 16]).as_bytes(), &[b'0'; 64]] {
            assert_eq!(key(bad), None);
        }
    }

    #[test]
    fn what_is_stored_says_nothing_and_differs_each_time() {
        let vault = vault(b"secret", "team");
        let place = vault.place("digest");
        let [one, other] = [(); 2].map(|()| vault.seal(&place, "nova", b"the answer is long enough").unwrap());
        assert_ne!(one, other);
        assert_eq!(one.len(), size(25, 4));
        for value in [&one, &other] {
            assert!(!value.windows(6).any(|part| part == b"answer") && !value.windows(4).any(|part| part == b"nova"));
        }
        assert!(place.starts_with("tollway:team:answer:") && !place.contains("digest"));
        assert_eq!(
            vault.open(&place, one),
            Some(("nova".to_owned(), Bytes::from_static(b"the answer is long enough")))
        );
    }

    #[test]
    fn another_key_namespace_or_place_opens_nothing() {
        let vaults = [vault(b"secret", "team"), vault(b"secret", "other"), vault(b"secreT", "team")];
        let places: std::collections::BTreeSet<_> = vaults.iter().map(|vault| vault.place("digest")).collect();
        assert_eq!(places.len(), 3);
        let [own, others @ ..] = &vaults;
        let place = own.place("digest");
        let value = own.seal(&place, "t", b"answer").unwrap();
        for other in others {
            assert_eq!(other.open(&place, value.clone()), None);
            assert_eq!(other.open(&other.place("digest"), value.clone()), None);
        }
        assert_eq!(own.open(&own.place("another"), value), None, "a value moved to another place");
    }

    proptest! {
        #[test]
        fn an_answer_comes_back_as_it_was(target in "[a-z-]{0,63}", answer in prop::collection::vec(any::<u8>(), 0..4_000)) {
            let vault = vault(b"secret", "team");
            let value = vault.seal("place", &target, &answer).unwrap();
            prop_assert_eq!(vault.open("place", value), Some((target, Bytes::from(answer))));
        }

        #[test]
        fn a_changed_value_is_none(answer in prop::collection::vec(any::<u8>(), 0..300), at in any::<prop::sample::Index>(), by in 1_u8..) {
            let vault = vault(b"secret", "team");
            let value = vault.seal("place", "target", &answer).unwrap();
            let at = at.index(value.len());
            let mut changed = value.clone();
            changed[at] ^= by;
            prop_assert_eq!(vault.open("place", changed), None);
            prop_assert_eq!(vault.open("place", value[..at].to_vec()), None);
        }

        #[test]
        fn garbage_is_none(value in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(vault(b"secret", "team").open("place", value), None);
        }
    }
}
