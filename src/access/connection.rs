//! A connection: what a key opens. Rotation keeps it, with its id, its quota's ring and its account's OTPs.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::access::key::{ApiKey, KeyHash, KeyName, random_text};
use crate::access::scope::Scopes;
use crate::clock::UnixMillis;
use crate::otp::id::AccountId;
use crate::quota::{Allowance, Policy, PolicyError};
use crate::secret::{Entropy, Keyring, Sealed, Secret, Unsealable, from_hex, to_hex};

/// Keys of a connection that work at a time, at most: the newest, and those whose overlap is not over.
pub const KEYS: usize = 4;

/// A connection's id: 63 random bits, written `con_` and 16 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ConnectionId(u64);

/// The text is no connection id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a connection id is con_ and 16 hexadecimal digits")]
pub struct MalformedConnectionId;

impl ConnectionId {
    /// A new one.
    #[must_use]
    pub fn generate(entropy: &dyn Entropy) -> Self {
        let mut bytes = [0; 8];
        entropy.fill(&mut bytes);
        Self(u64::from_be_bytes(bytes) >> 1)
    }

    /// The id that a store kept as this number.
    #[must_use]
    pub const fn from_number(number: u64) -> Self {
        Self(number)
    }

    /// The number, for the quota's table.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "con_{:016x}", self.0)
    }
}

impl fmt::Debug for ConnectionId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl FromStr for ConnectionId {
    type Err = MalformedConnectionId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 8];
        text.strip_prefix("con_").and_then(|digits| from_hex(digits, &mut bytes)).ok_or(MalformedConnectionId)?;
        Ok(Self(u64::from_be_bytes(bytes)))
    }
}

impl TryFrom<String> for ConnectionId {
    type Error = MalformedConnectionId;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ConnectionId> for String {
    fn from(id: ConnectionId) -> Self {
        id.to_string()
    }
}

/// The quota as it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuotaSetting {
    /// Calls in any period, 1 to 10,000.
    pub calls: u32,
    /// The period in seconds, 1 to 3,600.
    pub period: u32,
    /// Whether the quota is lifted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unlimited: bool,
}

impl Default for QuotaSetting {
    fn default() -> Self {
        Self { calls: 100, period: 60, unlimited: false }
    }
}

impl QuotaSetting {
    /// The allowance it stands for.
    ///
    /// # Errors
    /// [`PolicyError`] when a figure is out of range.
    pub fn allowance(&self) -> Result<Allowance, PolicyError> {
        let policy = Policy::new(self.calls, self.period)?;
        Ok(if self.unlimited { Allowance::Unlimited } else { Allowance::Limited(policy) })
    }
}

/// One live secret of a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeySecret {
    /// The key's public part.
    pub name: KeyName,
    /// The keyed hash of the whole key.
    pub hash: KeyHash,
    /// When it was made.
    pub created: UnixMillis,
    /// Refused from then on: the end of a rotation's overlap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<UnixMillis>,
}

impl KeySecret {
    /// Whether it opens anything at `now`.
    #[must_use]
    pub fn is_live(&self, now: UnixMillis) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }
}

/// As many keys work as may: a further one would need one of them to end before the instant that was promised for it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} keys of it work already, and the next of them ({name}) runs out at {}", KEYS, ends.to_rfc3339())]
pub struct TooManyKeys {
    /// The one that runs out next.
    pub name: KeyName,
    /// When it does.
    pub ends: UnixMillis,
}

/// A connection as it is kept. It holds no key in clear.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Connection {
    /// Its id.
    pub id: ConnectionId,
    /// The account whose applications and OTPs it sees.
    pub account: AccountId,
    /// What the operator calls it.
    pub name: String,
    /// Its quota.
    pub quota: QuotaSetting,
    /// What it may do.
    pub scopes: Scopes,
    /// Whether its access key id alone opens Unimatrix' path.
    #[serde(default)]
    pub allow_simple: bool,
    /// Whether its client id opens OneAccess' paths.
    #[serde(default)]
    pub allow_client_id: bool,
    /// Its keys: the newest last, at most [`KEYS`] that are live.
    pub keys: Vec<KeySecret>,
    /// Unimatrix' access key id.
    pub access_key_id: String,
    /// Unimatrix' access key secret: signatures are checked with it, so it is sealed, not hashed.
    pub access_key_secret: Sealed,
    /// OneAccess' client id, public by nature.
    pub client_id: String,
    /// When it was made.
    pub created: UnixMillis,
    /// Refused from then on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<UnixMillis>,
}

/// What is known in clear only while a connection is made or rotated: to be shown once.
#[derive(Debug)]
pub struct Credentials {
    /// The API key.
    pub key: ApiKey,
    /// Unimatrix' access key secret.
    pub access_key_secret: Secret,
}

/// What a new connection is to be.
#[derive(Clone, Debug)]
pub struct NewConnection {
    /// The account whose applications and OTPs it sees.
    pub account: AccountId,
    /// What the operator calls it.
    pub name: String,
    /// Its quota.
    pub quota: QuotaSetting,
    /// What it may do.
    pub scopes: Scopes,
    /// Whether its access key id alone opens Unimatrix' path.
    pub allow_simple: bool,
    /// Whether its client id opens OneAccess' paths.
    pub allow_client_id: bool,
}

impl Connection {
    /// Makes a connection with fresh credentials.
    #[must_use]
    pub fn create(
        wish: NewConnection,
        keyring: &Keyring,
        entropy: &dyn Entropy,
        now: UnixMillis,
    ) -> (Self, Credentials) {
        let id = ConnectionId::generate(entropy);
        let key = ApiKey::generate(entropy);
        let secret = random_text(32, entropy);
        let connection = Self {
            id,
            account: wish.account,
            name: wish.name,
            quota: wish.quota,
            scopes: wish.scopes,
            allow_simple: wish.allow_simple,
            allow_client_id: wish.allow_client_id,
            keys: vec![KeySecret { name: key.name(), hash: key.hash(keyring), created: now, expires: None }],
            access_key_id: random_text(24, entropy).to_string(),
            access_key_secret: keyring.seal(&id.get().to_be_bytes(), secret.as_bytes()),
            client_id: random_text(24, entropy).to_string(),
            created: now,
            revoked: None,
        };
        (connection, Credentials { key, access_key_secret: Secret::new(secret.to_string()) })
    }

    /// Gives the connection a new key. The one in use goes on working for `overlap`, and an older one until the instant that was
    /// promised when it was replaced; without an overlap all of them stop now.
    ///
    /// # Errors
    /// [`TooManyKeys`] where as many work as may; the connection is as it was.
    pub fn rotate(
        &mut self,
        overlap: Duration,
        keyring: &Keyring,
        entropy: &dyn Entropy,
        now: UnixMillis,
    ) -> Result<ApiKey, TooManyKeys> {
        let mut keys: Vec<_> = self.keys.iter().filter(|key| key.is_live(now)).cloned().collect();
        if overlap.is_zero() {
            // Whoever leaves no overlap wants no old key to open anything, whatever was promised: one may be in wrong hands.
            keys.drain(..keys.len().saturating_sub(1));
        }
        let next = keys.iter().filter_map(|key| Some((key.expires?, &key.name))).min();
        if let (KEYS.., Some((ends, name))) = (keys.len(), next) {
            return Err(TooManyKeys { name: name.clone(), ends });
        }
        if let Some(newest) = keys.last_mut() {
            let end = now + overlap;
            newest.expires = Some(newest.expires.map_or(end, |expires| expires.min(end)));
        }
        let key = ApiKey::generate(entropy);
        keys.push(KeySecret { name: key.name(), hash: key.hash(keyring), created: now, expires: None });
        self.keys = keys;
        Ok(key)
    }

    /// Whether `hash` is that of a key that is live at `now`. Compares in constant time.
    #[must_use]
    pub fn opens_with(&self, hash: &KeyHash, now: UnixMillis) -> bool {
        let mut opens = false;
        for key in &self.keys {
            let equal = crate::secret::equal(key.hash.bytes(), hash.bytes());
            opens |= equal && key.is_live(now);
        }
        opens && self.revoked.is_none_or(|revoked| now < revoked)
    }

    /// Unimatrix' access key secret in clear.
    ///
    /// # Errors
    /// [`Unsealable`] when another keyring sealed it.
    pub fn open_secret(&self, keyring: &Keyring) -> Result<Secret, Unsealable> {
        let plain = keyring.open(&self.id.get().to_be_bytes(), &self.access_key_secret)?;
        Ok(Secret::new(String::from_utf8_lossy(&plain).into_owned()))
    }
}

/// The id as the quota's table and logs want it: hexadecimal.
#[must_use]
pub fn id_hex(id: ConnectionId) -> String {
    to_hex(&id.get().to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::SystemEntropy;

    fn connection(keyring: &Keyring) -> (Connection, Credentials) {
        let wish = NewConnection {
            account: AccountId::default_account(),
            name: "flow".to_owned(),
            quota: QuotaSetting::default(),
            scopes: Scopes::default(),
            allow_simple: false,
            allow_client_id: false,
        };
        Connection::create(wish, keyring, &SystemEntropy, UnixMillis(1_000))
    }

    #[test]
    fn rotation_overlaps_and_keeps_the_connection() {
        let keyring = Keyring::generate(&SystemEntropy);
        let (mut connection, credentials) = connection(&keyring);
        let (id, old) = (connection.id, credentials.key.hash(&keyring));
        let now = UnixMillis(5_000);
        let new = connection.rotate(Duration::from_secs(1), &keyring, &SystemEntropy, now).unwrap().hash(&keyring);
        assert_eq!(connection.id, id);
        assert!(connection.opens_with(&old, now) && connection.opens_with(&new, now));
        assert!(!connection.opens_with(&old, UnixMillis(6_000)) && connection.opens_with(&new, UnixMillis(6_000)));
        let newest = connection.rotate(Duration::ZERO, &keyring, &SystemEntropy, now).unwrap().hash(&keyring);
        assert!(
            !connection.opens_with(&new, now)
                && !connection.opens_with(&old, now)
                && connection.opens_with(&newest, now)
        );
    }

    #[test]
    fn what_was_promised_to_a_key_holds_through_later_rotations() {
        let keyring = Keyring::generate(&SystemEntropy);
        let (mut connection, credentials) = connection(&keyring);
        let hour = Duration::from_secs(3_600);
        let mut hashes = vec![credentials.key.hash(&keyring)];
        // One after the other, half a second apart.
        for turn in 0..3 {
            let now = UnixMillis(5_000 + turn * 500);
            hashes.push(connection.rotate(hour, &keyring, &SystemEntropy, now).unwrap().hash(&keyring));
            assert!(hashes.iter().all(|hash| connection.opens_with(hash, now)), "{turn}");
        }
        assert_eq!(connection.keys.len(), KEYS);
        let full = connection.clone();
        let refused = connection.rotate(hour, &keyring, &SystemEntropy, UnixMillis(7_000)).unwrap_err();
        let (name, ends) = (credentials.key.name(), UnixMillis(3_605_000));
        assert_eq!((connection.clone(), refused.clone()), (full, TooManyKeys { name, ends }));
        assert!(refused.to_string().contains("runs out at 1970-01-01T01:00:05.000Z"), "{refused}");
        // Each ends when it was said to, and makes room.
        for (place, hash) in hashes.iter().take(3).enumerate() {
            let ends = UnixMillis(3_605_000 + u64::try_from(place).unwrap() * 500);
            assert!(connection.opens_with(hash, UnixMillis(ends.0 - 1)) && !connection.opens_with(hash, ends));
        }
        let mut later = connection.clone();
        let _key = later.rotate(hour, &keyring, &SystemEntropy, ends).unwrap();
        assert_eq!(later.keys.len(), KEYS);
        assert!(!later.opens_with(&hashes[0], ends) && later.opens_with(&hashes[1], ends));
        // Without an overlap there is room, and nothing old works on.
        let now = UnixMillis(8_000);
        let newest = connection.rotate(Duration::ZERO, &keyring, &SystemEntropy, now).unwrap().hash(&keyring);
        assert!(hashes.iter().all(|hash| !connection.opens_with(hash, now)) && connection.opens_with(&newest, now));
    }

    #[test]
    fn a_revoked_connection_opens_with_nothing() {
        let keyring = Keyring::generate(&SystemEntropy);
        let (mut connection, credentials) = connection(&keyring);
        connection.revoked = Some(UnixMillis(2_000));
        assert!(!connection.opens_with(&credentials.key.hash(&keyring), UnixMillis(2_000)));
    }

    #[test]
    fn nothing_kept_holds_a_secret_in_clear() {
        let keyring = Keyring::generate(&SystemEntropy);
        let (connection, credentials) = connection(&keyring);
        let kept = serde_json::to_string(&connection).unwrap();
        assert!(!kept.contains(credentials.key.expose()) && !kept.contains(credentials.access_key_secret.expose()));
        assert_eq!(serde_json::from_str::<Connection>(&kept).unwrap(), connection);
        assert_eq!(connection.open_secret(&keyring).unwrap(), credentials.access_key_secret);
        assert_eq!(connection.id.to_string().parse::<ConnectionId>().unwrap(), connection.id);
    }
}
