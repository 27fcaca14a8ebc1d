//! A bearer token in; the namespace and Pod it belongs to out, as the API server says.
//!
//! # Why nothing of a message is believed
//! A table holds prices, addresses and budgets of one namespace, and a dead holder's grants burn: both hang on who the caller
//! is, so that comes from the token alone. A token without a Pod (made by hand for a proxy outside) is its service account;
//! such a holder has no Pod whose end could be watched, so only the end of a grant's life burns it.

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use kube::api::PostParams;
use kube::{Api, Client};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;
use tokio::time::Instant;
use tonic::Status;
use tonic::metadata::MetadataMap;

/// How long a good answer is believed; a token that is revoked keeps its open streams anyway.
const GOOD: Duration = Duration::from_secs(10);
/// Answers kept at most.
const KEPT: usize = 10_000;

/// Who is at the other end of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Namespace of the service account; the only one it may see.
    pub namespace: String,
    /// Service account name.
    pub account: String,
    /// The Pod that the token is bound to, if any.
    pub pod: Option<Pod>,
    /// Uid of the service account.
    pub account_uid: String,
}

/// A Pod, by name and uid.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pod {
    /// Name.
    pub name: String,
    /// Uid.
    pub uid: String,
}

impl Caller {
    /// The proxy's name for people: its Pod's, else its account's with the start of the incarnation.
    pub fn proxy_name(&self, incarnation: &str) -> String {
        match &self.pod {
            Some(pod) => pod.name.clone(),
            None => format!("{}-{}", self.account, incarnation.chars().take(8).collect::<String>()),
        }
    }
}

/// Asks the API server about tokens.
pub struct Auth {
    client: Client,
    audience: String,
    known: Mutex<HashMap<[u8; 32], (Instant, Caller)>>,
}

impl Auth {
    /// Accepts tokens for this audience.
    pub fn new(client: Client, audience: String) -> Auth {
        Auth { client, audience, known: Mutex::default() }
    }

    /// The caller, or the status that ends the call.
    pub async fn caller(&self, metadata: &MetadataMap) -> Result<Caller, Status> {
        let token = bearer(metadata)?;
        let key: [u8; 32] = Sha256::digest(token).into();
        if let Some(caller) = self.known(&key) {
            return Ok(caller);
        }
        let review = TokenReview {
            spec: TokenReviewSpec { audiences: Some(vec![self.audience.clone()]), token: Some(token.to_owned()) },
            ..TokenReview::default()
        };
        let api: Api<TokenReview> = Api::all(self.client.clone());
        let answer = api.create(&PostParams::default(), &review).await.map_err(|error| {
            tracing::warn!(%error, "TokenReview failed; proxies cannot connect: check that the operator may create tokenreviews");
            Status::unavailable("the token could not be reviewed just now; try again")
        })?;
        let caller = read(answer.status.unwrap_or_default(), &self.audience).map_err(Status::unauthenticated)?;
        self.keep(key, caller.clone());
        Ok(caller)
    }

    fn known(&self, key: &[u8; 32]) -> Option<Caller> {
        let known = self.known.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        known.get(key).filter(|(until, _)| *until > Instant::now()).map(|(_, caller)| caller.clone())
    }

    fn keep(&self, key: [u8; 32], caller: Caller) {
        let mut known = self.known.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let now = Instant::now();
        if known.len() >= KEPT {
            known.retain(|_, (until, _)| *until > now);
        }
        if known.len() < KEPT {
            known.insert(key, (now + GOOD, caller));
        }
    }
}

fn bearer(metadata: &MetadataMap) -> Result<&str, Status> {
    metadata
        .get("authorization")
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer ").or_else(|| value.strip_prefix("bearer ")))
        .map(str::trim)
        .filter(|token| !token.is_empty())
        .ok_or_else(|| {
            Status::unauthenticated(
                "no bearer token: give the proxy --token-file with a projected service-account token",
            )
        })
}

/// What the API server's answer says about the caller.
fn read(status: TokenReviewStatus, audience: &str) -> Result<Caller, String> {
    if status.authenticated != Some(true) {
        let why = status.error.unwrap_or_else(|| "not authenticated".to_owned());
        return Err(format!("token refused: {why}; it must be a service-account token for audience {audience}"));
    }
    if !status.audiences.unwrap_or_default().iter().any(|named| named == audience) {
        return Err(format!("token refused: it is not for audience {audience}"));
    }
    let user = status.user.unwrap_or_default();
    let username = user.username.unwrap_or_default();
    let (namespace, account) = username
        .strip_prefix("system:serviceaccount:")
        .and_then(|rest| rest.split_once(':'))
        .ok_or_else(|| format!("token refused: {username:?} is not a service account"))?;
    let mut extra = user.extra.unwrap_or_default();
    let mut first =
        |key: &str| extra.remove(&format!("authentication.kubernetes.io/{key}")).and_then(|all| all.into_iter().next());
    let pod = match (first("pod-name"), first("pod-uid")) {
        (Some(name), Some(uid)) => Some(Pod { name, uid }),
        _ => None,
    };
    Ok(Caller {
        namespace: namespace.to_owned(),
        account: account.to_owned(),
        pod,
        account_uid: user.uid.unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::authentication::v1::UserInfo;
    use std::collections::BTreeMap;

    fn status(username: &str, audience: &str, extra: &[(&str, &str)]) -> TokenReviewStatus {
        TokenReviewStatus {
            authenticated: Some(true),
            audiences: Some(vec![audience.into()]),
            user: Some(UserInfo {
                username: Some(username.into()),
                uid: Some("sa-uid".into()),
                extra: Some(
                    extra
                        .iter()
                        .map(|(key, value)| (format!("authentication.kubernetes.io/{key}"), vec![(*value).to_owned()]))
                        .collect::<BTreeMap<_, _>>(),
                ),
                groups: None,
            }),
            error: None,
        }
    }

    #[test]
    fn namespace_and_pod_come_from_the_token() {
        let caller =
            read(status("system:serviceaccount:team:proxy", "a", &[("pod-name", "p-1"), ("pod-uid", "u-1")]), "a")
                .unwrap();
        assert_eq!(caller.namespace, "team");
        assert_eq!(caller.pod, Some(Pod { name: "p-1".into(), uid: "u-1".into() }));
        assert_eq!(caller.proxy_name("abcdefghijkl"), "p-1");
    }

    #[test]
    fn a_token_without_a_pod_is_its_account() {
        let caller = read(status("system:serviceaccount:team:proxy", "a", &[]), "a").unwrap();
        assert_eq!((caller.pod.as_ref(), caller.account_uid.as_str()), (None, "sa-uid"));
        assert_eq!(caller.proxy_name("abcdefghijkl"), "proxy-abcdefgh");
    }

    #[test]
    fn other_audiences_users_and_refusals_are_turned_away() {
        assert!(read(status("system:serviceaccount:team:proxy", "b", &[]), "a").unwrap_err().contains("audience a"));
        assert!(read(status("kubernetes-admin", "a", &[]), "a").unwrap_err().contains("not a service account"));
        let refused = TokenReviewStatus { error: Some("expired".into()), ..TokenReviewStatus::default() };
        assert!(read(refused, "a").unwrap_err().contains("expired"));
    }

    #[test]
    fn a_call_without_a_token_says_how_to_give_one() {
        assert!(bearer(&MetadataMap::new()).unwrap_err().message().contains("--token-file"));
    }
}
