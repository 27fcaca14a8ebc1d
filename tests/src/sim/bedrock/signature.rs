//! Who signed: a request and the known keys in, the client's name or the service's refusal out.
//!
//! # Why its own canonical request
//!
//! The signing key and the signature come from `aws-sigv4`; the canonical request is built here from the headers the client says it
//! signed. A client that signs other bytes than it sends is found out, which one shared builder on both sides could hide.

use aws_sigv4::sign::v4::{calculate_signature, generate_signing_key};
use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use http::header::AUTHORIZATION;
use http::request::Parts;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::time::{Duration, SystemTime};

/// An AWS key pair the simulator accepts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Credential {
    /// Access key id.
    pub access_key_id: String,
    /// Its secret.
    pub secret_access_key: String,
    /// Of temporary keys: the token that must come with them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_token: Option<String>,
}

impl Credential {
    /// The pair every simulator knows unless told otherwise.
    #[must_use]
    pub fn example() -> Self {
        Self {
            access_key_id: "AKIASIMULATED0000001".to_owned(),
            secret_access_key: "simulated/secret/access/key/number+00001".to_owned(),
            session_token: None,
        }
    }
}

/// What the simulator holds against a request.
pub(in crate::sim) struct Known<'a> {
    pub credentials: &'a [Credential],
    pub bearer: &'a [String],
    /// The service that signatures must be for.
    pub service: &'static str,
}

/// A refusal: the error's type and its message. All are 403.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::sim) struct Denied {
    pub name: &'static str,
    pub message: String,
}

fn denied(name: &'static str, message: impl Into<String>) -> Denied {
    Denied { name, message: message.into() }
}

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

struct Authorization<'a> {
    key: &'a str,
    date: &'a str,
    region: &'a str,
    service: &'a str,
    signed: Vec<&'a str>,
    signature: &'a str,
}

fn parse(text: &str) -> Option<Authorization<'_>> {
    let mut fields = text.split(',').filter_map(|field| field.trim().split_once('='));
    let mut field = |wanted| fields.next().filter(|(name, _)| *name == wanted).map(|(_, value)| value);
    let (credential, signed, signature) = (field("Credential")?, field("SignedHeaders")?, field("Signature")?);
    let mut scope = credential.rsplitn(5, '/');
    let (terminator, service, region, date, key) =
        (scope.next()?, scope.next()?, scope.next()?, scope.next()?, scope.next()?);
    let signed = signed.split(';').collect();
    (terminator == "aws4_request").then_some(Authorization { key, date, region, service, signed, signature })
}

/// `20261120T071828Z` as a time.
fn time(stamp: &str) -> Option<SystemTime> {
    let part = |range| stamp.get(range);
    let text = format!(
        "{}-{}-{}T{}:{}:{}Z",
        part(0..4)?,
        part(4..6)?,
        part(6..8)?,
        part(9..11)?,
        part(11..13)?,
        part(13..15)?
    );
    let whole = stamp.len() == 16 && stamp.ends_with('Z') && stamp.get(8..9) == Some("T");
    let parsed = DateTime::from_str(&text, Format::DateTime).ok().filter(|_| whole)?;
    SystemTime::try_from(parsed).ok()
}

/// The path once more percent-encoded, as every service but S3 has it.
fn canonical_path(path: &str) -> String {
    let mut out = String::with_capacity(path.len() + 16);
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a String does not fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

fn canonical_query(query: &str) -> String {
    let mut pairs: Vec<String> = query
        .split('&')
        .filter(|p| !p.is_empty())
        .map(|p| if p.contains('=') { p.to_owned() } else { format!("{p}=") })
        .collect();
    pairs.sort();
    pairs.join("&")
}

fn canonical_request(parts: &Parts, signed: &[&str], body_hash: &str) -> Option<String> {
    let mut out = format!(
        "{}\n{}\n{}\n",
        parts.method,
        canonical_path(parts.uri.path()),
        canonical_query(parts.uri.query().unwrap_or_default())
    );
    for name in signed {
        let values: Option<Vec<String>> = parts
            .headers
            .get_all(*name)
            .iter()
            .map(|value| Some(value.to_str().ok()?.split_ascii_whitespace().collect::<Vec<_>>().join(" ")))
            .collect();
        let values = values.filter(|values| !values.is_empty())?;
        let _ = writeln!(out, "{name}:{}", values.join(","));
    }
    let _ = write!(out, "\n{}\n{body_hash}", signed.join(";"));
    Some(out)
}

/// The client's name: its access key id, or `bearer`.
pub(in crate::sim) fn verify(
    known: &Known<'_>,
    parts: &Parts,
    body: &[u8],
    now: SystemTime,
    max_skew: Duration,
) -> Result<String, Denied> {
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let Some(authorization) = header(AUTHORIZATION.as_str()) else {
        return Err(denied("MissingAuthenticationTokenException", "Missing Authentication Token"));
    };
    if let Some(token) = authorization.strip_prefix("Bearer ") {
        return if known.bearer.iter().any(|k| k == token) {
            Ok("bearer".to_owned())
        } else {
            Err(denied("AccessDeniedException", "Authentication failed: Please make sure your API Key is valid."))
        };
    }
    let incomplete = |what: &str| denied("IncompleteSignatureException", what);
    let claim = authorization.strip_prefix(ALGORITHM).and_then(parse).ok_or_else(|| {
        incomplete("Authorization header requires 'Credential', 'SignedHeaders' and 'Signature' parameters.")
    })?;
    let unknown = || denied("UnrecognizedClientException", "The security token included in the request is invalid.");
    let credential = known.credentials.iter().find(|c| c.access_key_id == claim.key).ok_or_else(unknown)?;
    if header("x-amz-security-token") != credential.session_token.as_deref() {
        return Err(unknown());
    }

    let invalid = |what: String| denied("InvalidSignatureException", what);
    let stamp = header("x-amz-date").ok_or_else(|| {
        incomplete("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.")
    })?;
    let signed_at = time(stamp).ok_or_else(|| incomplete("Date must be in ISO-8601 'basic format'."))?;
    if signed_at + max_skew < now {
        return Err(invalid(format!("Signature expired: {stamp} is too far in the past.")));
    }
    if signed_at > now + max_skew {
        return Err(invalid(format!("Signature not yet current: {stamp} is still in the future.")));
    }
    if claim.service != known.service {
        return Err(invalid(format!("Credential should be scoped to correct service: '{}'.", known.service)));
    }
    if !stamp.starts_with(claim.date) || claim.date.len() != 8 {
        return Err(invalid(format!(
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '{}' != '{}'.",
            claim.date,
            &stamp[..8]
        )));
    }
    let must_be_signed = |name: &str| name == "host" || name.starts_with("x-amz-");
    if let Some(name) =
        parts.headers.keys().map(http::HeaderName::as_str).find(|n| must_be_signed(n) && !claim.signed.contains(n))
    {
        return Err(invalid(format!("There were headers present in the request which were not signed: {name}")));
    }
    if !claim.signed.is_sorted() {
        return Err(invalid("SignedHeaders must be sorted.".to_owned()));
    }
    let body_hash = hex::encode(Sha256::digest(body));
    if header("x-amz-content-sha256").is_some_and(|said| said != body_hash) {
        return Err(invalid("The value of x-amz-content-sha256 does not match the hash of the body.".to_owned()));
    }
    let mismatch = || {
        invalid("The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.".to_owned())
    };
    let canonical = canonical_request(parts, &claim.signed, &body_hash).ok_or_else(mismatch)?;
    let to_sign = format!(
        "{ALGORITHM}\n{stamp}\n{}/{}/{}/aws4_request\n{}",
        claim.date,
        claim.region,
        claim.service,
        hex::encode(Sha256::digest(canonical))
    );
    let key = generate_signing_key(&credential.secret_access_key, signed_at, claim.region, claim.service);
    if calculate_signature(key, to_sign.as_bytes()) == claim.signature {
        Ok(claim.key.to_owned())
    } else {
        Err(mismatch())
    }
}

#[cfg(test)]
mod tests;
