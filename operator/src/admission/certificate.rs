//! What the webhook's Secret holds, the names that are wanted and a moment in; what is due, and the renewed content, out. Pure but for the keys it draws.
//!
//! # Why a new authority and a new server certificate never come at once
//! The API server must know an authority before it meets a certificate of it. A new authority is added to the bundle months before the
//! old one ends, and the certificate in use stays; when that one's own time comes, weeks later, the new authority signs the next.

use crate::tls::issue::{self, Issued};
use jiff::{SignedDuration, Timestamp, ToSpan};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::ObjectMeta;
use std::collections::{BTreeMap, BTreeSet};

/// The Secret, in the operator's own namespace.
pub const SECRET: &str = "tollway-webhook-tls";
const NAMES: &str = "tollway.dev/names";
const NOT_AFTER: &str = "tollway.dev/not-after";
const CA_NOT_AFTER: &str = "tollway.dev/ca-not-after";
const SERVER_DAYS: i64 = 90;
const SERVER_LEFT: SignedDuration = SignedDuration::from_hours(30 * 24);
const CA_DAYS: i64 = 730;
const CA_LEFT: SignedDuration = SignedDuration::from_hours(180 * 24);

/// A certificate for the webhook and whoever must trust it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Material {
    /// Authorities, PEM: the one that signs, then the one before it.
    pub bundle: String,
    /// Key of the one that signs, PEM.
    pub ca_key: String,
    /// When it ends.
    pub ca_not_after: Timestamp,
    /// Server certificate, PEM.
    pub cert: String,
    /// Its key, PEM.
    pub key: String,
    /// Names it carries.
    pub names: BTreeSet<String>,
    /// When it ends.
    pub not_after: Timestamp,
}

/// What must be made anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Nothing.
    Nothing,
    /// The server certificate.
    Server,
    /// The authority, which the server certificate outlives.
    Authority,
    /// Both: there is nothing that could be kept.
    Everything,
}

/// What of the content is due for renewal.
pub fn due(held: Option<&Material>, wanted: &BTreeSet<String>, now: Timestamp) -> Due {
    let Some(held) = held else { return Due::Everything };
    let left = |end: Timestamp| end.duration_since(now);
    if left(held.ca_not_after) <= SignedDuration::ZERO {
        Due::Everything
    } else if !wanted.is_subset(&held.names) || left(held.not_after) < SERVER_LEFT {
        Due::Server
    } else if left(held.ca_not_after) < CA_LEFT {
        Due::Authority
    } else {
        Due::Nothing
    }
}

/// The content with what is due made anew; names only ever grow, so that replicas with different flags do not take turns.
pub fn renewed(
    held: Option<Material>,
    due: Due,
    wanted: &BTreeSet<String>,
    now: Timestamp,
) -> Result<Material, rcgen::Error> {
    let names: BTreeSet<String> = wanted.iter().chain(held.iter().flat_map(|held| &held.names)).cloned().collect();
    match (held, due) {
        (Some(held), Due::Nothing) => Ok(held),
        (Some(held), Due::Server) => {
            let Issued { cert, key, not_after } = issue::server(&held.ca_key, &names, now, SERVER_DAYS.days())?;
            Ok(Material { cert, key, not_after, names, ..held })
        }
        (Some(held), Due::Authority) => {
            let Issued { cert, key, not_after } = issue::authority(now, CA_DAYS.days())?;
            let bundle = format!("{cert}{}", first(&held.bundle));
            Ok(Material { bundle, ca_key: key, ca_not_after: not_after, ..held })
        }
        (None, _) | (_, Due::Everything) => {
            let authority = issue::authority(now, CA_DAYS.days())?;
            let Issued { cert, key, not_after } = issue::server(&authority.key, &names, now, SERVER_DAYS.days())?;
            let Issued { cert: bundle, key: ca_key, not_after: ca_not_after } = authority;
            Ok(Material { bundle, ca_key, ca_not_after, cert, key, names, not_after })
        }
    }
}

/// The first certificate of a bundle.
fn first(bundle: &str) -> &str {
    const END: &str = "-----END CERTIFICATE-----\n";
    bundle.find(END).map_or("", |at| &bundle[..at + END.len()])
}

impl Material {
    /// Reads a Secret; `None` when it does not hold all of it.
    pub fn read(secret: &Secret) -> Option<Material> {
        let text = |key: &str| String::from_utf8(secret.data.as_ref()?.get(key)?.0.clone()).ok();
        let note = |key: &str| secret.metadata.annotations.as_ref()?.get(key);
        Some(Material {
            bundle: text("ca.crt")?,
            ca_key: text("ca.key")?,
            ca_not_after: note(CA_NOT_AFTER)?.parse().ok()?,
            cert: text("tls.crt")?,
            key: text("tls.key")?,
            names: note(NAMES)?.split(',').map(str::to_owned).collect(),
            not_after: note(NOT_AFTER)?.parse().ok()?,
        })
    }

    /// The Secret that holds it, in place of the one that was found.
    pub fn into_secret(self, namespace: &str, found: Option<&Secret>) -> Secret {
        let Material { bundle, ca_key, ca_not_after, cert, key, names, not_after } = self;
        let data = [("ca.crt", bundle), ("ca.key", ca_key), ("tls.crt", cert), ("tls.key", key)];
        let notes = [
            (NAMES, names.into_iter().collect::<Vec<_>>().join(",")),
            (NOT_AFTER, not_after.to_string()),
            (CA_NOT_AFTER, ca_not_after.to_string()),
        ];
        let notes: BTreeMap<String, String> = notes.map(|(key, value)| (key.to_owned(), value)).into();
        Secret {
            metadata: ObjectMeta {
                name: Some(SECRET.to_owned()),
                namespace: Some(namespace.to_owned()),
                resource_version: found.and_then(|secret| secret.metadata.resource_version.clone()),
                annotations: Some(notes),
                labels: found.and_then(|secret| secret.metadata.labels.clone()),
                ..ObjectMeta::default()
            },
            data: Some(data.map(|(key, value)| (key.to_owned(), ByteString(value.into_bytes()))).into()),
            type_: found.and_then(|secret| secret.type_.clone()).or_else(|| Some("kubernetes.io/tls".to_owned())),
            ..Secret::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted() -> BTreeSet<String> {
        BTreeSet::from(["tollway-webhook.ns.svc".to_owned()])
    }

    fn at(days: i64) -> Timestamp {
        "2026-11-20T00:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_hours(days * 24)
    }

    fn made() -> Material {
        renewed(None, Due::Everything, &wanted(), at(0)).unwrap()
    }

    #[test]
    fn a_secret_holds_all_of_it() {
        let made = made();
        assert_eq!(Material::read(&made.clone().into_secret("ns", None)), Some(made));
        assert_eq!(Material::read(&Secret::default()), None);
    }

    #[test]
    fn years_pass_and_the_authority_is_always_known_before_it_signs() {
        let mut held = made();
        let (mut servers, mut authorities) = (0, 0);
        for day in 0..2_000 {
            let before = held.clone();
            let due = due(Some(&held), &wanted(), at(day));
            held = renewed(Some(held), due, &wanted(), at(day)).unwrap();
            match due {
                Due::Nothing => assert_eq!(held, before),
                Due::Server => {
                    servers += 1;
                    assert_eq!(held.bundle, before.bundle, "who knows the bundle accepts the new certificate");
                }
                Due::Authority => {
                    authorities += 1;
                    assert_eq!((&held.cert, &held.key), (&before.cert, &before.key));
                    assert!(held.bundle.ends_with(first(&before.bundle)), "what the old one signed is still accepted");
                    assert_eq!(held.bundle.matches("BEGIN").count(), 2);
                }
                Due::Everything => panic!("nothing was kept on day {day}"),
            }
            assert!(held.not_after > at(day) && held.ca_not_after >= held.not_after, "day {day}");
        }
        assert!(servers > 25 && authorities == 3, "{servers} {authorities}");
    }

    #[test]
    fn a_new_name_makes_a_new_certificate_with_the_old_names_too() {
        let other = BTreeSet::from(["other".to_owned()]);
        assert_eq!(due(Some(&made()), &other, at(0)), Due::Server);
        let held = renewed(Some(made()), Due::Server, &other, at(0)).unwrap();
        assert!(held.names.is_superset(&wanted()) && held.names.is_superset(&other));
        assert_eq!(due(Some(&held), &wanted(), at(0)), Due::Nothing);
    }

    #[test]
    fn after_years_asleep_everything_is_made_anew() {
        assert_eq!(due(Some(&made()), &wanted(), at(731)), Due::Everything);
        assert_eq!(due(None, &wanted(), at(0)), Due::Everything);
    }
}
