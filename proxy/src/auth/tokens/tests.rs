//! Tokens of a played issuer: whose are accepted, and when its keys are read.

use super::*;
use crate::fixture::{Act, Upstream as Server};
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Value, json};

struct Signer {
    id: &'static str,
    algorithm: Algorithm,
    key: EncodingKey,
}

fn elliptic(id: &'static str) -> Signer {
    let pair = rcgen::KeyPair::generate().unwrap();
    Signer { id, algorithm: Algorithm::ES256, key: EncodingKey::from_ec_der(&pair.serialize_der()) }
}

fn rsa(id: &'static str) -> Signer {
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
    // The key inside PKCS #8 begins after its 26 bytes of header.
    Signer { id, algorithm: Algorithm::RS256, key: EncodingKey::from_rsa_der(&pair.serialize_der()[26..]) }
}

impl Signer {
    fn public(&self) -> Value {
        let mut key = Jwk::from_encoding_key(&self.key, self.algorithm).unwrap();
        key.common.key_id = Some(self.id.to_owned());
        serde_json::to_value(key).unwrap()
    }

    fn sign(&self, change: &Value) -> HeaderMap {
        let mut claims = json!({"iss": "https://issuer", "aud": "tollway", "sub": "ann", "exp": jsonwebtoken::get_current_timestamp() + 100});
        for (name, value) in change.as_object().unwrap() {
            claims[name] = value.clone();
        }
        let mut header = Header::new(self.algorithm);
        header.kid = Some(self.id.to_owned());
        bearing(&encode(&header, &claims, &self.key).unwrap())
    }
}

fn bearing(token: &str) -> HeaderMap {
    HeaderMap::from_iter([(AUTHORIZATION, format!("Bearer {token}").parse().unwrap())])
}

fn set(signers: &[&Signer]) -> Act {
    let odd = json!({"kty": "OKP", "crv": "X25519", "x": "AA", "use": "enc"});
    let keys: Vec<Value> = signers.iter().map(|signer| signer.public()).chain([odd]).collect();
    Act::Json(json!({ "keys": keys }).to_string())
}

struct World {
    tokens: Tokens,
    upstream: Upstream,
    server: Server,
    auth: Auth,
}

impl World {
    async fn new(acts: Vec<Act>, trust_user_header: bool) -> Self {
        let server = Server::start(acts).await;
        let jwks_uri = format!("http://{}/keys", server.address);
        let auth = Auth::Jwt {
            issuer: "https://issuer".to_owned(),
            audience: "tollway".to_owned(),
            jwks_uri,
            trust_user_header,
        };
        Self { tokens: Tokens::default(), upstream: Upstream::default(), server, auth }
    }

    async fn ask(&self, headers: &HeaderMap) -> Result<Caller, ApiError> {
        let way = (&self.upstream, Policy::Loopback);
        self.tokens.authenticate(Some(&self.auth), headers, Some("body"), way).await.unwrap()
    }

    async fn code(&self, headers: &HeaderMap) -> Option<Code> {
        self.ask(headers).await.err().map(|error| error.code)
    }
}

#[tokio::test]
async fn a_token_of_the_issuer_names_the_client() {
    let (es, rs) = (elliptic("es"), rsa("rs"));
    let world = World::new(vec![set(&[&es, &rs])], false).await;
    let ann = Caller { client: Some("ann".to_owned()), user: Some("ann".to_owned()) };
    for signer in [&es, &rs] {
        assert_eq!(world.ask(&signer.sign(&json!({}))).await, Ok(ann.clone()));
        assert_eq!(world.ask(&signer.sign(&json!({"aud": ["other", "tollway"]}))).await, Ok(ann.clone()));
    }
    assert_eq!(world.server.requests(), 1);
    let mut headers = es.sign(&json!({}));
    headers.insert("x-tollway-user", "bob".parse().unwrap());
    assert_eq!(world.ask(&headers).await.unwrap().user.as_deref(), Some("ann"));
    let trusting = World::new(vec![set(&[&es])], true).await;
    assert_eq!(trusting.ask(&headers).await.unwrap().user.as_deref(), Some("bob"));
    assert!(trusting.tokens.at_hand(Some(&trusting.auth), &headers).unwrap().is_ok());
}

#[tokio::test]
async fn whatever_is_wrong_with_a_token_it_is_refused() {
    let (es, stranger) = (elliptic("es"), elliptic("es"));
    let world = World::new(vec![set(&[&es])], false).await;
    let now = jsonwebtoken::get_current_timestamp();
    for change in [
        json!({"iss": "https://other"}),
        json!({"aud": "other"}),
        json!({"sub": ""}),
        json!({"sub": null}),
        json!({"exp": now - 90}),
        json!({"exp": null}),
        json!({"nbf": now + 90}),
    ] {
        assert_eq!(world.code(&es.sign(&change)).await, Some(Code::InvalidApiKey), "{change}");
    }
    for change in [json!({"exp": now - 30}), json!({"nbf": now + 30})] {
        assert_eq!(world.code(&es.sign(&change)).await, None, "within the skew: {change}");
    }
    assert_eq!(world.code(&stranger.sign(&json!({}))).await, Some(Code::InvalidApiKey));
    let secret = EncodingKey::from_secret(&serde_json::to_vec(&es.public()).unwrap());
    let symmetric = Signer { id: "es", algorithm: Algorithm::HS256, key: secret };
    assert_eq!(world.code(&symmetric.sign(&json!({}))).await, Some(Code::InvalidApiKey));
    for token in ["", "x", "a.b.c", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbm4ifQ."] {
        assert_eq!(world.code(&bearing(token)).await, Some(Code::InvalidApiKey), "{token:?}");
    }
    assert_eq!(world.code(&HeaderMap::new()).await, Some(Code::InvalidApiKey));
}

#[tokio::test]
async fn a_new_key_is_fetched_when_a_token_names_it_but_not_for_every_invented_name() {
    let (old, new) = (elliptic("old"), elliptic("new"));
    let world = World::new(vec![set(&[&old]), set(&[&new])], false).await;
    assert_eq!(world.code(&old.sign(&json!({}))).await, None);
    assert_eq!(world.code(&new.sign(&json!({}))).await, Some(Code::InvalidApiKey), "asked a moment ago");
    assert_eq!(world.server.requests(), 1);
    let issuer = world.tokens.issuer(&format!("http://{}/keys", world.server.address));
    *issuer.asked.lock().await = None;
    assert_eq!(world.code(&new.sign(&json!({}))).await, None);
    assert_eq!(world.code(&old.sign(&json!({}))).await, Some(Code::InvalidApiKey), "withdrawn");
    for _ in 0..5 {
        assert_eq!(world.code(&elliptic("invented").sign(&json!({}))).await, Some(Code::InvalidApiKey));
    }
    assert_eq!(world.server.requests(), 2);
}

#[tokio::test]
async fn without_keys_a_route_is_not_ready_and_later_the_last_good_ones_serve() {
    let es = elliptic("es");
    let world = World::new(vec![Act::Status(500, "no", vec![]), set(&[&es]), Act::Closes], false).await;
    assert_eq!(world.code(&es.sign(&json!({}))).await, Some(Code::NotReady));
    let issuer = world.tokens.issuer(&format!("http://{}/keys", world.server.address));
    *issuer.asked.lock().await = None;
    assert_eq!(world.code(&es.sign(&json!({}))).await, None);
    *issuer.asked.lock().await = None;
    assert_eq!(world.code(&elliptic("other").sign(&json!({}))).await, Some(Code::InvalidApiKey));
    assert!(world.server.requests() >= 3);
    assert_eq!(world.code(&es.sign(&json!({}))).await, None, "the issuer is away, and its keys are known");
}
