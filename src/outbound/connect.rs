//! From a name to a socket: resolve, check each address, connect to one that was checked, TLS where the scheme says so.
//!
//! The check comes after the resolution and the socket goes to what was checked, so that a name cannot lead elsewhere in
//! between. A connection that is kept for the next request is one that was checked.

use std::fmt;
use std::future::Future;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{OnceCell, Semaphore};
use tokio_rustls::TlsConnector;
use tower::Service;

use crate::outbound::address::is_public;

/// From the name to the end of the TLS handshake.
pub(super) const DEADLINE: Duration = Duration::from_secs(10);
/// For one of a name's addresses: the next one is tried in time.
const ONE_ADDRESS: Duration = Duration::from_secs(4);
/// Names that are resolved at once: each takes a thread, of which the store needs some as well.
static RESOLVING: Semaphore = Semaphore::const_new(128);
/// Addresses of a name that are tried.
const ADDRESSES: usize = 8;

/// Why there is no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ConnectError {
    Malformed,
    Unresolved,
    NotPublic,
    Refused,
    Tls,
    NoRoots,
    TooSlow,
}

impl ConnectError {
    /// In words that name no address.
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Malformed => "its address cannot be used",
            Self::Unresolved => "its name cannot be resolved",
            Self::NotPublic => "its name leads to addresses that are not public",
            Self::Refused => "it takes no connections",
            Self::Tls => "the TLS handshake with it failed",
            Self::NoRoots => "there are no root certificates to trust it by",
            Self::TooSlow => "it did not take the connection in time",
        }
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.words())
    }
}

impl std::error::Error for ConnectError {}

/// Where connections may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// To public addresses only.
    Public,
    /// Anywhere.
    Anywhere,
}

impl Reach {
    /// Whether connections may go to this address.
    pub(super) fn admits(self, address: IpAddr) -> bool {
        self == Self::Anywhere || is_public(address)
    }
}

/// A socket, with or without TLS.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Stream for T {}

impl Connection for Box<dyn Stream> {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

/// Connects.
#[derive(Clone)]
pub(super) struct Connector {
    reach: Reach,
    /// Read when the first address with TLS is called: an idle process does not carry the authorities.
    tls: Arc<OnceCell<TlsConnector>>,
}

impl Connector {
    pub(super) fn new(reach: Reach) -> Self {
        Self { reach, tls: Arc::default() }
    }

    async fn connect(self, uri: Uri) -> Result<Box<dyn Stream>, ConnectError> {
        let host = uri.host().ok_or(ConnectError::Malformed)?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let secure = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let socket = open(&resolve(self.reach, host, port).await?).await?;
        if !secure {
            return Ok(Box::new(socket));
        }
        let name = ServerName::try_from(host.to_owned()).map_err(|_| ConnectError::Malformed)?;
        let tls = self.tls.get_or_try_init(|| async { over(system_roots().await?, &[b"http/1.1"]) }).await?;
        let stream = tls.connect(name, socket).await.map_err(|_| ConnectError::Tls)?;
        Ok(Box::new(stream))
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Box<dyn Stream>>;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = tokio::time::timeout(DEADLINE, self.clone().connect(uri));
        Box::pin(async move { Ok(TokioIo::new(connecting.await.map_err(|_| ConnectError::TooSlow)??)) })
    }
}

/// The addresses of a name that connections may go to, at least one.
pub(super) async fn resolve(reach: Reach, host: &str, port: u16) -> Result<Vec<SocketAddr>, ConnectError> {
    let permit = RESOLVING.acquire().await.map_err(|_| ConnectError::Unresolved)?;
    let name = (host.to_owned(), port);
    // The thread outlives whoever lost patience with it, and the permit ends with the thread.
    let resolving = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        name.to_socket_addrs().map(Vec::from_iter)
    });
    let found = resolving.await.ok().and_then(Result::ok).ok_or(ConnectError::Unresolved)?;
    if found.is_empty() {
        return Err(ConnectError::Unresolved);
    }
    let admitted = found.into_iter().filter(|address| reach.admits(address.ip()));
    let admitted: Vec<_> = admitted.take(ADDRESSES).collect();
    if admitted.is_empty() { Err(ConnectError::NotPublic) } else { Ok(admitted) }
}

pub(super) async fn open(addresses: &[SocketAddr]) -> Result<TcpStream, ConnectError> {
    for address in addresses {
        if let Ok(Ok(socket)) = tokio::time::timeout(ONE_ADDRESS, TcpStream::connect(address)).await {
            // A whole request is written at once; where this fails the socket is merely slower.
            let _ = socket.set_nodelay(true);
            return Ok(socket);
        }
    }
    Err(ConnectError::Refused)
}

/// The system's authorities; `SSL_CERT_FILE` and `SSL_CERT_DIR` name others.
pub(super) async fn system_roots() -> Result<RootCertStore, ConnectError> {
    let loaded = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs).await;
    let loaded = loaded.map_err(|_| ConnectError::NoRoots)?;
    for error in &loaded.errors {
        tracing::warn!(%error, "a root certificate cannot be read");
    }
    let mut roots = RootCertStore::empty();
    if roots.add_parsable_certificates(loaded.certs).0 == 0 {
        return Err(ConnectError::NoRoots);
    }
    Ok(roots)
}

/// TLS 1.3 or 1.2 that trusts `roots` and offers these protocols.
pub(super) fn over(roots: RootCertStore, protocols: &[&[u8]]) -> Result<TlsConnector, ConnectError> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(|_| ConnectError::Tls)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(TlsConnector::from(Arc::new(config)))
}
