//! A gateway's certificate files in, TLS sessions out; a certificate that is renewed on disk is taken up without a restart.

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(30);
/// A session is agreed in this time, or the client is gone.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// PEM files of a gateway.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    pub cert: PathBuf,
    pub key: PathBuf,
}

/// Why files make no TLS configuration.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("--tls-cert {path}: {error}; give a PEM file with the certificate chain")]
    Cert { path: String, error: String },
    #[error("--tls-key {path}: {error}; give a PEM file with the private key")]
    Key { path: String, error: String },
    #[error("--tls-cert and --tls-key do not belong together: {0}")]
    Pair(rustls::Error),
}

/// The configuration that new connections get.
#[derive(Debug)]
pub struct Tls {
    files: TlsFiles,
    config: ArcSwap<ServerConfig>,
}

impl Tls {
    /// # Errors
    /// A file that cannot be read, or that holds no certificate or no key.
    pub fn load(files: TlsFiles) -> Result<Arc<Self>, TlsError> {
        let config = ArcSwap::new(read(&files)?);
        Ok(Arc::new(Self { files, config }))
    }

    /// Follows the files for as long as the process lives.
    pub async fn follow(self: Arc<Self>) {
        let content = |files: &TlsFiles| [&files.cert, &files.key].map(|path| std::fs::read(path).ok());
        let mut last = content(&self.files);
        loop {
            tokio::time::sleep(LOOK).await;
            let now = content(&self.files);
            if now == last {
                continue;
            }
            match read(&self.files) {
                Ok(config) => {
                    self.config.store(config);
                    last = now;
                    tracing::info!("the renewed certificate is in use");
                }
                // Halfway through a renewal the two do not fit; the next look finds them whole.
                Err(error) => tracing::warn!(%error, "the certificate on disk is not used; the one before stays"),
            }
        }
    }

    /// Agrees on a session; `None` when the client does not manage to in time.
    pub async fn accept(&self, stream: TcpStream) -> Option<TlsStream<TcpStream>> {
        let acceptor = TlsAcceptor::from(self.config.load_full());
        match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => Some(stream),
            Ok(Err(error)) => {
                tracing::debug!(%error, "no TLS session");
                None
            }
            Err(_) => None,
        }
    }
}

fn read(files: &TlsFiles) -> Result<Arc<ServerConfig>, TlsError> {
    let TlsFiles { cert, key } = files;
    let bad_cert = |error: String| TlsError::Cert { path: cert.display().to_string(), error };
    let bad_key = |error: String| TlsError::Key { path: key.display().to_string(), error };
    let chain = CertificateDer::pem_file_iter(cert).map_err(|error| bad_cert(error.to_string()))?;
    let chain = chain.collect::<Result<Vec<_>, _>>().map_err(|error| bad_cert(error.to_string()))?;
    if chain.is_empty() {
        return Err(bad_cert("holds no certificate".to_owned()));
    }
    let key = PrivateKeyDer::from_pem_file(key).map_err(|error| bad_key(error.to_string()))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Pair)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(TlsError::Pair)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_do_not_serve_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let [cert, key] = ["cert.pem", "key.pem"].map(|name| dir.path().join(name));
        let files = TlsFiles { cert: cert.clone(), key: key.clone() };
        let made = |name: &str| rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        assert!(read(&files).unwrap_err().to_string().contains("--tls-cert"));
        let one = made("one");
        std::fs::write(&cert, one.cert.pem()).unwrap();
        assert!(read(&files).unwrap_err().to_string().contains("--tls-key"));
        std::fs::write(&key, made("other").signing_key.serialize_pem()).unwrap();
        assert!(read(&files).unwrap_err().to_string().contains("belong together"));
        std::fs::write(&key, one.signing_key.serialize_pem()).unwrap();
        assert!(read(&files).is_ok());
        std::fs::write(&cert, "").unwrap();
        assert!(read(&files).unwrap_err().to_string().contains("no certificate"));
    }
}
