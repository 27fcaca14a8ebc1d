//! A request without authorization in, the same request signed with SigV4 out.

use super::credentials::AwsError;
use super::endpoint::{S3, Service};
use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings, UriPathNormalizationMode,
    sign,
};
use aws_sigv4::sign::v4;
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use std::time::SystemTime;

/// Signs for a service. The default settings encode the path a second time for the canonical request, which is what every service but S3
/// verifies; S3 takes the path as it is, and wants the digest of the body.
pub(super) fn sign_request(
    request: &mut Request<Full<Bytes>>,
    body: &[u8],
    credentials: Credentials,
    (service, region): (Service, &str),
    now: SystemTime,
) -> Result<(), AwsError> {
    let failed = |e: &dyn std::error::Error| AwsError::Sign(e.to_string());
    let identity = credentials.into();
    let mut settings = SigningSettings::default();
    if service == S3 {
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    }
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name(service.signing)
        .time(now)
        .settings(settings)
        .build()
        .map_err(|e| failed(&e))?
        .into();
    let headers =
        request.headers().iter().filter_map(|(name, value)| value.to_str().ok().map(|value| (name.as_str(), value)));
    let signable =
        SignableRequest::new(request.method().as_str(), request.uri().to_string(), headers, SignableBody::Bytes(body))
            .map_err(|e| failed(&e))?;
    let (instructions, _) = sign(signable, &params).map_err(|e| failed(&e))?.into_parts();
    instructions.apply_to_request_http1x(request);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{Method, header};
    use std::time::Duration;

    /// The examples that S3's own documentation computes.
    #[test]
    fn s3_gets_the_path_as_it_is_and_the_digest_of_the_body() {
        let credentials =
            Credentials::new("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", None, None, "test");
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_369_353_600);
        let cases = [
            (
                Method::GET,
                "test.txt",
                "",
                vec![("range", "bytes=0-9")],
                "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
            ),
            (
                Method::PUT,
                "test%24file.text",
                "Welcome to Amazon S3.",
                vec![("date", "Fri, 24 May 2013 00:00:00 GMT"), ("x-amz-storage-class", "REDUCED_REDUNDANCY")],
                "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
            ),
            (
                Method::GET,
                "?max-keys=2&prefix=J",
                "",
                vec![],
                "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
            ),
        ];
        for (method, path, body, headers, expected) in cases {
            let request =
                Request::builder().method(method).uri(format!("https://examplebucket.s3.amazonaws.com/{path}"));
            let request = headers.into_iter().fold(request, |request, (name, value)| request.header(name, value));
            let mut request = request.body(Full::new(Bytes::from_static(body.as_bytes()))).unwrap();
            sign_request(&mut request, body.as_bytes(), credentials.clone(), (S3, "us-east-1"), now).unwrap();
            let signed = request.headers()[header::AUTHORIZATION].to_str().unwrap();
            assert!(signed.ends_with(&format!("Signature={expected}")), "{path}: {signed}");
        }
    }
}
