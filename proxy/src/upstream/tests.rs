//! Addresses in; which of them a policy lets through out.

use super::*;

async fn refusal(uri: &str, policy: Policy) -> String {
    let upstream = Upstream::default();
    let mut request = Request::new(Full::new(Bytes::new()));
    *request.uri_mut() = uri.parse().unwrap();
    match upstream.send(request, policy, Duration::from_secs(2)).await {
        Err(SendError::Connect(reason)) => reason,
        other => panic!("{uri} was not refused: {other:?}"),
    }
}

#[tokio::test]
async fn metadata_is_refused_under_any_policy() {
    for uri in ["http://169.254.169.254/latest", "http://[::ffff:169.254.169.254]/", "http://[fd00:ec2::254]/"] {
        for policy in [Policy::Guarded, Policy::Loopback] {
            assert!(refusal(uri, policy).await.contains("metadata"), "{uri}");
        }
    }
}

#[tokio::test]
async fn names_are_judged_by_what_they_resolve_to() {
    assert!(refusal("http://localhost:1/", Policy::Guarded).await.contains("loopback"));
    assert!(refusal("http://localhost:1/", Policy::Loopback).await.contains("cannot connect"));
}
