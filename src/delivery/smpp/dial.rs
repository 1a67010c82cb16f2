//! The port to a message centre's socket: name, addresses, TLS are somebody else's.

use std::fmt;

use tokio::io::{AsyncRead, AsyncWrite};

use crate::otp::store::Later;

/// A socket to the centre, with or without TLS.
pub trait Wire: AsyncRead + AsyncWrite + Send + Unpin + 'static {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Wire for T {}

/// Why there is no socket, in words that name no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoWire(pub &'static str);

impl fmt::Display for NoWire {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0)
    }
}

/// Opens sockets to one message centre.
pub trait Dial: Send + Sync + 'static {
    /// Opens one, within a deadline of its own.
    fn dial(&self) -> Later<'_, Result<Box<dyn Wire>, NoWire>>;
}
