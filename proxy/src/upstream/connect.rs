//! A URI in, a connection out: resolve, guard every address, connect, TLS; all of it within one time-out.

use super::guard::{self, Policy};
use http::Uri;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("{0:?} has no host: a base URL looks like http://host:port/v1")]
    NoHost(Uri),
    #[error("cannot resolve {host:?}: {error}")]
    Resolve { host: String, error: io::Error },
    #[error("{host:?} is not dialled: {address} is {reason}")]
    Refused { host: String, address: IpAddr, reason: &'static str },
    #[error("cannot connect to {host:?}: {error}")]
    Connect { host: String, error: io::Error },
    #[error("no connection to {host:?} within {} ms", after.as_millis())]
    TimedOut { host: String, after: Duration },
    #[error("TLS is not possible: {0}")]
    Tls(String),
}

/// Trust anchors and settings of TLS, read at the first use: most sidecars of plain-text targets never need them.
#[derive(Clone, Default)]
pub struct Tls(Arc<OnceLock<Result<TlsConnector, String>>>);

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

impl Tls {
    fn connector(&self) -> Result<TlsConnector, ConnectError> {
        self.0.get_or_init(tls).clone().map_err(ConnectError::Tls)
    }
}

fn tls() -> Result<TlsConnector, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = rustls::RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        let why = found.errors.first().map_or_else(|| "none found".to_owned(), ToString::to_string);
        return Err(format!("no trusted certificates ({why}): install ca-certificates or set SSL_CERT_FILE"));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let mut config = builder.map_err(|error| error.to_string())?.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Makes connections for one pool.
#[derive(Clone, Debug)]
pub struct Connector {
    policy: Policy,
    timeout: Duration,
    tls: Tls,
}

impl Connector {
    pub const fn new(policy: Policy, timeout: Duration, tls: Tls) -> Self {
        Self { policy, timeout, tls }
    }

    async fn connect(self, uri: Uri) -> Result<TokioIo<Conn>, ConnectError> {
        let Some(host) = uri.host().map(|h| h.trim_start_matches('[').trim_end_matches(']').to_owned()) else {
            return Err(ConnectError::NoHost(uri));
        };
        let within = self.timeout;
        match tokio::time::timeout(within, self.establish(&uri, &host)).await {
            Ok(made) => made.map(TokioIo::new),
            Err(_) => Err(ConnectError::TimedOut { host, after: within }),
        }
    }

    async fn establish(&self, uri: &Uri, host: &str) -> Result<Conn, ConnectError> {
        let https = uri.scheme() == Some(&http::uri::Scheme::HTTPS);
        let port = uri.port_u16().unwrap_or(if https { 443 } else { 80 });
        let stream = self.dial(host, port).await?;
        if !https {
            return Ok(Conn::Plain(stream));
        }
        let name = ServerName::try_from(host.to_owned()).map_err(|error| ConnectError::Tls(error.to_string()))?;
        let tls = self.tls.connector()?;
        let secured = tls.connect(name, stream).await;
        secured.map(|s| Conn::Tls(Box::new(s))).map_err(|error| ConnectError::Connect { host: host.to_owned(), error })
    }

    async fn dial(&self, host: &str, port: u16) -> Result<TcpStream, ConnectError> {
        let addresses = resolve(host, port).await?;
        let mut last = None;
        let allowed = addresses.iter().filter(|address| match guard::refusal(address.ip(), self.policy) {
            Some(reason) => {
                last = Some(ConnectError::Refused { host: host.to_owned(), address: address.ip(), reason });
                false
            }
            None => true,
        });
        let allowed: Vec<SocketAddr> = allowed.copied().collect();
        // One dead address must not eat the time of the others.
        let share = self.timeout / u32::try_from(allowed.len()).unwrap_or(u32::MAX).max(1);
        for address in allowed {
            let dialled = tokio::time::timeout(share, TcpStream::connect(address)).await;
            match dialled.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
                Ok(stream) => {
                    // A token is worth more than a full segment.
                    stream.set_nodelay(true).map_err(|error| ConnectError::Connect { host: host.to_owned(), error })?;
                    return Ok(stream);
                }
                Err(error) => last = Some(ConnectError::Connect { host: host.to_owned(), error }),
            }
        }
        let none = || ConnectError::Resolve { host: host.to_owned(), error: io::ErrorKind::NotFound.into() };
        Err(last.unwrap_or_else(none))
    }
}

async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, ConnectError> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let found = tokio::net::lookup_host((host, port)).await;
    found.map(Iterator::collect).map_err(|error| ConnectError::Resolve { host: host.to_owned(), error })
}

impl tower_service::Service<Uri> for Connector {
    type Response = TokioIo<Conn>;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(self.clone().connect(uri))
    }
}

/// A connection to a target.
#[derive(Debug)]
pub enum Conn {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Connection for Conn {
    fn connected(&self) -> Connected {
        match self {
            Self::Tls(stream) if stream.get_ref().1.alpn_protocol() == Some(b"h2") => Connected::new().negotiated_h2(),
            Self::Plain(_) | Self::Tls(_) => Connected::new(),
        }
    }
}

impl AsyncRead for Conn {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Conn {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }
}
