//! A route's rule on who may call and a request's headers in, who calls out. Pure, but for the keys of issuers, which `tokens` fetches.

mod signature;
pub mod tokens;

use crate::error::{ApiError, Code};
use crate::source::Secrets;
use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{HeaderMap, HeaderValue};
use std::time::SystemTime;
use tollway_core::table::Auth;

const USER: &str = "x-tollway-user";
const API_KEY: &str = "x-api-key";

/// Who calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// Name of the API key, where the route asks for one.
    pub client: Option<String>,
    /// End user that rules and limits go by.
    pub user: Option<String>,
}

/// Checks the caller. `body_user` is who the request's body says the end user is.
pub fn authenticate(
    auth: Option<&Auth>,
    secrets: &Secrets,
    headers: &HeaderMap,
    body_user: Option<&str>,
) -> Result<Caller, ApiError> {
    let said = header_user(headers).or(body_user).map(str::to_owned);
    let (secret, trust_user_header) = match auth {
        None => return Ok(Caller { client: None, user: said }),
        Some(Auth::ApiKeys { secret, trust_user_header }) => (secret, trust_user_header),
        // `Tokens` checks these; nobody comes in by another door.
        Some(Auth::Jwt { .. }) => return Err(token_required()),
    };
    let clients = secrets.all(secret).ok_or_else(not_at_hand)?;
    // Each vendor's own clients have their own place for it.
    let in_bearer = headers.get(AUTHORIZATION).and_then(|value| bearer(value.as_bytes()));
    let presented = in_bearer.or_else(|| headers.get(API_KEY).map(HeaderValue::as_bytes)).ok_or_else(|| {
        let message = "an API key is required: send it as Authorization: Bearer <key>, or as x-api-key";
        ApiError::new(Code::InvalidApiKey, message)
    })?;
    // Every key is compared, so that the time taken says nothing about which one came close.
    let found = clients.iter().fold(None, |found, (client, key)| {
        let equal = !key.is_empty() && equal_in_constant_time(key.as_bytes(), presented);
        if equal { Some(client) } else { found }
    });
    let client = found.ok_or_else(|| ApiError::new(Code::InvalidApiKey, "the API key is not known for this model"))?;
    let user = said.filter(|_| *trust_user_header).unwrap_or_else(|| client.clone());
    Ok(Caller { client: Some(client.clone()), user: Some(user) })
}

/// Whether the request comes with an AWS signature.
#[must_use]
pub fn is_signed(headers: &HeaderMap) -> bool {
    headers.get(AUTHORIZATION).is_some_and(|value| value.as_bytes().starts_with(signature::ALGORITHM.as_bytes()))
}

/// Checks a caller who signs as AWS's clients do: the access key id is the client's name, its secret the client's key.
/// Where the route asks for nobody's name, any signature is accepted unread.
pub fn by_signature(
    auth: Option<&Auth>,
    secrets: &Secrets,
    head: &Parts,
    body: &[u8],
    now: SystemTime,
) -> Result<Caller, ApiError> {
    let said = header_user(&head.headers).map(str::to_owned);
    let (secret, trust_user_header) = match auth {
        None => return Ok(Caller { client: None, user: said }),
        Some(Auth::ApiKeys { secret, trust_user_header }) => (secret, trust_user_header),
        Some(Auth::Jwt { .. }) => return Err(token_required()),
    };
    let clients = secrets.all(secret).ok_or_else(not_at_hand)?;
    let client = signature::verify(clients, head, body, now)?;
    let user = said.filter(|_| *trust_user_header).unwrap_or_else(|| client.clone());
    Ok(Caller { client: Some(client), user: Some(user) })
}

fn header_user(headers: &HeaderMap) -> Option<&str> {
    headers.get(USER).and_then(|value| value.to_str().ok()).filter(|user| !user.is_empty())
}

fn not_at_hand() -> ApiError {
    ApiError::new(Code::NotReady, "the API keys of this route are not at hand yet; try again in a moment")
}

fn token_required() -> ApiError {
    ApiError::new(Code::InvalidApiKey, "a token is required: send it as Authorization: Bearer <token>")
}

fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, key) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| key.trim_ascii())
}

/// Compares without stopping at the first difference; only the lengths may be told from the time.
fn equal_in_constant_time(a: &[u8], b: &[u8]) -> bool {
    let difference = a.iter().zip(b).fold(0_u8, |sum, (a, b)| std::hint::black_box(sum | (a ^ b)));
    a.len() == b.len() && difference == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn keys(trust_user_header: bool) -> Auth {
        Auth::ApiKeys { secret: "clients".to_owned(), trust_user_header }
    }

    fn secrets() -> Secrets {
        let data = [("shop", "key-of-shop"), ("desk", "key-of-desk"), ("empty", "")];
        let data = data.map(|(name, key)| (name.to_owned(), key.to_owned()));
        Secrets::new(BTreeMap::from([("clients".to_owned(), BTreeMap::from(data))]))
    }

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    fn code(auth: &Auth, secrets: &Secrets, headers: &HeaderMap) -> Option<Code> {
        authenticate(Some(auth), secrets, headers, None).err().map(|error| error.code)
    }

    #[test]
    fn without_a_rule_anyone_may_call_and_is_believed() {
        let caller = authenticate(None, &secrets(), &headers(&[("x-tollway-user", "ann")]), Some("bob")).unwrap();
        assert_eq!(caller, Caller { client: None, user: Some("ann".to_owned()) });
        let caller = authenticate(None, &secrets(), &HeaderMap::new(), Some("bob")).unwrap();
        assert_eq!(caller.user.as_deref(), Some("bob"));
    }

    #[test]
    fn a_key_names_the_client_and_the_user_counts_only_when_trusted() {
        let sent = headers(&[("authorization", "bearer key-of-desk"), ("x-tollway-user", "ann")]);
        let user = |trust| authenticate(Some(&keys(trust)), &secrets(), &sent, None).unwrap();
        assert_eq!(user(false), Caller { client: Some("desk".to_owned()), user: Some("desk".to_owned()) });
        assert_eq!(user(true), Caller { client: Some("desk".to_owned()), user: Some("ann".to_owned()) });
    }

    #[test]
    fn a_key_may_come_where_anthropic_s_clients_put_it() {
        let sent = headers(&[("x-api-key", "key-of-shop")]);
        let caller = authenticate(Some(&keys(false)), &secrets(), &sent, None).unwrap();
        assert_eq!(caller.client.as_deref(), Some("shop"));
        let sent = headers(&[("x-api-key", "key-of-sho")]);
        assert_eq!(code(&keys(false), &secrets(), &sent), Some(Code::InvalidApiKey));
    }

    #[test]
    fn missing_wrong_and_empty_keys_are_refused() {
        for value in ["", "Bearer", "Bearer ", "Bearer key-of-des", "Bearer key-of-desk2", "Basic key-of-desk"] {
            let sent = headers(&[("authorization", value)]);
            assert_eq!(code(&keys(false), &secrets(), &sent), Some(Code::InvalidApiKey), "{value:?}");
        }
        assert_eq!(code(&keys(false), &secrets(), &HeaderMap::new()), Some(Code::InvalidApiKey));
    }

    #[test]
    fn without_its_secret_a_route_is_not_ready() {
        let sent = headers(&[("authorization", "Bearer key-of-desk")]);
        assert_eq!(code(&keys(false), &Secrets::default(), &sent), Some(Code::NotReady));
    }
}
