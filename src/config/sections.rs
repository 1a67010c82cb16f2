//! The sections of the file that are plain values, each with its defaults. Their ranges are in the table of keys.
//! Knows no environment and no file.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::duration;
use super::secret_url::SecretUrl;
use crate::abuse::Rate;
use crate::otp::phone::Country;

/// `[tls]`: the public listener's certificate. Without it the listener speaks plain HTTP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// The chain, PEM, the server's own certificate first. None by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<PathBuf>,
    /// Its key, PEM: given if and only if the certificate is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
    /// How often both files are looked at for a change, 1 s to 1 d.
    #[serde(with = "duration")]
    pub reload: Duration,
}

impl Default for Tls {
    fn default() -> Self {
        Self { certificate: None, key: None, reload: Duration::from_secs(60) }
    }
}

impl Tls {
    /// Certificate and key, where TLS is on.
    #[must_use]
    pub fn files(&self) -> Option<(&Path, &Path)> {
        Some((self.certificate.as_deref()?, self.key.as_deref()?))
    }
}

/// `[server]`: what the public listener allows a peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// From accept to the first byte, up to 10 min.
    #[serde(with = "duration")]
    pub first_byte: Duration,
    /// From the first byte to the end of the TLS handshake, up to 10 min.
    #[serde(with = "duration")]
    pub handshake: Duration,
    /// For a request's head, up to 10 min.
    #[serde(with = "duration")]
    pub headers: Duration,
    /// For a request's body, up to 10 min.
    #[serde(with = "duration")]
    pub body: Duration,
    /// Between an answer and the next request, up to 1 h.
    #[serde(with = "duration")]
    pub idle: Duration,
    /// For an answer that the peer does not take, up to 10 min.
    #[serde(with = "duration")]
    pub write: Duration,
    /// Threads that serve, up to 1,024; 0 for as many as there are processors, or half of them on a shared store: there a call
    /// mostly waits, and what a second thread takes over from the first costs a third of a call's time.
    pub threads: u32,
    /// Connections at a time, 1 to 1,000,000.
    pub max_connections: u32,
    /// Bytes of a request's header section, 4,096 to 1,048,576; more is answered 431.
    pub header_bytes: u32,
    /// After SIGTERM: how long connections are still taken, while readiness says no, up to 10 min. A part of the timeout, and shorter.
    #[serde(with = "duration")]
    pub drain_delay: Duration,
    /// After SIGTERM: when what is left is cut, up to 1 h. The delay is a part of it.
    #[serde(with = "duration")]
    pub drain_timeout: Duration,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            first_byte: Duration::from_secs(5),
            handshake: Duration::from_secs(10),
            headers: Duration::from_secs(10),
            body: Duration::from_secs(10),
            idle: Duration::from_secs(60),
            write: Duration::from_secs(30),
            threads: 0,
            max_connections: 10_000,
            header_bytes: 16_384,
            drain_delay: Duration::ZERO,
            drain_timeout: Duration::from_secs(30),
        }
    }
}

/// `[store]`: where everything is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Store {
    /// Which store.
    pub url: StoreUrl,
    /// OTPs held in memory for reads, 0 to 100,000,000; one takes about 1 KB.
    pub cached_otps: u32,
    /// Days after an OTP's end until its number is replaced by a keyed hash, 1 to 3,650.
    pub retention_days: u32,
    /// Whether the first start makes a shared store that is empty; else `otpgate store init` does.
    pub create: bool,
    /// Whose certificates a shared store is trusted by (`rediss://`), in PEM; without it, those that the machine trusts.
    pub ca_file: Option<PathBuf>,
    /// How long a call may wait for a shared store, all its turns together, until it is refused, 10 ms to 10 s.
    #[serde(with = "duration")]
    pub timeout: Duration,
    /// On how many replicas of the shared store a verdict must be before anybody is told of it, 0 to 16.
    pub wait_replicas: u32,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            url: StoreUrl::Sqlite,
            cached_otps: 100_000,
            retention_days: 30,
            create: true,
            ca_file: None,
            timeout: Duration::from_millis(75),
            wait_replicas: 0,
        }
    }
}

impl Store {
    /// The retention as a span.
    #[must_use]
    pub fn retention(&self) -> Duration {
        Duration::from_secs(u64::from(self.retention_days) * 86_400)
    }
}

/// Which store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum StoreUrl {
    /// The embedded one, in the data directory.
    Sqlite,
    /// A Redis or Valkey that many gateways share.
    Redis(SecretUrl),
}

impl TryFrom<String> for StoreUrl {
    type Error = super::secret_url::MalformedUrl;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text == "sqlite" { Ok(Self::Sqlite) } else { SecretUrl::parse(&text).map(Self::Redis) }
    }
}

impl From<StoreUrl> for String {
    fn from(url: StoreUrl) -> Self {
        match url {
            StoreUrl::Sqlite => "sqlite".to_owned(),
            StoreUrl::Redis(url) => url.redacted(),
        }
    }
}

/// `[quota]`: what `otpgate key create` gives a connection that is not told otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Quota {
    /// Calls in any period, 1 to 10,000.
    pub calls: u32,
    /// The period, whole seconds, 1 s to 1 h.
    #[serde(with = "duration")]
    pub period: Duration,
}

impl Default for Quota {
    fn default() -> Self {
        Self { calls: 100, period: Duration::from_secs(60) }
    }
}

/// `[guard]`: failed authentications of one address (IPv6: one /64).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Guard {
    /// Failures that an address may have in a row, 1 to 1,000,000.
    pub failures: u32,
    /// One more after so long, 1 ms to 1 h.
    #[serde(with = "duration")]
    pub refill: Duration,
    /// Addresses that are remembered, 1,000 to 10,000,000.
    pub keys: u32,
}

impl Default for Guard {
    fn default() -> Self {
        Self { failures: 30, refill: Duration::from_secs(2), keys: 100_000 }
    }
}

/// `[limits]`: what one number may get.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Sends to one number, resends included; all rates hold at once. Empty: no limit. Empty by default; with a real
    /// provider [`crate::abuse::SendLimits::for_real_carriers`].
    pub sends_per_number: Vec<Rate>,
}

/// `[oneaccess]`: the dialect of OneAccess.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OneAccess {
    /// The country that a number without `+` is read in. CN by default.
    pub country: Country,
}

impl Default for OneAccess {
    fn default() -> Self {
        Self { country: Country::CHINA }
    }
}

/// `[events]`: callbacks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Events {
    /// Whether callbacks may go to private addresses, and over plain http. Off by default.
    pub allow_private_callbacks: bool,
    /// The waits between the tries of an event, at most 20, each up to 7 d; afterwards it is a dead letter.
    #[serde(with = "duration::list")]
    pub retries: Vec<Duration>,
}

impl Default for Events {
    fn default() -> Self {
        const HOUR: u64 = 3_600;
        let retries = [5, 30, 120, 600, HOUR, 6 * HOUR, 12 * HOUR, 24 * HOUR, 24 * HOUR].map(Duration::from_secs);
        Self { allow_private_callbacks: false, retries: retries.to_vec() }
    }
}

/// `[log]`: what is written to stderr.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// How a line looks.
    pub format: LogFormat,
    /// What is written: a level, or a filter such as `info,otpgate=debug`, of which each part says its level.
    pub level: String,
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Fmt, level: "info".to_owned() }
    }
}

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Fmt,
    /// One JSON object a line.
    Json,
}
