//! Requests signed by `aws-sigv4`, then changed on the way: only the unchanged ones pass.

use super::*;
use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;

const BODY: &[u8] = br#"{"messages":[]}"#;
const NOW: SystemTime = SystemTime::UNIX_EPOCH;

fn now() -> SystemTime {
    NOW + Duration::from_secs(1_795_158_000)
}

fn signed(credential: &Credential, service: &str, at: SystemTime) -> Parts {
    let identity = Credentials::new(
        &credential.access_key_id,
        &credential.secret_access_key,
        credential.session_token.clone(),
        None,
        "test",
    )
    .into();
    let params = SigningParams::builder()
        .identity(&identity)
        .region("us-east-1")
        .name(service)
        .time(at)
        .settings(SigningSettings::default())
        .build()
        .unwrap()
        .into();
    let uri = "http://127.0.0.1:9/model/us.amazon.nova-pro-v1%3A0/converse";
    let mut request = http::Request::post(uri)
        .header("host", "127.0.0.1:9")
        .header("content-type", "application/json")
        .body(())
        .unwrap();
    let headers = [("host", "127.0.0.1:9"), ("content-type", "application/json")];
    let signable = SignableRequest::new("POST", uri, headers.into_iter(), SignableBody::Bytes(BODY)).unwrap();
    sign(signable, &params).unwrap().into_parts().0.apply_to_request_http1x(&mut request);
    request.into_parts().0
}

fn with_token() -> Credential {
    Credential { session_token: Some("temporary".to_owned()), ..Credential::example() }
}

fn check(credential: &Credential, parts: &Parts, body: &[u8]) -> Result<String, &'static str> {
    let known = Known { credentials: std::slice::from_ref(credential), bearer: &["key".to_owned()], service: "bedrock" };
    verify(&known, parts, body, now(), Duration::from_secs(300)).map_err(|denied| denied.name)
}

#[test]
fn a_right_signature_passes() {
    let example = Credential::example();
    assert_eq!(check(&example, &signed(&example, "bedrock", now()), BODY), Ok(example.access_key_id.clone()));
    let temporary = with_token();
    assert_eq!(check(&temporary, &signed(&temporary, "bedrock", now()), BODY), Ok(temporary.access_key_id));
}

#[test]
fn a_changed_request_does_not() {
    let example = Credential::example();
    let parts = || signed(&example, "bedrock", now());
    assert_eq!(check(&example, &parts(), b"{}"), Err("InvalidSignatureException"));
    let mut other = parts();
    other.uri = "http://127.0.0.1:9/model/us.amazon.nova-lite-v1%3A0/converse".parse().unwrap();
    assert_eq!(check(&example, &other, BODY), Err("InvalidSignatureException"));
    let mut other = parts();
    other.headers.insert("content-type", "text/plain".parse().unwrap());
    assert_eq!(check(&example, &other, BODY), Err("InvalidSignatureException"));
    let mut other = parts();
    other.headers.insert("x-amz-extra", "unsigned".parse().unwrap());
    assert_eq!(check(&example, &other, BODY), Err("InvalidSignatureException"));
    let mut other = parts();
    other.headers.remove("x-amz-date");
    assert_eq!(check(&example, &other, BODY), Err("IncompleteSignatureException"));
    // A header the signature does not cover may change on the way.
    let mut other = parts();
    other.headers.insert("user-agent", "another".parse().unwrap());
    assert!(check(&example, &other, BODY).is_ok());
}

#[test]
fn a_wrong_key_token_service_or_date_does_not() {
    let example = Credential::example();
    let wrong = Credential { secret_access_key: "wrong".to_owned(), ..example.clone() };
    assert_eq!(check(&example, &signed(&wrong, "bedrock", now()), BODY), Err("InvalidSignatureException"));
    let stranger = Credential { access_key_id: "AKIASTRANGER".to_owned(), ..example.clone() };
    assert_eq!(check(&example, &signed(&stranger, "bedrock", now()), BODY), Err("UnrecognizedClientException"));
    assert_eq!(check(&with_token(), &signed(&example, "bedrock", now()), BODY), Err("UnrecognizedClientException"));
    assert_eq!(check(&example, &signed(&with_token(), "bedrock", now()), BODY), Err("UnrecognizedClientException"));
    assert_eq!(check(&example, &signed(&example, "s3", now()), BODY), Err("InvalidSignatureException"));
    for at in [now() - Duration::from_secs(301), now() + Duration::from_secs(301)] {
        assert_eq!(check(&example, &signed(&example, "bedrock", at), BODY), Err("InvalidSignatureException"));
    }
    assert!(check(&example, &signed(&example, "bedrock", now() - Duration::from_secs(299)), BODY).is_ok());
}

#[test]
fn bearer_tokens_and_nothing_at_all() {
    let example = Credential::example();
    let with = |value: &str| {
        let request = http::Request::post("/model/x/converse").header("authorization", value).body(()).unwrap();
        check(&example, &request.into_parts().0, BODY)
    };
    assert_eq!(with("Bearer key"), Ok("bearer".to_owned()));
    assert_eq!(with("Bearer other"), Err("AccessDeniedException"));
    assert_eq!(with("AWS4-HMAC-SHA256 Credential=x"), Err("IncompleteSignatureException"));
    let bare = http::Request::post("/model/x/converse").body(()).unwrap().into_parts().0;
    assert_eq!(check(&example, &bare, BODY), Err("MissingAuthenticationTokenException"));
}
