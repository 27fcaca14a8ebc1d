//! A bearer token and a route's issuer in, who calls out: signature, issuer, audience and times are checked with the issuer's own keys.
//!
//! # When keys are fetched
//! At the first token, when a token names a key that is not known, and when the keys are old; never more often than every 10 s, so that
//! invented names cannot make the proxy a nuisance to the issuer. Keys that were read once stay in force while the issuer is away.

use super::{Caller, bearer, header_user, token_required};
use crate::error::{ApiError, Code};
use crate::upstream::{Policy, Upstream};
use arc_swap::ArcSwapOption;
use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full, Limited};
use jsonwebtoken::jwk::{Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::MutexGuard;
use tokio::time::{Instant, timeout};
use tollway_core::table::Auth;

/// Between two fetches at least.
const PAUSE: Duration = Duration::from_secs(10);
/// Keys older than this are read again, so that one that was withdrawn goes.
const FRESH: Duration = Duration::from_secs(300);
const CONNECT: Duration = Duration::from_secs(2);
const FETCH: Duration = Duration::from_secs(5);
/// Bytes of the largest key set.
const LARGEST: usize = 1024 * 1024;
const MOST_ISSUERS: usize = 256;
/// Seconds by which clocks may differ.
const SKEW: u64 = 60;

/// The keys of every issuer, by where they are read.
#[derive(Debug, Default)]
pub struct Tokens(Mutex<BTreeMap<String, Arc<Issuer>>>);

#[derive(Debug, Default)]
struct Issuer {
    keys: ArcSwapOption<Keys>,
    /// When keys were last asked for; whoever holds it is asking.
    asked: tokio::sync::Mutex<Option<Instant>>,
}

/// What one fetch gave.
struct Keys {
    keys: Vec<Key>,
    read: Instant,
}

struct Key {
    id: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|key| (&key.id, key.algorithm))).finish()
    }
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
}

/// What stands in a route.
#[derive(Clone, Copy)]
struct Expected<'a> {
    issuer: &'a str,
    audience: &'a str,
    trust_user_header: bool,
}

impl Tokens {
    /// Checks the caller of a route with `auth.jwt`; `None` for every other route.
    pub async fn authenticate(
        &self,
        auth: Option<&Auth>,
        headers: &HeaderMap,
        body_user: Option<&str>,
        way: (&Upstream, Policy),
    ) -> Option<Result<Caller, ApiError>> {
        let Some(Auth::Jwt { issuer, audience, jwks_uri, trust_user_header }) = auth else { return None };
        let expected = Expected { issuer, audience, trust_user_header: *trust_user_header };
        let known = self.issuer(jwks_uri);
        Some(check(&known, jwks_uri, expected, headers, body_user, way).await)
    }

    /// The same with the keys at hand, fetching nothing.
    pub fn at_hand(&self, auth: Option<&Auth>, headers: &HeaderMap) -> Option<Result<Caller, ApiError>> {
        let Some(Auth::Jwt { issuer, audience, jwks_uri, trust_user_header }) = auth else { return None };
        let expected = Expected { issuer, audience, trust_user_header: *trust_user_header };
        let keys = self.issuer(jwks_uri).keys.load_full();
        Some(token(headers).and_then(|token| {
            let keys = keys.ok_or_else(unreachable)?;
            keys.verify(token, expected, headers, None).unwrap_or_else(|| Err(unknown_key()))
        }))
    }

    fn issuer(&self, uri: &str) -> Arc<Issuer> {
        let mut issuers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(issuer) = issuers.get(uri) {
            return Arc::clone(issuer);
        }
        // Tables come and go; those in force are few and are read again.
        if issuers.len() >= MOST_ISSUERS {
            issuers.clear();
        }
        Arc::clone(issuers.entry(uri.to_owned()).or_default())
    }
}

async fn check(
    issuer: &Issuer,
    uri: &str,
    expected: Expected<'_>,
    headers: &HeaderMap,
    body_user: Option<&str>,
    (upstream, policy): (&Upstream, Policy),
) -> Result<Caller, ApiError> {
    let token = token(headers)?;
    let held = issuer.keys.load_full();
    let is_fresh = held.as_ref().is_some_and(|keys| keys.read.elapsed() < FRESH);
    let known = held.as_ref().and_then(|keys| keys.verify(token, expected, headers, body_user));
    let asked = match known {
        Some(known) if is_fresh => return known,
        // Old keys are read again by one request; the others go on with what there is.
        Some(known) => match issuer.asked.try_lock() {
            Ok(asked) => asked,
            Err(_) => return known,
        },
        None => issuer.asked.lock().await,
    };
    issuer.refresh(asked, held.as_ref(), uri, (upstream, policy)).await;
    let keys = issuer.keys.load_full().ok_or_else(unreachable)?;
    keys.verify(token, expected, headers, body_user).unwrap_or_else(|| Err(unknown_key()))
}

fn token(headers: &HeaderMap) -> Result<&[u8], ApiError> {
    headers.get(AUTHORIZATION).and_then(|value| bearer(value.as_bytes())).ok_or_else(token_required)
}

fn refused(why: &str) -> ApiError {
    ApiError::new(Code::InvalidApiKey, format!("the token is not accepted: {why}"))
}

fn unknown_key() -> ApiError {
    refused("none of the issuer's keys has signed it")
}

fn unreachable() -> ApiError {
    ApiError::new(Code::NotReady, "the keys of this route's issuer could not be read yet; try again in a moment")
}

impl Keys {
    /// Who the token is for; `None` when it names a key that is not here.
    fn verify(
        &self,
        token: &[u8],
        expected: Expected<'_>,
        headers: &HeaderMap,
        body_user: Option<&str>,
    ) -> Option<Result<Caller, ApiError>> {
        let Ok(header) = decode_header(token) else { return Some(Err(refused("it is no signed token"))) };
        if !matches!(header.alg, Algorithm::RS256 | Algorithm::ES256) {
            return Some(Err(refused("it is signed neither by RS256 nor by ES256")));
        }
        let mut validation = Validation::new(header.alg);
        validation.leeway = SKEW;
        validation.validate_nbf = true;
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.set_issuer(&[expected.issuer]);
        validation.set_audience(&[expected.audience]);
        let named = |key: &&Key| key.algorithm == header.alg && (header.kid.is_none() || key.id == header.kid);
        let mut candidates = self.keys.iter().filter(named).peekable();
        candidates.peek()?;
        let mut last = None;
        for key in candidates {
            match decode::<Claims>(token, &key.key, &validation) {
                Ok(token) if token.claims.sub.is_empty() => return Some(Err(refused("its subject is empty"))),
                Ok(token) => {
                    let client = token.claims.sub;
                    let said = header_user(headers).or(body_user).filter(|_| expected.trust_user_header);
                    let user = said.map_or_else(|| client.clone(), str::to_owned);
                    return Some(Ok(Caller { client: Some(client), user: Some(user) }));
                }
                Err(error) => last = Some(error),
            }
        }
        Some(Err(refused(&last?.to_string())))
    }

    /// Reads a key set; keys of kinds that are not accepted are left out.
    fn read(body: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<serde_json::Value>,
        }
        let set: Set = serde_json::from_slice(body).map_err(|error| format!("it is no key set: {error}"))?;
        let read = |value: serde_json::Value| {
            let (kind, curve) = (value["kty"].as_str()?.to_owned(), value["crv"].as_str().map(str::to_owned));
            let key: Jwk = serde_json::from_value(value).ok()?;
            let algorithm = match (kind.as_str(), curve.as_deref()) {
                ("RSA", _) => Algorithm::RS256,
                ("EC", Some("P-256")) => Algorithm::ES256,
                _ => return None,
            };
            let other = match key.common.key_algorithm {
                Some(KeyAlgorithm::RS256) => algorithm != Algorithm::RS256,
                Some(KeyAlgorithm::ES256) => algorithm != Algorithm::ES256,
                Some(_) => true,
                None => false,
            };
            let signs = key.common.public_key_use.as_ref().is_none_or(|of| *of == PublicKeyUse::Signature);
            let decoding = DecodingKey::from_jwk(&key).ok().filter(|_| signs && !other)?;
            Some(Key { id: key.common.key_id, algorithm, key: decoding })
        };
        let keys: Vec<Key> = set.keys.into_iter().filter_map(read).collect();
        if keys.is_empty() {
            Err("it has no RSA or P-256 key for signatures".to_owned())
        } else {
            Ok(Self { keys, read: Instant::now() })
        }
    }
}

impl Issuer {
    /// Reads the keys again, unless that was done since `held` or tried a moment ago.
    async fn refresh(
        &self,
        mut asked: MutexGuard<'_, Option<Instant>>,
        held: Option<&Arc<Keys>>,
        uri: &str,
        (upstream, policy): (&Upstream, Policy),
    ) {
        let now = self.keys.load_full();
        let is_newer = match (&now, held) {
            (Some(now), Some(held)) => !Arc::ptr_eq(now, held),
            (now, _) => now.is_some(),
        };
        if is_newer || asked.is_some_and(|at| at.elapsed() < PAUSE) {
            return;
        }
        *asked = Some(Instant::now());
        let read =
            timeout(FETCH, fetch(uri, upstream, policy)).await.unwrap_or_else(|_| Err("no answer in time".to_owned()));
        match read.and_then(|body| Keys::read(&body)) {
            Ok(keys) => self.keys.store(Some(Arc::new(keys))),
            Err(error) => tracing::warn!(uri, error, "the keys of an issuer could not be read"),
        }
    }
}

async fn fetch(uri: &str, upstream: &Upstream, policy: Policy) -> Result<Bytes, String> {
    let request = Request::get(uri).header("accept", "application/json").body(Full::default());
    let response = upstream.send(request.map_err(|error| error.to_string())?, policy, CONNECT).await;
    let response = response.map_err(|error| error.to_string())?;
    if !response.status().is_success() {
        return Err(format!("the answer is {}", response.status()));
    }
    let body = Limited::new(response.into_body(), LARGEST).collect().await;
    body.map(http_body_util::Collected::to_bytes).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
