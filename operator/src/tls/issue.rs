//! Names, a life and a moment in; an authority, or a server certificate of one, as PEM out.

use jiff::{Span, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use std::collections::BTreeSet;

/// A certificate with its key.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The certificate, PEM.
    pub cert: String,
    /// Its key, PEM.
    pub key: String,
    /// When it ends.
    pub not_after: Timestamp,
}

/// What an authority's certificate says; the same each time, so that the key alone makes it an issuer again.
fn authority_params(now: Timestamp, life: Span) -> (CertificateParams, Timestamp) {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "Tollway operator CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    let end = validity(&mut params, now, life);
    (params, end)
}

/// A new authority.
pub fn authority(now: Timestamp, life: Span) -> Result<Issued, rcgen::Error> {
    let key = KeyPair::generate()?;
    let (params, not_after) = authority_params(now, life);
    Ok(Issued { cert: params.self_signed(&key)?.pem(), key: key.serialize_pem(), not_after })
}

/// A server certificate of the authority with that key.
pub fn server(ca_key: &str, names: &BTreeSet<String>, now: Timestamp, life: Span) -> Result<Issued, rcgen::Error> {
    // How long the authority lives is in its own certificate, not in this one.
    let issuer = Issuer::new(authority_params(now, life).0, KeyPair::from_pem(ca_key)?);
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(names.iter().cloned().collect::<Vec<_>>())?;
    params.distinguished_name.push(DnType::CommonName, "tollway-operator");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    let not_after = validity(&mut params, now, life);
    let cert = params.signed_by(&key, &issuer)?.pem();
    Ok(Issued { cert, key: key.serialize_pem(), not_after })
}

/// Valid from yesterday (clocks differ) for so long; the end comes back.
fn validity(params: &mut CertificateParams, now: Timestamp, life: Span) -> Timestamp {
    use jiff::ToSpan;
    let date = now.to_zoned(jiff::tz::TimeZone::UTC).date();
    let (start, end) = (date.saturating_sub(1.day()), date.saturating_add(life));
    let ymd = |date: jiff::civil::Date| {
        rcgen::date_time_ymd(i32::from(date.year()), date.month().unsigned_abs(), date.day().unsigned_abs())
    };
    params.not_before = ymd(start);
    params.not_after = ymd(end);
    end.to_zoned(jiff::tz::TimeZone::UTC).map_or(now, |end| end.timestamp())
}
