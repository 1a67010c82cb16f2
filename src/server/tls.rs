//! TLS: the certificate in force, read from files and exchanged when they change. Knows nothing of HTTP but the names
//! that ALPN needs.
//!
//! TLS 1.2 and 1.3 with aws-lc-rs, which is given to rustls here and not installed for the process, so that no other
//! part can change it. A connection takes the certificate that is in force at its handshake; connections that stand
//! are not touched by an exchange.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use tokio::net::TcpStream;
use tokio_rustls::{Accept, TlsAcceptor};

use crate::certificate::{self, PairError};

/// Why a listener cannot speak TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The certificate or its key cannot be used; it names the file.
    #[error(transparent)]
    Pair(#[from] PairError),
    /// TLS itself cannot be set up; no file's fault.
    #[error("TLS cannot be set up: {0}")]
    Setup(#[source] rustls::Error),
}

/// The TLS side of a listener. Clones share the certificate.
#[derive(Clone, Debug)]
pub struct Tls {
    config: Arc<ServerConfig>,
    certificate: Arc<Certificate>,
}

impl Tls {
    /// Reads the chain (first the server's own certificate) and its key (PKCS#8, PKCS#1 or SEC1), both PEM.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub fn load(chain: &Path, key: &Path) -> Result<Self, TlsError> {
        let files = Files { chain: chain.to_owned(), key: key.to_owned() };
        let provider = Arc::new(aws_lc_rs::default_provider());
        let stamp = files.stamp();
        let current = ArcSwap::from_pointee(files.load(&provider)?);
        let certificate = Arc::new(Certificate { files, provider: Arc::clone(&provider), stamp, current });
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(TlsError::Setup)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&certificate) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        // Resumption without state here: a client that comes back costs no signature.
        config.ticketer = aws_lc_rs::Ticketer::new().map_err(TlsError::Setup)?;
        Ok(Self { config: Arc::new(config), certificate })
    }

    /// Looks at both files `every` so often and takes a new pair into force when they changed. Never returns; to be
    /// spawned. A pair that cannot be used is logged as an error, and the old one stays.
    pub async fn watch(&self, every: Duration) {
        let mut stamp = self.certificate.stamp;
        loop {
            tokio::time::sleep(every).await;
            let certificate = Arc::clone(&self.certificate);
            let seen = stamp;
            // Files, and for RSA a check of the key: not work for a thread that serves connections.
            match tokio::task::spawn_blocking(move || certificate.refresh(seen)).await {
                Ok(now) => stamp = now,
                Err(error) => tracing::error!(%error, "looking for a new certificate failed"),
            }
        }
    }

    pub(super) fn accept(&self, socket: TcpStream) -> Accept<TcpStream> {
        TlsAcceptor::from(Arc::clone(&self.config)).accept(socket)
    }
}

/// The certificate in force and where it comes from.
#[derive(Debug)]
struct Certificate {
    files: Files,
    provider: Arc<CryptoProvider>,
    /// The files at the start.
    stamp: Stamp,
    current: ArcSwap<CertifiedKey>,
}

impl Certificate {
    /// Reads the files again unless they are as `seen`; the stamp that they have now.
    fn refresh(&self, seen: Stamp) -> Stamp {
        // Taken before the files are read: a change while they are read is found the next time.
        let stamp = self.files.stamp();
        if stamp == seen {
            return seen;
        }
        match self.files.load(&self.provider) {
            Ok(key) => {
                self.current.store(Arc::new(key));
                tracing::info!(certificate = %self.files.chain.display(), "new certificate in force");
            }
            Err(error) => tracing::error!(%error, "new certificate cannot be used; the old one stays in force"),
        }
        stamp
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

/// What tells one state of a file from another: its inode, its length, its time of change in seconds and nanoseconds.
/// None for a file that is not there.
type FileStamp = Option<(u64, u64, i64, i64)>;
type Stamp = [FileStamp; 2];

#[derive(Debug)]
struct Files {
    chain: PathBuf,
    key: PathBuf,
}

impl Files {
    fn stamp(&self) -> Stamp {
        [&self.chain, &self.key].map(|path| {
            let metadata = std::fs::metadata(path).ok()?;
            Some((metadata.ino(), metadata.len(), metadata.mtime(), metadata.mtime_nsec()))
        })
    }

    fn load(&self, provider: &CryptoProvider) -> Result<CertifiedKey, PairError> {
        certificate::load(&self.chain, &self.key, provider)
    }
}
