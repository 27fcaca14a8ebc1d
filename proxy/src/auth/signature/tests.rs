//! Signatures against AWS's own signer: the right one passes, and nothing else does.

use super::*;
use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use http::Request;

const BODY: &[u8] = br#"{"messages":[]}"#;

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn clients() -> BTreeMap<String, String> {
    [("shop", "key-of-shop"), ("team/desk", "key-of-desk"), ("empty", "")]
        .map(|(name, key)| (name.to_owned(), key.to_owned()))
        .into()
}

fn request() -> Request<()> {
    Request::post("http://proxy:8080/model/us.amazon.nova-pro-v1%3A0/converse?b=2&a")
        .header("host", "proxy:8080")
        .header("content-type", "application/json")
        .body(())
        .unwrap()
}

fn signed(key_id: &str, secret: &str, service: &str, at: SystemTime) -> Parts {
    let mut request = request();
    let identity = Credentials::new(key_id, secret, None, None, "test").into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region("eu-west-1")
        .name(service)
        .time(at)
        .settings(SigningSettings::default())
        .build()
        .unwrap()
        .into();
    let headers = request.headers().iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap()));
    let signable = SignableRequest::new("POST", request.uri().to_string(), headers, SignableBody::Bytes(BODY)).unwrap();
    let (instructions, _) = sign(signable, &params).unwrap().into_parts();
    instructions.apply_to_request_http1x(&mut request);
    request.into_parts().0
}

fn said(head: &Parts, body: &[u8]) -> String {
    match verify(&clients(), head, body, now()) {
        Ok(client) => client,
        Err(error) => error.upstream_code.unwrap_or_default(),
    }
}

#[test]
fn the_client_is_whose_key_signed() {
    for (client, key) in [("shop", "key-of-shop"), ("team/desk", "key-of-desk")] {
        assert_eq!(said(&signed(client, key, "bedrock", now()), BODY), client);
    }
}

#[test]
fn nobody_else_gets_in() {
    let good = || signed("shop", "key-of-shop", "bedrock", now());
    assert_eq!(said(&signed("shop", "key-of-desk", "bedrock", now()), BODY), "InvalidSignatureException");
    assert_eq!(said(&signed("nobody", "nobody", "bedrock", now()), BODY), "UnrecognizedClientException");
    assert_eq!(said(&signed("empty", "nobody", "bedrock", now()), BODY), "UnrecognizedClientException");
    assert_eq!(said(&signed("shop", "key-of-shop", "s3", now()), BODY), "InvalidSignatureException");
    assert_eq!(said(&good(), b"{}"), "InvalidSignatureException", "another body");
    let mut other = good();
    other.uri = "http://proxy:8080/model/another/converse".parse().unwrap();
    assert_eq!(said(&other, BODY), "InvalidSignatureException", "another model");
    let mut more = good();
    more.headers.insert("x-amz-target", "more".parse().unwrap());
    assert_eq!(said(&more, BODY), "InvalidSignatureException", "a header that is not signed");
    let mut none = good();
    none.headers.remove("x-amz-date");
    assert_eq!(said(&none, BODY), "IncompleteSignatureException");
    let mut torn = good();
    torn.headers.insert(AUTHORIZATION, "AWS4-HMAC-SHA256 Credential=shop".parse().unwrap());
    assert_eq!(said(&torn, BODY), "IncompleteSignatureException");
}

#[test]
fn old_and_early_signatures_are_refused() {
    let minutes = |n: u64| Duration::from_secs(60 * n);
    for at in [now() - minutes(4), now() + minutes(4)] {
        assert_eq!(said(&signed("shop", "key-of-shop", "bedrock", at), BODY), "shop");
    }
    for at in [now() - minutes(6), now() + minutes(6), now() - minutes(60 * 24 * 400)] {
        assert_eq!(said(&signed("shop", "key-of-shop", "bedrock", at), BODY), "InvalidSignatureException");
    }
}

#[test]
fn stamps_have_one_form() {
    assert!(time("20260131T235959Z").is_some());
    for stamp in ["", "20260131", "2026-01-31T23:59:59Z", "20261331T235959Z", "20260131T235959z", "é0260131T23595Z"] {
        assert_eq!(time(stamp), None, "{stamp}");
    }
}
