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
