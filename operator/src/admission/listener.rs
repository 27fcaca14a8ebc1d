//! TCP connections and a certificate that changes in; TLS sessions for the webhook's server out.

use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// A session is agreed in this time, or the caller is gone.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Sessions that wait to be served.
const WAITING: usize = 16;
/// Pause after a connection that could not be accepted, as when there are no descriptors left.
const PAUSE: Duration = Duration::from_millis(100);

/// The certificate in use; none yet: sessions fail, and the API server does as `failurePolicy` says.
#[derive(Debug, Default)]
pub struct Current(RwLock<Option<Arc<CertifiedKey>>>);

impl Current {
    /// Uses this certificate and key, PEM, for new sessions.
    ///
    /// # Errors
    /// They are not readable, or do not belong together.
    pub fn take(&self, cert: &[u8], key: &[u8]) -> Result<(), String> {
        let chain: Vec<CertificateDer<'static>> =
            CertificateDer::pem_slice_iter(cert).collect::<Result<_, _>>().map_err(|error| error.to_string())?;
        if chain.is_empty() {
            return Err("there is no certificate in it".to_owned());
        }
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| error.to_string())?;
        let provider = CryptoProvider::get_default().ok_or("no cryptography provider is installed")?;
        let certified = CertifiedKey::from_der(chain, key, provider).map_err(|error| error.to_string())?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(certified));
        Ok(())
    }

    /// Whether there is a certificate to serve with.
    pub fn is_held(&self) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).is_some()
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A listener whose handshakes run beside each other, so that one slow caller holds up no other.
pub struct TlsListener {
    address: SocketAddr,
    sessions: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
}

impl TlsListener {
    /// Begins to accept; ends when it is dropped.
    ///
    /// # Errors
    /// The listener has no address.
    pub fn new(listener: TcpListener, current: Arc<Current>) -> std::io::Result<TlsListener> {
        let address = listener.local_addr()?;
        let mut config = ServerConfig::builder().with_no_client_auth().with_cert_resolver(current);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let (out, sessions) = mpsc::channel(WAITING);
        tokio::spawn(accept(listener, TlsAcceptor::from(Arc::new(config)), out));
        Ok(TlsListener { address, sessions })
    }
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, out: mpsc::Sender<(TlsStream<TcpStream>, SocketAddr)>) {
    loop {
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "webhook connection not accepted");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            },
            () = out.closed() => return,
        };
        let (acceptor, out) = (acceptor.clone(), out.clone());
        tokio::spawn(async move {
            // An error means that nothing but a delay in sending small answers is lost.
            let _ = stream.set_nodelay(true);
            match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
                // An error means that the process is going down.
                Ok(Ok(session)) => drop(out.send((session, peer)).await),
                Ok(Err(error)) => tracing::info!(%peer, %error, "no TLS session with the webhook"),
                Err(_) => tracing::debug!(%peer, "no TLS session in time"),
            }
        });
    }
}

impl axum::serve::Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.sessions.recv().await {
            Some(session) => session,
            // The task that accepts ends only with this listener.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        Ok(self.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::issue;
    use jiff::{Timestamp, ToSpan};

    #[test]
    fn a_certificate_that_does_not_fit_its_key_leaves_the_one_before_in_use() {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let now: Timestamp = "2026-11-20T08:00:00Z".parse().unwrap();
        let names = ["tollway-webhook.ns.svc".to_owned()].into();
        let authority = issue::authority(now, 9.days()).unwrap();
        let [one, other] = [(); 2].map(|()| issue::server(&authority.key, &names, now, 9.days()).unwrap());
        let current = Current::default();
        assert!(!current.is_held());
        assert!(current.take(one.cert.as_bytes(), other.key.as_bytes()).is_err());
        assert!(current.take(b"no PEM", one.key.as_bytes()).is_err());
        assert!(!current.is_held());
        current.take(one.cert.as_bytes(), one.key.as_bytes()).unwrap();
        let held = current.0.read().unwrap().clone().unwrap();
        assert!(current.take(other.cert.as_bytes(), one.key.as_bytes()).is_err());
        assert!(Arc::ptr_eq(&held, current.0.read().unwrap().as_ref().unwrap()));
    }
}
