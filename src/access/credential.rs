//! Credentials that are no API keys: a public name of a connection, and what proves that its holder sent the request.
//!
//! A dialect reads one out of a request; the authenticator judges it. Neither knows the other: what was signed is bytes here.

use std::time::Duration;

use aws_lc_rs::hmac;
use zeroize::Zeroizing;

use crate::access::connection::Connection;
use crate::clock::UnixMillis;
use crate::secret::{Keyring, equal};

/// How far the time in a proof may be from the present, either way.
pub const TOLERANCE: Duration = Duration::from_secs(10 * 60);
/// The longest name that is looked up, in bytes; ours have 24.
const LONGEST_NAME: usize = 64;

/// A public name of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublicName {
    /// Unimatrix' access key id.
    AccessKeyId(String),
    /// OneAccess' client id.
    ClientId(String),
}

impl PublicName {
    /// What the connection is looked up by; none when no connection can be called so.
    #[must_use]
    pub fn look_up(&self) -> Option<&str> {
        let (Self::AccessKeyId(name) | Self::ClientId(name)) = self;
        let fits = (1..=LONGEST_NAME).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
        fits.then_some(name.as_str())
    }

    /// What tells its kind from the others in the key of a cache.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::AccessKeyId(_) => "access key id",
            Self::ClientId(_) => "client id",
        }
    }

    /// Whether it is this connection's name of this kind: a client id, which is public, is no access key id.
    #[must_use]
    pub fn names(&self, connection: &Connection) -> bool {
        match self {
            Self::AccessKeyId(name) => equal(name.as_bytes(), connection.access_key_id.as_bytes()),
            Self::ClientId(name) => equal(name.as_bytes(), connection.client_id.as_bytes()),
        }
    }

    /// Whether the name alone opens the connection: the operator's choice, connection by connection.
    #[must_use]
    pub const fn opens_alone(&self, connection: &Connection) -> bool {
        match self {
            Self::AccessKeyId(_) => connection.allow_simple,
            Self::ClientId(_) => connection.allow_client_id,
        }
    }
}

/// What proves that the holder of the name sent the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Nothing: the name is all there is.
    NameAlone,
    /// A signature with the access key secret.
    Signature(Signature),
}

/// A signature over a request, with what keeps it from serving twice.
#[derive(Clone, PartialEq, Eq)]
pub struct Signature {
    /// What may have been signed: clients write the same request in more than one way. Never more than a few.
    pub messages: Vec<Zeroizing<String>>,
    /// HMAC-SHA-256 of one of them.
    pub tag: [u8; 32],
    /// When it was signed, by its signer's clock.
    pub at: UnixMillis,
    /// What makes it unlike every other.
    pub nonce: String,
}

impl std::fmt::Debug for Signature {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Signature").field("at", &self.at).finish_non_exhaustive()
    }
}

impl Signature {
    /// Whether its time is near enough to `now`.
    #[must_use]
    pub fn is_timely(&self, now: UnixMillis) -> bool {
        now.since(self.at) <= TOLERANCE && self.at.since(now) <= TOLERANCE
    }

    /// Whether the connection's secret made it. Every message is tried, each compared in constant time.
    #[must_use]
    pub fn is_of(&self, connection: &Connection, keyring: &Keyring) -> bool {
        // A secret that does not open signs nothing: fail closed.
        let Ok(secret) = connection.open_secret(keyring) else { return false };
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes());
        self.messages
            .iter()
            .fold(false, |found, message| found | hmac::verify(&key, message.as_bytes(), &self.tag).is_ok())
    }
}

/// A name and its proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// Whose connection it is to be.
    pub name: PublicName,
    /// What proves it.
    pub proof: Proof,
}
