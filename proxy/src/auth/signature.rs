//! A request signed with SigV4 and the clients' keys in; whose signature it is out, or why it is nobody's. Pure.
//!
//! # What is accepted
//! Any region, for clients name whichever they are set to; the service must be Bedrock. The body is always part of the
//! signature: a payload that is not signed could be anybody's.

use crate::error::{ApiError, Code};
use aws_sigv4::sign::v4::{calculate_signature, generate_signing_key};
use http::header::AUTHORIZATION;
use http::request::Parts;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

pub(super) const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// How far a client's clock may be off.
const SKEW: Duration = Duration::from_secs(300);

/// What the authorization header says.
struct Claim<'a> {
    key_id: &'a str,
    date: &'a str,
    region: &'a str,
    service: &'a str,
    signed: Vec<&'a str>,
    signature: &'a str,
}

fn refused(name: &str, message: impl Into<String>) -> ApiError {
    ApiError { upstream_code: Some(name.to_owned()), ..ApiError::new(Code::InvalidApiKey, message) }
}

fn incomplete(message: impl Into<String>) -> ApiError {
    refused("IncompleteSignatureException", message)
}

fn invalid(message: impl Into<String>) -> ApiError {
    refused("InvalidSignatureException", message)
}

/// The client whose key signed the request.
pub(super) fn verify(
    clients: &BTreeMap<String, String>,
    head: &Parts,
    body: &[u8],
    now: SystemTime,
) -> Result<String, ApiError> {
    let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
    let authorization = header(AUTHORIZATION.as_str()).and_then(|text| text.strip_prefix(ALGORITHM));
    let claim = authorization.and_then(claim).ok_or_else(|| {
        incomplete("the Authorization header must have Credential, SignedHeaders and Signature, in this order")
    })?;
    let stamp = header("x-amz-date").ok_or_else(|| incomplete("the X-Amz-Date header is missing"))?;
    let signed_at =
        time(stamp).ok_or_else(|| incomplete(format!("X-Amz-Date {stamp:?} is not like 20260131T235959Z")))?;
    let off = now.duration_since(signed_at).unwrap_or_else(|early| early.duration());
    if off > SKEW {
        let minutes = SKEW.as_secs() / 60;
        return Err(invalid(format!(
            "the signature of {stamp} is more than {minutes} minutes off: set the client's clock"
        )));
    }
    if claim.date != &stamp[..8] {
        return Err(invalid(format!("the credential's date {} is not that of X-Amz-Date {stamp}", claim.date)));
    }
    if claim.service != "bedrock" {
        return Err(invalid(format!("the credential is for the service {:?}; it must be for bedrock", claim.service)));
    }
    let must_be_signed = |name: &&str| *name == "host" || name.starts_with("x-amz-");
    let names = head.headers.keys().map(http::HeaderName::as_str);
    if let Some(name) = names.filter(must_be_signed).find(|name| !claim.signed.contains(name)) {
        return Err(invalid(format!("the header {name} is not among those signed")));
    }
    let body_hash = hex::encode(Sha256::digest(body));
    if header("x-amz-content-sha256").is_some_and(|said| said != body_hash) {
        return Err(invalid("X-Amz-Content-Sha256 is not the hash of the body"));
    }
    let mismatch =
        || invalid("the signature does not match: check the secret access key, which is this client's API key");
    let canonical = canonical(head, &claim.signed, &body_hash).ok_or_else(mismatch)?;
    let to_sign = format!(
        "{ALGORITHM}\n{stamp}\n{}/{}/{}/aws4_request\n{}",
        claim.date,
        claim.region,
        claim.service,
        hex::encode(Sha256::digest(canonical))
    );
    // A key for an unknown client too, so that the time taken does not say who is one.
    let known = clients.get_key_value(claim.key_id).filter(|(_, secret)| !secret.is_empty());
    let secret = known.map_or("nobody", |(_, secret)| secret.as_str());
    let key = generate_signing_key(secret, signed_at, claim.region, claim.service);
    let signature = calculate_signature(key, to_sign.as_bytes());
    let matches = super::equal_in_constant_time(signature.as_bytes(), claim.signature.as_bytes());
    match known {
        None => Err(refused("UnrecognizedClientException", "the access key id is not known for this model")),
        Some(_) if !matches => Err(mismatch()),
        Some((client, _)) => Ok(client.clone()),
    }
}

fn claim(text: &str) -> Option<Claim<'_>> {
    let mut fields = text.split(',').filter_map(|field| field.trim().split_once('='));
    let mut field = |wanted| fields.next().filter(|(name, _)| *name == wanted).map(|(_, value)| value);
    let (credential, signed, signature) = (field("Credential")?, field("SignedHeaders")?, field("Signature")?);
    // A client's name may hold slashes, the rest of the scope none.
    let mut scope = credential.rsplitn(5, '/');
    let (end, service, region, date, key_id) =
        (scope.next()?, scope.next()?, scope.next()?, scope.next()?, scope.next()?);
    let signed = signed.split(';').collect();
    (end == "aws4_request").then_some(Claim { key_id, date, region, service, signed, signature })
}

/// `20260131T235959Z` as a time.
fn time(stamp: &str) -> Option<SystemTime> {
    let well_formed = stamp.len() == 16
        && stamp.char_indices().all(|(at, c)| match at {
            8 => c == 'T',
            15 => c == 'Z',
            _ => c.is_ascii_digit(),
        });
    let parsed = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", stamp).ok().filter(|_| well_formed)?;
    Some(parsed.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().into())
}

fn canonical(head: &Parts, signed: &[&str], body_hash: &str) -> Option<String> {
    let mut query: Vec<&str> =
        head.uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()).collect();
    query.sort_unstable();
    let query: Vec<String> =
        query.into_iter().map(|pair| if pair.contains('=') { pair.to_owned() } else { format!("{pair}=") }).collect();
    let mut out = format!("{}\n{}\n{}\n", head.method, path(head.uri.path()), query.join("&"));
    for name in signed {
        let values = head.headers.get_all(*name).iter();
        let values: Option<Vec<String>> = values
            .map(|value| Some(value.to_str().ok()?.split_ascii_whitespace().collect::<Vec<_>>().join(" ")))
            .collect();
        let values = values.filter(|values| !values.is_empty()).or_else(|| authority(head, name))?;
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{name}:{}", values.join(","));
    }
    let _ = write!(out, "\n{}\n{body_hash}", signed.join(";"));
    Some(out)
}

/// Over HTTP/2 the host comes as the request's authority.
fn authority(head: &Parts, name: &str) -> Option<Vec<String>> {
    let authority = head.uri.authority().filter(|_| name == "host")?;
    Some(vec![authority.to_string()])
}

/// The path as it was sent, percent-encoded once more: so has it every service but S3.
fn path(path: &str) -> String {
    let mut out = String::with_capacity(path.len() + 16);
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'/') {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests;
