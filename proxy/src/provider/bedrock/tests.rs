//! Signing against a signature made by other means, credentials against a provider that fails and expires, the decoder against any bytes.

use super::credentials::Fresh;
use super::sign::sign_request;
use super::*;
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use proptest::prelude::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

#[test]
fn the_signature_is_the_one_that_bedrock_computes() {
    let body = Bytes::from_static(br#"{"messages":[]}"#);
    let uri = format!("https://bedrock-runtime.us-east-1.amazonaws.com{}", path("us.amazon.nova-pro-v1:0", "converse"));
    let mut request = Request::post(uri)
        .header("content-type", "application/json")
        .header("accept", "application/json")
        .body(Full::new(body.clone()))
        .unwrap();
    let credentials = Credentials::new("AKID", "SECRET", Some("TOKEN".to_owned()), None, "test");
    sign_request(&mut request, &body, credentials, (BEDROCK, "us-east-1"), at(1_700_000_000)).unwrap();
    // Made with HMAC by hand from SigV4's own description: the path of the canonical request is encoded twice.
    let signature = "5ed13e127fcffdd55f24461990b696aff376b6a4a81aa6af3c67fc241830e608";
    assert_eq!(
        request.headers()["authorization"],
        format!(
            "AWS4-HMAC-SHA256 Credential=AKID/20231114/us-east-1/bedrock/aws4_request, \
             SignedHeaders=accept;content-type;host;x-amz-date;x-amz-security-token, Signature={signature}"
        )
    );
    assert!(request.headers()["x-amz-security-token"].is_sensitive());
    assert_eq!(request.headers()["x-amz-security-token"], "TOKEN");
}

/// Gives credentials that live for an hour from call to call, and fails from its third call on.
#[derive(Debug, Default)]
struct Hourly {
    calls: Arc<AtomicU64>,
}

impl ProvideCredentials for Hourly {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        future::ProvideCredentials::ready(if call < 2 {
            Ok(Credentials::new(format!("AKID{call}"), "SECRET", None, Some(at(3600 * (call + 1))), "test"))
        } else {
            Err(CredentialsError::not_loaded("the metadata service is gone"))
        })
    }
}

#[tokio::test]
async fn credentials_are_kept_renewed_before_they_expire_and_used_up_when_that_fails() {
    let calls = Arc::new(AtomicU64::new(0));
    let provider = Hourly { calls: Arc::clone(&calls) };
    let fresh = Fresh::new(" for role r".to_owned(), Some(SharedCredentialsProvider::new(provider)));
    let key = async |now| fresh.get(at(now)).await.map(|credentials| credentials.access_key_id().to_owned());
    assert_eq!(key(0).await.unwrap(), "AKID0");
    assert_eq!(key(3000).await.unwrap(), "AKID0");
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    assert_eq!(key(3400).await.unwrap(), "AKID1");
    assert_eq!(key(7000).await.unwrap(), "AKID1", "a failed renewal leaves what is still good");
    assert_eq!(calls.load(Ordering::SeqCst), 3);
    let error = key(7199).await.unwrap_err().to_string();
    assert!(error.starts_with("no AWS credentials for role r: "), "{error}");
    assert!(error.contains("the metadata service is gone"), "{error}");
}

proptest! {
    #[test]
    fn no_bytes_make_the_decoders_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), cut in 0_usize..300) {
        let mut decoder = Decoder::new(ToolNames::default());
        let (first, second) = bytes.split_at(cut.min(bytes.len()));
        decoder.feed(first);
        decoder.feed(second);
        decoder.end();
        let _ = decode(&bytes, &ToolNames::default());
        let _ = decode_error(500, &http::HeaderMap::new(), &bytes);
    }
}

#[test]
fn a_frame_that_claims_too_much_is_refused_at_once() {
    let mut decoder = Decoder::new(ToolNames::default());
    let events = decoder.feed(&u32::MAX.to_be_bytes());
    assert!(matches!(events.as_slice(), [crate::chat::StreamEvent::Error(_)]), "{events:?}");
    assert_eq!(decoder.end(), None);
}
