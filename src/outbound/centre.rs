//! Sockets to a carrier's message centre: plain TCP or TLS, to wherever the operator says, private networks included.

use std::path::PathBuf;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;

use crate::delivery::smpp::{Dial, NoWire, Wire};
use crate::otp::store::Later;
use crate::outbound::connect::{ConnectError, DEADLINE, Reach, open, over, resolve, system_roots};

/// Opens sockets to one message centre. Its name is resolved anew for each: a centre moves by its name.
pub struct CentreDialer {
    host: String,
    port: u16,
    tls: Option<Tls>,
}

struct Tls {
    authority: Option<PathBuf>,
    /// Read when the first socket is opened: an idle process does not carry the system's authorities.
    connector: OnceCell<TlsConnector>,
}

impl CentreDialer {
    /// To this name or address (an IPv6 address without brackets), without TLS.
    #[must_use]
    pub const fn plain(host: String, port: u16) -> Self {
        Self { host, port, tls: None }
    }

    /// With TLS. Trusts the authorities in the PEM file `authority`, else those of the system.
    #[must_use]
    pub fn secure(host: String, port: u16, authority: Option<PathBuf>) -> Self {
        Self { host, port, tls: Some(Tls { authority, connector: OnceCell::new() }) }
    }

    async fn connect(&self) -> Result<Box<dyn Wire>, ConnectError> {
        let socket = open(&resolve(Reach::Anywhere, &self.host, self.port).await?).await?;
        let Some(tls) = &self.tls else { return Ok(Box::new(socket)) };
        let name = ServerName::try_from(self.host.clone()).map_err(|_| ConnectError::Malformed)?;
        let connector = tls.connector.get_or_try_init(|| tls.load()).await?;
        let stream = connector.connect(name, socket).await.map_err(|_| ConnectError::Tls)?;
        Ok(Box::new(stream))
    }
}

impl Tls {
    async fn load(&self) -> Result<TlsConnector, ConnectError> {
        let roots = match self.authority.clone() {
            None => system_roots().await?,
            Some(file) => {
                let read = tokio::task::spawn_blocking(move || roots_of(&file)).await;
                read.ok().flatten().ok_or(ConnectError::NoRoots)?
            }
        };
        over(roots, &[])
    }
}

fn roots_of(file: &std::path::Path) -> Option<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).ok()? {
        roots.add(certificate.ok()?).ok()?;
    }
    (!roots.is_empty()).then_some(roots)
}

impl Dial for CentreDialer {
    fn dial(&self) -> Later<'_, Result<Box<dyn Wire>, NoWire>> {
        Box::pin(async {
            let connecting = tokio::time::timeout(DEADLINE, self.connect());
            connecting.await.unwrap_or(Err(ConnectError::TooSlow)).map_err(|error| NoWire(error.words()))
        })
    }
}
