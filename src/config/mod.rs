//! The configuration: one struct a section, read from defaults, file, environment and flags, checked as a whole.
//!
//! Defaults < file < environment < flags. The environment is handed in, nothing here reads the process's own. What comes
//! out is plain data that [`crate::app`] maps; this module knows no socket, no store and no carrier.
//!
//! Where things are: the structs and their defaults in [`Config`], [`sections`] and [`delivery`]; every key with its range
//! in `keys`; what may stand where in `kind`; the layers in `sources`; what must fit together in `check`; the files that are named
//! in `files`.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::secret::Secret;

mod check;
pub mod delivery;
mod delivery_check;
pub mod duration;
#[cfg(test)]
mod example;
mod fault;
mod files;
mod http_carrier;
mod keys;
mod kind;
mod limit;
pub mod route;
pub mod secret_url;
pub mod sections;
pub mod smpp;
mod sources;

pub use delivery::{Countries, Delivery, Provider, ProviderKind};
pub use fault::{ConfigError, Fault, Place};
pub use http_carrier::HttpCarrier;
pub use route::{OnUnknown, Route};
pub use secret_url::SecretUrl;
pub use sections::{Events, Guard, Limits, Log, LogFormat, OneAccess, Quota, Server, Store, StoreUrl, Tls};
pub use smpp::{Smpp, SmppMode, SmppReceiptIds, SmppUrl};
pub use sources::{Flags, Sources};

/// The effective configuration. Every value is in its range, and all of them fit together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The file it was read from, if there was one.
    #[serde(skip)]
    pub file: Option<PathBuf>,
    /// What absolute addresses begin with, without a slash at the end. Where it is none, the listen address serves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_url: Option<String>,
    /// The public listener's address and port.
    pub listen: SocketAddr,
    /// The admin listener's address and port.
    pub admin_listen: SocketAddr,
    /// What the admin listener demands; read from the file where one was given. Never none beyond the loopback.
    #[serde(skip_serializing_if = "Option::is_none", with = "secret_text")]
    pub admin_token: Option<Secret>,
    /// The file that holds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin_token_file: Option<PathBuf>,
    /// Networks, in CIDR notation, whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<String>,
    /// Where the embedded store lies, and the master key unless a file is given.
    pub data_dir: PathBuf,
    /// The file with the master key's 64 hexadecimal digits; it exists and is well formed. None: in the data directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub master_key_file: Option<PathBuf>,
    /// The public listener's certificate.
    pub tls: Tls,
    /// What the public listener allows a peer.
    pub server: Server,
    /// Where everything is kept.
    pub store: Store,
    /// What a new connection gets.
    pub quota: Quota,
    /// Failed authentications.
    pub guard: Guard,
    /// What one number may get.
    pub limits: Limits,
    /// How messages leave.
    pub delivery: Delivery,
    /// The dialect of OneAccess.
    pub oneaccess: OneAccess,
    /// Callbacks.
    pub events: Events,
    /// The log.
    pub log: Log,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            file: None,
            public_url: None,
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8_080)),
            admin_listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8_081)),
            admin_token: None,
            admin_token_file: None,
            trusted_proxies: Vec::new(),
            data_dir: PathBuf::from("./otpgate-data"),
            master_key_file: None,
            tls: Tls::default(),
            server: Server::default(),
            store: Store::default(),
            quota: Quota::default(),
            guard: Guard::default(),
            limits: Limits::default(),
            delivery: Delivery::default(),
            oneaccess: OneAccess::default(),
            events: Events::default(),
            log: Log::default(),
        }
    }
}

impl Config {
    /// Reads, lays over one another and checks everything that `sources` names.
    ///
    /// # Errors
    /// [`ConfigError`] with everything that is wrong, each fault with its place. No port is bound by then.
    pub fn load(sources: Sources) -> Result<Self, ConfigError> {
        check::finish(sources.read()?, check::Purpose::Serve)
    }

    /// As [`Config::load`], for a command beside a server: whether the certificate and its key are a pair is not looked at,
    /// because they may be half renewed, and the server goes on with the pair that it has.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load_beside(sources: Sources) -> Result<Self, ConfigError> {
        check::finish(sources.read()?, check::Purpose::Beside)
    }

    /// What absolute addresses begin with, without a slash at the end: `public_url`, else the address that was bound.
    #[must_use]
    pub fn base_url(&self, bound: SocketAddr) -> String {
        let scheme = if self.tls.files().is_some() { "https" } else { "http" };
        self.public_url.clone().unwrap_or_else(|| format!("{scheme}://{bound}"))
    }

    /// The whole effective configuration as TOML, secrets as `***`.
    #[must_use]
    pub fn effective_redacted(&self) -> String {
        // Every struct here writes its secrets redacted, so there is no way to print them.
        toml::to_string(self).unwrap_or_else(|error| format!("# cannot be written as TOML: {error}\n"))
    }
}

/// A secret in the file, written back as `***`.
mod secret_text {
    use serde::{Deserialize as _, Deserializer, Serializer};

    use crate::secret::Secret;

    #[expect(clippy::ref_option, reason = "serde's with passes a reference")]
    pub(super) fn serialize<S: Serializer>(_: &Option<Secret>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("***")
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Secret>, D::Error> {
        String::deserialize(deserializer).map(|text| Some(Secret::new(text)))
    }
}
