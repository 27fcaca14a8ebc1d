//! The operator's addresses and this proxy's token in, a connection to the leader out, shared by the three streams.
//!
//! # Why one connection
//! Only the leader serves. The `Watch` stream finds it, trying every address; `Ledger` and `Observe` follow it there, so
//! that no proxy asks one operator for money and takes its table from another.

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use http::Uri;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Status};

mod stub {
    #![allow(clippy::all, clippy::pedantic)]
    include!(concat!(env!("OUT_DIR"), "/client/tollway.control.v1.rs"));
}

pub type Client = stub::control_client::ControlClient<InterceptedService<Channel, Token>>;

/// A connection to the replica that serves.
#[derive(Clone, Debug)]
pub struct Operator {
    pub address: SocketAddr,
    pub client: Client,
}

/// Why the operator could not be reached.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    #[error(
        "--operator {0:?} is not an https address: the control channel carries a token and Secrets, so write https://host:port"
    )]
    NotHttps(String),
    #[error(
        "--operator-ca {path}: {error}; give the PEM file with the authority that signed the operator's certificate"
    )]
    Authority { path: String, error: std::io::Error },
    #[error("{host} does not resolve: {error}; check --operator and the cluster's DNS")]
    Resolve { host: String, error: std::io::Error },
    #[error("{address} did not take the connection: {error}")]
    Connect { address: SocketAddr, error: String },
}

/// How long a connection may take, TLS included.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long an address is tried alone.
const HEAD_START: Duration = Duration::from_millis(250);

/// Where operators may be, and how they are trusted.
#[derive(Debug)]
pub struct Addresses {
    hosts: Vec<(String, u16)>,
    /// Read at every connect, because authorities are rotated.
    ca: Option<PathBuf>,
    token_file: PathBuf,
}

/// One address to try, with the name its certificate must carry.
#[derive(Clone, Debug)]
pub struct Candidate {
    pub address: SocketAddr,
    host: String,
}

impl Addresses {
    /// # Errors
    /// An address that is not https.
    pub fn new(urls: &[String], ca: Option<PathBuf>, token_file: PathBuf) -> Result<Self, OperatorError> {
        let hosts = urls.iter().map(|url| host_of(url).ok_or_else(|| OperatorError::NotHttps(url.clone())));
        Ok(Self { hosts: hosts.collect::<Result<_, _>>()?, ca, token_file })
    }

    /// Every address that every name resolves to just now, in the order given.
    ///
    /// # Errors
    /// The last name that did not resolve, when none did.
    pub async fn candidates(&self) -> Result<Vec<Candidate>, OperatorError> {
        let mut found = Vec::new();
        let mut failed = None;
        for (host, port) in &self.hosts {
            match tokio::net::lookup_host((host.trim_matches(['[', ']']), *port)).await {
                Ok(all) => found.extend(all.map(|address| Candidate { address, host: host.clone() })),
                Err(error) => failed = Some(OperatorError::Resolve { host: host.clone(), error }),
            }
        }
        match failed {
            Some(error) if found.is_empty() => Err(error),
            _ => Ok(found),
        }
    }

    /// The first of the candidates that takes the connection; it leaves the list, and so does each that refused before it. Each is tried
    /// a moment after the one before, or at once when that one refused: the address of a Pod that is gone answers nothing, and must not
    /// keep a proxy from the leader for seconds of every upgrade.
    ///
    /// # Errors
    /// What every one of them said, when none did.
    pub async fn first(&self, left: &mut Vec<Candidate>) -> Result<Operator, Vec<OperatorError>> {
        let mut waiting: VecDeque<Candidate> = left.drain(..).collect();
        let mut silent: Vec<Candidate> = Vec::new();
        let mut trying = FuturesUnordered::new();
        let mut refusals = Vec::new();
        loop {
            if let Some(next) = waiting.pop_front() {
                silent.push(next.clone());
                trying.push(async move { (self.connect(&next).await, next.address) });
            }
            let outcome = if waiting.is_empty() {
                trying.next().await
            } else {
                match tokio::time::timeout(HEAD_START, trying.next()).await {
                    Ok(outcome) => outcome,
                    Err(_) => continue,
                }
            };
            let Some((outcome, address)) = outcome else { return Err(refusals) };
            silent.retain(|candidate| candidate.address != address);
            match outcome {
                Ok(operator) => {
                    left.extend(waiting.into_iter().chain(silent));
                    return Ok(operator);
                }
                Err(error) => refusals.push(error),
            }
        }
    }

    /// # Errors
    /// No TCP or TLS connection within 3 s, or no authority to trust.
    pub async fn connect(&self, to: &Candidate) -> Result<Operator, OperatorError> {
        let Candidate { address, host } = to;
        let refused =
            |error: tonic::transport::Error| OperatorError::Connect { address: *address, error: causes(&error) };
        let mut tls = ClientTlsConfig::new().domain_name(host.trim_matches(['[', ']']));
        tls = match &self.ca {
            None => tls.trust_anchors(system_anchors()),
            Some(path) => {
                let at = |error| OperatorError::Authority { path: path.display().to_string(), error };
                tls.ca_certificate(Certificate::from_pem(tokio::fs::read(path).await.map_err(at)?))
            }
        };
        let endpoint = Endpoint::from_shared(format!("https://{address}"))
            .and_then(|endpoint| endpoint.tls_config(tls))
            .map_err(refused)?
            .http2_keep_alive_interval(Duration::from_secs(5))
            .keep_alive_timeout(Duration::from_secs(5))
            .keep_alive_while_idle(true)
            .tcp_nodelay(true);
        // The endpoint's own limit is for TCP alone, and who takes the connection may say nothing then.
        let silent =
            |_| OperatorError::Connect { address: *address, error: format!("nothing heard within {PATIENCE:?}") };
        let channel = tokio::time::timeout(PATIENCE, endpoint.connect()).await.map_err(silent)?.map_err(refused)?;
        let client = Client::new(InterceptedService::new(channel, Token(self.token_file.clone())));
        Ok(Operator { address: *address, client: client.max_decoding_message_size(64 << 20) })
    }
}

/// Puts the service-account token on every stream it opens, read from the file each time because the kubelet rotates it.
#[derive(Clone, Debug)]
pub struct Token(PathBuf);

impl Interceptor for Token {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let path = self.0.display();
        let token = std::fs::read_to_string(&self.0).map_err(|error| {
            Status::unauthenticated(format!("token file {path}: {error}; mount one and name it with --token-file"))
        })?;
        let mut value: MetadataValue<Ascii> = format!("Bearer {}", token.trim())
            .parse()
            .map_err(|_| Status::unauthenticated(format!("token file {path} does not hold a token")))?;
        value.set_sensitive(true);
        request.metadata_mut().insert("authorization", value);
        Ok(request)
    }
}

/// Waits between rounds of attempts: doubled each time, full jitter, back to the start after a success.
#[derive(Debug, Default)]
pub struct Backoff(u32);

impl Backoff {
    const FIRST: u64 = 100;
    const MOST: u64 = 5_000;

    pub fn reset(&mut self) {
        self.0 = 0;
    }

    pub fn pause(&mut self) -> Duration {
        let most = Self::FIRST.saturating_mul(1 << self.0.min(16)).min(Self::MOST);
        self.0 = self.0.saturating_add(1);
        Duration::from_millis(fastrand::u64(most / 4..=most))
    }
}

fn host_of(url: &str) -> Option<(String, u16)> {
    let uri: Uri = url.trim().parse().ok()?;
    let bare = uri.path().trim_matches('/').is_empty() && uri.query().is_none();
    (uri.scheme_str() == Some("https") && bare)
        .then(|| Some((uri.host()?.to_owned(), uri.port_u16().unwrap_or(443))))?
}

fn system_anchors() -> Vec<rustls::pki_types::TrustAnchor<'static>> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots.roots
}

/// An error with every cause: tonic's own text names none.
pub fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let more = inner.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_that_is_silent_keeps_no_other_waiting() {
        // The one takes connections and says nothing, the other refuses.
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let at = |address| Candidate { address, host: "localhost".into() };
        let addresses = Addresses::new(&["https://localhost".into()], None, PathBuf::from("/nonexistent")).unwrap();
        let mut left = vec![at(silent.local_addr().unwrap()), at(gone)];
        let refusals = addresses.first(&mut left).await.unwrap_err();
        // The refusal came first although it was tried second.
        let text: Vec<String> = refusals.iter().map(ToString::to_string).collect();
        assert_eq!(text.len(), 2, "{text:?}");
        assert!(text[0].starts_with(&gone.to_string()), "{text:?}");
        assert!(left.is_empty());
        assert!(addresses.first(&mut Vec::new()).await.unwrap_err().is_empty());
    }

    #[test]
    fn only_https_addresses_are_taken() {
        assert_eq!(host_of("https://op.tollway:8443"), Some(("op.tollway".to_owned(), 8443)));
        assert_eq!(host_of("https://op/"), Some(("op".to_owned(), 443)));
        assert_eq!(host_of("https://[::1]:1"), Some(("[::1]".to_owned(), 1)));
        for url in ["http://op:1", "op:8443", "https://op/path", "https://op/?q", ""] {
            assert_eq!(host_of(url), None, "{url}");
        }
    }

    #[test]
    fn the_token_is_read_anew_each_time_and_never_printed() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut token = Token(file.path().to_owned());
        for text in ["first\n", "second\n"] {
            std::fs::write(file.path(), text).unwrap();
            let request = token.call(Request::new(())).unwrap();
            let value = request.metadata().get("authorization").unwrap();
            assert_eq!(value.to_str().unwrap(), format!("Bearer {}", text.trim()));
            assert!(!format!("{request:?}").contains(text.trim()));
        }
    }

    #[test]
    fn backoff_grows_to_its_most_and_starts_over() {
        let mut backoff = Backoff::default();
        for _ in 0..40 {
            assert!(backoff.pause() <= Duration::from_millis(Backoff::MOST));
        }
        backoff.reset();
        assert!(backoff.pause() <= Duration::from_millis(Backoff::FIRST));
    }
}
