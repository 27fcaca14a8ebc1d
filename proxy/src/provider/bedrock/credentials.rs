//! `Aws`: where a request goes and a body in, a signed request out; configuration and credentials are loaded at the first one and kept fresh.

use super::endpoint::{AGENT_CORE, BEDROCK, S3, SAGEMAKER, SQS, Service, configured, path, regional};
use super::sign::sign_request;
use crate::chat::{ErrorKind, UpstreamError};
use crate::surface::bedrock::Api;
use aws_config::environment::region::EnvironmentVariableRegionProvider;
use aws_config::meta::region::{ProvideRegion, RegionProviderChain};
use aws_config::profile::region::ProfileFileRegionProvider;
use aws_config::sts::AssumeRoleProvider;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, header};
use http_body_util::Full;
use std::collections::HashMap;
use std::error::Error as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::{Mutex, OnceCell};
use tollway_core::table;

/// Credentials are renewed when this little of their life is left.
const RENEW: Duration = Duration::from_secs(300);
/// Credentials that could not be renewed are used until this little of their life is left.
const UNUSABLE: Duration = Duration::from_secs(10);
/// Longest wait for credentials.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why a request could not be signed. The target is skipped like one that is down.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AwsError {
    /// Nothing says which region.
    #[error("no AWS region: set the target's region, or AWS_REGION for the proxy")]
    NoRegion,
    /// The credential chain gave none.
    #[error("no AWS credentials{for_role}: {cause}; see the AWS default credential chain for where they may come from")]
    Credentials {
        /// Empty, or which role was to be assumed.
        for_role: String,
        /// What the chain said.
        cause: String,
    },
    /// The request cannot be signed.
    #[error("the request cannot be signed: {0}")]
    Sign(String),
}

impl From<AwsError> for UpstreamError {
    fn from(error: AwsError) -> Self {
        let message = error.to_string();
        Self { kind: ErrorKind::Unavailable, status: 503, name: "NotSigned".to_owned(), message }
    }
}

/// Everything about AWS that a process has once. Nothing is read, and nothing asked, before the first request.
#[derive(Debug, Default)]
pub struct Aws {
    loaded: OnceCell<Loaded>,
}

/// Where a request goes, and as whom.
#[derive(Clone, Copy, Debug)]
pub struct Destination<'a> {
    pub service: Service,
    /// Absent: the proxy's own default region.
    pub region: Option<&'a str>,
    /// Absent: the proxy's own credentials.
    pub role: Option<&'a str>,
    /// Path and query, encoded.
    pub path: &'a str,
}

#[derive(Debug)]
struct Loaded {
    config: SdkConfig,
    /// The addresses that environment or profile set for every region, by service.
    endpoints: Vec<(Service, String)>,
    /// Where targets are that do not say it; asked for at the first one.
    default_region: OnceCell<Option<Region>>,
    /// A Bedrock API key, used in place of signatures.
    bearer: Option<HeaderValue>,
    own: Arc<Fresh>,
    /// By role ARN and region.
    roles: Mutex<HashMap<(String, String), Arc<Fresh>>>,
}

impl Aws {
    /// Configuration and credentials from the environment, by AWS's default chain.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The POST request that sends `body` to the target's model, authorized; `headers` go along.
    pub async fn signed_request(
        &self,
        target: &table::Bedrock,
        (api, stream): (Api, bool),
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Request<Full<Bytes>>, AwsError> {
        let path = path(&target.model_id, api.action(stream));
        let to = Destination {
            service: BEDROCK,
            region: target.region.as_deref(),
            role: target.role_arn.as_deref(),
            path: &path,
        };
        let accept = if stream { "application/vnd.amazon.eventstream" } else { "application/json" };
        let mut headers = headers;
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
        self.post(to, headers, body).await
    }

    /// The POST request that invokes a SageMaker endpoint with `body`, signed.
    ///
    /// # Errors
    /// No region, no credentials, or nothing that can be signed.
    pub async fn sagemaker_request(
        &self,
        target: &table::SageMaker,
        body: Bytes,
    ) -> Result<Request<Full<Bytes>>, AwsError> {
        let json = HeaderValue::from_static("application/json");
        let mut headers = HeaderMap::from_iter([(header::CONTENT_TYPE, json.clone()), (header::ACCEPT, json)]);
        let part = match (&target.inference_component, &target.variant) {
            (Some(component), _) => Some(("x-amzn-sagemaker-inference-component", component)),
            (None, Some(variant)) => Some(("x-amzn-sagemaker-target-variant", variant)),
            (None, None) => None,
        };
        if let Some((header, name)) = part {
            let name = HeaderValue::from_str(name).map_err(|error| AwsError::Sign(error.to_string()))?;
            headers.insert(header, name);
        }
        let path = format!("/endpoints/{}/invocations", target.endpoint_name);
        let to = Destination { service: SAGEMAKER, region: target.region.as_deref(), role: None, path: &path };
        self.post(to, headers, body).await
    }

    /// The POST request that sends `body` with these headers, authorized.
    ///
    /// # Errors
    /// No region, no credentials, or nothing that can be signed.
    pub async fn post(
        &self,
        to: Destination<'_>,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Request<Full<Bytes>>, AwsError> {
        self.request(Method::POST, to, headers, body).await
    }

    /// A request of any method.
    ///
    /// # Errors
    /// No region, no credentials, or nothing that can be signed.
    pub async fn request(
        &self,
        method: Method,
        to: Destination<'_>,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Request<Full<Bytes>>, AwsError> {
        let Destination { service, region, role, path } = to;
        let loaded = self.loaded.get_or_init(|| Loaded::from_environment(region.map(str::to_owned))).await;
        let region = match region {
            Some(region) => region,
            None => loaded.default_region().await.ok_or(AwsError::NoRegion)?,
        };
        let set = loaded.endpoints.iter().find(|(of, _)| *of == service);
        let uri = match set {
            Some((_, endpoint)) => format!("{endpoint}{path}"),
            None => format!("{}{path}", regional(&loaded.config, service, region)),
        };
        let request = Request::builder().method(method).uri(uri).body(Full::new(body.clone()));
        let mut request = request.map_err(|e| AwsError::Sign(e.to_string()))?;
        *request.headers_mut() = headers;
        if let (Some(bearer), None) = (loaded.bearer.as_ref().filter(|_| service == BEDROCK), role) {
            request.headers_mut().insert(header::AUTHORIZATION, bearer.clone());
            return Ok(request);
        }
        let credentials = match role {
            None => loaded.own.get(SystemTime::now()).await?,
            Some(role) => loaded.role(role, region).await.get(SystemTime::now()).await?,
        };
        sign_request(&mut request, &body, credentials, (service, region), SystemTime::now())?;
        Ok(request)
    }
}

impl Loaded {
    /// `nearby` is the region of the target at hand. Token exchanges need some region; asking the machine for one, as
    /// the default chain would in the end, takes seconds where there is nobody to ask.
    async fn from_environment(nearby: Option<String>) -> Self {
        let said = RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new())
            .or_else(ProfileFileRegionProvider::new());
        let region = match nearby {
            Some(nearby) => said.or_else(Region::new(nearby)),
            None => said.or_default_provider(),
        };
        let config = aws_config::defaults(BehaviorVersion::latest()).region(region).load().await;
        let set = |service| configured(&config, service).map(|address| (service, address));
        let endpoints = [BEDROCK, SAGEMAKER, AGENT_CORE, S3, SQS].into_iter().filter_map(set).collect();
        let bearer = std::env::var("AWS_BEARER_TOKEN_BEDROCK").ok().filter(|token| !token.is_empty());
        let bearer = bearer.and_then(|token| HeaderValue::from_str(&format!("Bearer {token}")).ok());
        let bearer = bearer.map(|mut value| {
            value.set_sensitive(true);
            value
        });
        let own = Arc::new(Fresh::new(String::new(), config.credentials_provider()));
        Self { config, endpoints, default_region: OnceCell::new(), bearer, own, roles: Mutex::default() }
    }

    async fn default_region(&self) -> Option<&str> {
        let ask = || async { aws_config::default_provider::region::default_provider().region().await };
        self.default_region.get_or_init(ask).await.as_ref().map(Region::as_ref)
    }

    /// Credentials of a role, assumed with the process's own.
    async fn role(&self, role: &str, region: &str) -> Arc<Fresh> {
        let mut roles = self.roles.lock().await;
        let key = (role.to_owned(), region.to_owned());
        if let Some(known) = roles.get(&key) {
            return Arc::clone(known);
        }
        let provider = AssumeRoleProvider::builder(role)
            .configure(&self.config)
            .region(Region::new(region.to_owned()))
            .session_name("tollway")
            .build()
            .await;
        let fresh = Arc::new(Fresh::new(format!(" for role {role}"), Some(SharedCredentialsProvider::new(provider))));
        roles.insert(key, Arc::clone(&fresh));
        fresh
    }
}

/// Credentials of one identity, renewed before they expire.
#[derive(Debug)]
pub(super) struct Fresh {
    for_role: String,
    provider: Option<SharedCredentialsProvider>,
    current: std::sync::RwLock<Option<Credentials>>,
    renewing: Mutex<()>,
}

impl Fresh {
    pub(super) fn new(for_role: String, provider: Option<SharedCredentialsProvider>) -> Self {
        Self { for_role, provider, current: std::sync::RwLock::default(), renewing: Mutex::default() }
    }

    pub(super) async fn get(&self, now: SystemTime) -> Result<Credentials, AwsError> {
        let held = self.held();
        if let Some(held) = held.as_ref().filter(|held| outlives(held, now, RENEW)) {
            return Ok(held.clone());
        }
        let usable = held.filter(|held| outlives(held, now, UNUSABLE));
        // One renews; meanwhile the others use what there is, or wait when there is nothing.
        let _renewing = match (self.renewing.try_lock(), usable.clone()) {
            (Ok(guard), _) => guard,
            (Err(_), Some(usable)) => return Ok(usable),
            (Err(_), None) => self.renewing.lock().await,
        };
        if let Some(renewed) = self.held().filter(|held| outlives(held, now, RENEW)) {
            return Ok(renewed);
        }
        match (self.fetch().await, usable) {
            (Ok(renewed), _) => {
                *self.current.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(renewed.clone());
                Ok(renewed)
            }
            (Err(error), Some(usable)) => {
                tracing::warn!(%error, "AWS credentials could not be renewed; the present ones are used until they expire");
                Ok(usable)
            }
            (Err(error), None) => Err(error),
        }
    }

    fn held(&self) -> Option<Credentials> {
        self.current.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    async fn fetch(&self) -> Result<Credentials, AwsError> {
        let failed = |cause: String| AwsError::Credentials { for_role: self.for_role.clone(), cause };
        let Some(provider) = &self.provider else { return Err(failed("the chain is switched off".to_owned())) };
        match tokio::time::timeout(PATIENCE, provider.provide_credentials()).await {
            Ok(Ok(credentials)) => Ok(credentials),
            Ok(Err(error)) => {
                let cause = error.source().map(|source| format!(": {source}")).unwrap_or_default();
                Err(failed(format!("{error}{cause}")))
            }
            Err(_) => Err(failed(format!("no answer within {} s", PATIENCE.as_secs()))),
        }
    }
}

fn outlives(credentials: &Credentials, now: SystemTime, rest: Duration) -> bool {
    credentials.expiry().is_none_or(|expiry| expiry > now + rest)
}
