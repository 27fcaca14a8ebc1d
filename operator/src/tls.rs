//! Certificate files, or the Secret that all replicas share, in; the server's identity out. The CA is published for proxies.

pub mod issue;

use crate::error::{self, Error};
use issue::Issued;
use jiff::{Timestamp, ToSpan};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;
use tonic::transport::Identity;

/// Secret that holds CA and server certificate.
pub const SECRET: &str = "tollway-operator-tls";
/// ConfigMap whose key `ca.crt` proxies trust.
pub const CA_CONFIGMAP: &str = "tollway-ca";
/// How often what was published is looked after.
const AGAIN: Duration = Duration::from_secs(60);
const NAMES: &str = "tollway.dev/names";
const NOT_AFTER: &str = "tollway.dev/not-after";
const CA_YEARS: i16 = 20;
const SERVER_YEARS: i16 = 2;

/// Reads an identity from files that the administrator keeps.
pub fn from_files(cert: &Path, key: &Path) -> Result<Identity, Error> {
    let read =
        |path: &Path| std::fs::read(path).map_err(|source| Error::File { path: path.display().to_string(), source });
    Ok(Identity::from_pem(read(cert)?, read(key)?))
}

/// Names that every made certificate carries.
pub fn names(namespace: &str, extra: &[String]) -> BTreeSet<String> {
    let service = format!("tollway-operator.{namespace}.svc");
    let fixed = ["localhost", "127.0.0.1", "::1", "tollway-operator"].map(str::to_owned);
    let cluster = format!("{service}.cluster.local");
    fixed.into_iter().chain([service, cluster]).chain(extra.iter().cloned()).collect()
}

/// The identity kept in the Secret, made or renewed when it is absent, lacks a name or nears its end, and the authority's certificate.
///
/// Renewal happens at start only: a replica that runs for more than a year should be restarted, as any rollout does.
pub async fn from_secret(
    client: &Client,
    namespace: &str,
    names: &BTreeSet<String>,
    now: Timestamp,
) -> Result<(Identity, String), Error> {
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    loop {
        let at = || format!("Secret {namespace}/{SECRET}");
        let found = api.get_opt(SECRET).await.map_err(error::api(at()))?;
        let wanted = match &found {
            None => None,
            Some(secret) => match decide(secret, names, now) {
                Decision::Keep(kept) => {
                    publish(client, namespace, &kept.ca_cert).await?;
                    return Ok((Identity::from_pem(kept.cert, kept.key), kept.ca_cert));
                }
                Decision::Renew { ca_cert, ca_key, names } => Some((ca_cert, ca_key, names)),
                Decision::Replace => None,
            },
        };
        let made = match wanted {
            Some((ca_cert, ca_key, names)) => issue(ca_cert, ca_key, &names, now)?,
            None => {
                let (ca_cert, ca_key) = authority(now)?;
                issue(ca_cert, ca_key, names, now)?
            }
        };
        let secret = made.into_secret(namespace, found.as_ref());
        let written = match found {
            None => api.create(&PostParams::default(), &secret).await,
            Some(_) => api.replace(SECRET, &PostParams::default(), &secret).await,
        };
        match written {
            Ok(_) => tracing::info!(secret = SECRET, namespace, "certificate made"),
            // Another replica was faster: use what it wrote.
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            Err(source) => return Err(error::api(at())(source)),
        }
    }
}

struct Kept {
    ca_cert: String,
    cert: Vec<u8>,
    key: Vec<u8>,
}

enum Decision {
    Keep(Kept),
    Renew { ca_cert: String, ca_key: String, names: BTreeSet<String> },
    Replace,
}

/// What to do with the Secret as it is: names only ever grow, so that replicas with different flags do not take turns.
fn decide(secret: &Secret, wanted: &BTreeSet<String>, now: Timestamp) -> Decision {
    let text = |key: &str| {
        secret.data.as_ref().and_then(|data| data.get(key)).and_then(|bytes| String::from_utf8(bytes.0.clone()).ok())
    };
    let note = |key: &str| secret.metadata.annotations.as_ref().and_then(|notes| notes.get(key));
    let (Some(ca_cert), Some(ca_key)) = (text("ca.crt"), text("ca.key")) else { return Decision::Replace };
    let held: BTreeSet<String> =
        note(NAMES).map(|names| names.split(',').map(str::to_owned).collect()).unwrap_or_default();
    let ends = note(NOT_AFTER).and_then(|end| end.parse::<Timestamp>().ok());
    let fresh = ends.is_some_and(|end| end > now + (365 * 24).hours());
    match (text("tls.crt"), text("tls.key")) {
        (Some(cert), Some(key)) if fresh && wanted.is_subset(&held) => {
            Decision::Keep(Kept { ca_cert, cert: cert.into_bytes(), key: key.into_bytes() })
        }
        _ => Decision::Renew { ca_cert, ca_key, names: wanted.union(&held).cloned().collect() },
    }
}

struct Made {
    ca_cert: String,
    ca_key: String,
    cert: String,
    key: String,
    names: BTreeSet<String>,
    not_after: Timestamp,
}

impl Made {
    fn into_secret(self, namespace: &str, found: Option<&Secret>) -> Secret {
        let Made { ca_cert, ca_key, cert, key, names, not_after } = self;
        let data = [("ca.crt", ca_cert), ("ca.key", ca_key), ("tls.crt", cert), ("tls.key", key)];
        let names = names.into_iter().collect::<Vec<_>>().join(",");
        Secret {
            metadata: ObjectMeta {
                name: Some(SECRET.to_owned()),
                namespace: Some(namespace.to_owned()),
                resource_version: found.and_then(|secret| secret.metadata.resource_version.clone()),
                annotations: Some(BTreeMap::from([
                    (NAMES.to_owned(), names),
                    (NOT_AFTER.to_owned(), not_after.to_string()),
                ])),
                labels: found.and_then(|secret| secret.metadata.labels.clone()),
                ..ObjectMeta::default()
            },
            data: Some(data.into_iter().map(|(key, value)| (key.to_owned(), ByteString(value.into_bytes()))).collect()),
            type_: found.and_then(|secret| secret.type_.clone()).or_else(|| Some("kubernetes.io/tls".to_owned())),
            ..Secret::default()
        }
    }
}

/// A new CA: certificate and key, PEM.
fn authority(now: Timestamp) -> Result<(String, String), Error> {
    let Issued { cert, key, not_after: _ } = issue::authority(now, CA_YEARS.years())?;
    Ok((cert, key))
}

/// A server certificate of that CA.
fn issue(ca_cert: String, ca_key: String, names: &BTreeSet<String>, now: Timestamp) -> Result<Made, Error> {
    let Issued { cert, key, not_after } = issue::server(&ca_key, names, now, SERVER_YEARS.years())?;
    Ok(Made { ca_cert, ca_key, cert, key, names: names.clone(), not_after })
}

/// Keeps the authority in each of these namespaces, for as long as it runs: what somebody changed is put back within a minute, and a
/// namespace may come later than the operator.
pub async fn keep_published(client: Client, namespaces: Vec<String>, ca_cert: String) {
    if namespaces.is_empty() {
        return;
    }
    let mut every = tokio::time::interval(AGAIN);
    loop {
        every.tick().await;
        for namespace in &namespaces {
            if let Err(error) = publish(&client, namespace, &ca_cert).await {
                tracing::warn!(%error, "a gateway there does not know the operator's authority; trying again in a minute");
            }
        }
    }
}

async fn publish(client: &Client, namespace: &str, ca_cert: &str) -> Result<(), Error> {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let map = ConfigMap {
        metadata: ObjectMeta { name: Some(CA_CONFIGMAP.to_owned()), ..ObjectMeta::default() },
        data: Some(BTreeMap::from([("ca.crt".to_owned(), ca_cert.to_owned())])),
        ..ConfigMap::default()
    };
    let apply = PatchParams::apply(crate::FIELD_MANAGER).force();
    api.patch(CA_CONFIGMAP, &apply, &Patch::Apply(&map))
        .await
        .map(|_| ())
        .map_err(error::api(format!("ConfigMap {namespace}/{CA_CONFIGMAP}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-11-20T08:00:00Z".parse().unwrap()
    }

    fn made(names: &BTreeSet<String>) -> Secret {
        let (cert, key) = authority(now()).unwrap();
        issue(cert, key, names, now()).unwrap().into_secret("ns", None)
    }

    #[test]
    fn a_fresh_certificate_with_every_name_is_kept() {
        let names = names("ns", &["10.0.0.7".into()]);
        assert!(matches!(decide(&made(&names), &names, now()), Decision::Keep(_)));
    }

    #[test]
    fn a_new_name_renews_under_the_same_authority_and_keeps_the_old_names() {
        let secret = made(&names("ns", &["old.example".into()]));
        let wanted = names("ns", &["new.example".into()]);
        let Decision::Renew { ca_cert, ca_key, names } = decide(&secret, &wanted, now()) else { panic!("not renewed") };
        assert!(names.contains("old.example") && names.contains("new.example"));
        let again = issue(ca_cert.clone(), ca_key, &names, now()).unwrap();
        assert_eq!(again.ca_cert, ca_cert);
    }

    #[test]
    fn a_certificate_in_its_last_year_is_renewed() {
        let names = names("ns", &[]);
        let later: Timestamp = "2028-01-01T00:00:00Z".parse().unwrap();
        assert!(matches!(decide(&made(&names), &names, later), Decision::Renew { .. }));
    }

    #[test]
    fn a_secret_without_an_authority_is_replaced() {
        assert!(matches!(decide(&Secret::default(), &names("ns", &[]), now()), Decision::Replace));
    }
}
