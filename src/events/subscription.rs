//! A subscription as it is kept: who is told, of what, and where. Address and secrets are sealed; the address by which it
//! is ended is not kept at all, it is computed from the id.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::access::connection::ConnectionId;
use crate::clock::UnixMillis;
use crate::events::signing::SigningSecret;
use crate::otp::id::{AccountId, ApplicationId};
use crate::otp::news::EventNames;
use crate::secret::{Entropy, Keyring, Purpose, Sealed, Secret, equal, from_hex, to_hex};

/// Subscriptions that an account may have.
pub const SUBSCRIPTIONS_PER_ACCOUNT: usize = 100;
/// Bytes of a callback address.
pub const CALLBACK_BYTES: usize = 4_096;
/// Live secrets of a subscription: the newest, and the one before it while they overlap.
const SECRETS: usize = 2;
/// Bytes of a token beside the id in it: 128 bits that nobody can guess.
const PROOF: usize = 16;

/// A subscription's id: 64 random bits, written `sub_` and 16 hexadecimal digits. It opens nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SubscriptionId([u8; 8]);

/// The text is no subscription id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a subscription id is sub_ and 16 hexadecimal digits")]
pub struct MalformedSubscriptionId;

impl SubscriptionId {
    /// A new one.
    #[must_use]
    pub fn generate(entropy: &dyn Entropy) -> Self {
        let mut bytes = [0; 8];
        entropy.fill(&mut bytes);
        Self(bytes)
    }

    /// The bytes, for a store.
    #[must_use]
    pub const fn bytes(self) -> [u8; 8] {
        self.0
    }

    /// From the bytes that a store kept.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(bytes)
    }

    /// The last segment of the address that ends the subscription: whoever knows it may end it. 48 hexadecimal digits.
    #[must_use]
    pub fn token(self, keyring: &Keyring) -> Secret {
        Secret::new(to_hex(&self.0) + &to_hex(&self.proof(keyring)))
    }

    /// The subscription that a token ends; none when the token was never handed out. A token stays itself after the end,
    /// so that ending twice is no error.
    #[must_use]
    pub fn of_token(token: &str, keyring: &Keyring) -> Option<Self> {
        let (id, proof) = token.split_at_checked(16)?;
        let (mut bytes, mut claimed) = ([0; 8], [0; PROOF]);
        from_hex(id, &mut bytes)?;
        from_hex(proof, &mut claimed)?;
        let id = Self(bytes);
        equal(&claimed, &id.proof(keyring)).then_some(id)
    }

    fn proof(self, keyring: &Keyring) -> [u8; PROOF] {
        let hash = keyring.hash(Purpose::Unsubscribe, &[&self.0]);
        let mut proof = [0; PROOF];
        proof.copy_from_slice(hash.split_at(PROOF).0);
        proof
    }
}

impl fmt::Display for SubscriptionId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "sub_{}", to_hex(&self.0))
    }
}

impl fmt::Debug for SubscriptionId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl FromStr for SubscriptionId {
    type Err = MalformedSubscriptionId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 8];
        text.strip_prefix("sub_").and_then(|digits| from_hex(digits, &mut bytes)).ok_or(MalformedSubscriptionId)?;
        // The gateway's own: see `events::inside`.
        if bytes == [0; 8] { Err(MalformedSubscriptionId) } else { Ok(Self(bytes)) }
    }
}

impl TryFrom<String> for SubscriptionId {
    type Error = MalformedSubscriptionId;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<SubscriptionId> for String {
    fn from(id: SubscriptionId) -> Self {
        id.to_string()
    }
}

/// One secret of a subscription.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptSecret {
    /// The secret, sealed for the subscription's id.
    pub sealed: Sealed,
    /// When it was made.
    pub created: UnixMillis,
    /// From here on it signs no more. None: it is the newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<UnixMillis>,
}

/// What a receiver says who is no longer there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gone {
    /// When it said so first.
    pub since: UnixMillis,
    /// How often in a row.
    pub times: u32,
}

/// In whose form a receiver is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Standard Webhooks: the event as it is, signed in the header.
    #[default]
    Standard,
    /// OneAccess' event callbacks.
    OneAccess,
}

impl Format {
    fn is_standard(&self) -> bool {
        *self == Self::Standard
    }
}

/// One subscription.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscription {
    /// Its id.
    pub id: SubscriptionId,
    /// Whose OTPs it is about.
    pub account: AccountId,
    /// Who subscribed.
    pub connection: ConnectionId,
    /// The events that are told.
    pub events: EventNames,
    /// Only those of this application; of all when none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<ApplicationId>,
    /// When it was made.
    pub created: UnixMillis,
    /// A keyed hash of connection and address: the same callback twice is one subscription.
    pub callback: String,
    /// The address, sealed for the subscription's id.
    pub url: Sealed,
    /// Its secrets, oldest first, at most two.
    pub secrets: Vec<KeptSecret>,
    /// Whether its receiver says that it is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gone: Option<Gone>,
    /// In whose form it is told.
    #[serde(default, skip_serializing_if = "Format::is_standard")]
    pub format: Format,
}

impl Subscription {
    /// What the same callback of the same connection has in common.
    #[must_use]
    pub fn callback_of(keyring: &Keyring, account: &AccountId, connection: ConnectionId, url: &str) -> String {
        let connection = connection.get().to_be_bytes();
        to_hex(&keyring.hash(Purpose::Callback, &[account.as_str().as_bytes(), &connection, url.as_bytes()]))
    }

    /// Gives it a new secret; the one in use signs along for `overlap`. An older one goes.
    pub fn rotate(
        &mut self,
        overlap: Duration,
        keyring: &Keyring,
        entropy: &dyn Entropy,
        now: UnixMillis,
    ) -> SigningSecret {
        let secret = SigningSecret::generate(entropy);
        self.secrets.retain(|kept| kept.expires.is_none());
        if let Some(newest) = self.secrets.last_mut() {
            newest.expires = Some(now + overlap);
        }
        let sealed = keyring.seal(&self.context(b"secret"), secret.bytes());
        self.secrets.push(KeptSecret { sealed, created: now, expires: None });
        if self.secrets.len() > SECRETS {
            self.secrets.remove(0);
        }
        secret
    }

    /// The secrets that sign at `now`, newest first. One that does not open signs nothing.
    #[must_use]
    pub fn live_secrets(&self, keyring: &Keyring, now: UnixMillis) -> Vec<SigningSecret> {
        let live = self.secrets.iter().rev().filter(|kept| kept.expires.is_none_or(|expires| now < expires));
        let open =
            |kept: &KeptSecret| SigningSecret::from_bytes(&keyring.open(&self.context(b"secret"), &kept.sealed).ok()?);
        live.filter_map(open).collect()
    }

    /// Seals the address for it.
    #[must_use]
    pub fn seal_url(id: SubscriptionId, keyring: &Keyring, url: &str) -> Sealed {
        keyring.seal(&context(id, b"url"), url.as_bytes())
    }

    /// The address; none when it does not open.
    #[must_use]
    pub fn open_url(&self, keyring: &Keyring) -> Option<Secret> {
        let plain: Zeroizing<Vec<u8>> = keyring.open(&self.context(b"url"), &self.url).ok()?;
        std::str::from_utf8(&plain).ok().map(|url| Secret::new(url.to_owned()))
    }

    fn context(&self, what: &[u8]) -> Vec<u8> {
        context(self.id, what)
    }
}

fn context(id: SubscriptionId, what: &[u8]) -> Vec<u8> {
    [b"subscription ", what, b" ", &id.bytes()[..]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::SystemEntropy;

    fn subscription(keyring: &Keyring) -> Subscription {
        let id = SubscriptionId::generate(&SystemEntropy);
        let (account, connection) = (AccountId::default_account(), ConnectionId::generate(&SystemEntropy));
        Subscription {
            id,
            callback: Subscription::callback_of(keyring, &account, connection, "https://a/b"),
            account,
            connection,
            events: EventNames::of_otps(),
            application: None,
            created: UnixMillis(5),
            url: Subscription::seal_url(id, keyring, "https://a/b"),
            secrets: Vec::new(),
            gone: None,
            format: Format::Standard,
        }
    }

    #[test]
    fn a_token_names_one_subscription_and_cannot_be_made_up() {
        let (keyring, other) = (Keyring::generate(&SystemEntropy), Keyring::generate(&SystemEntropy));
        let id = SubscriptionId::generate(&SystemEntropy);
        let token = id.token(&keyring);
        assert_eq!(token.expose().len(), 48);
        assert_eq!(SubscriptionId::of_token(token.expose(), &keyring), Some(id));
        assert_eq!(SubscriptionId::of_token(token.expose(), &other), None);
        for at in 0..48 {
            let mut bytes = token.expose().as_bytes().to_vec();
            bytes[at] = if bytes[at] == b'0' { b'1' } else { b'0' };
            assert_eq!(SubscriptionId::of_token(std::str::from_utf8(&bytes).unwrap(), &keyring), None, "digit {at}");
        }
        for bad in ["", "0", "sub_", "ä", &"ä".repeat(24), &token.expose()[..47], &format!("{}0", token.expose())] {
            assert_eq!(SubscriptionId::of_token(bad, &keyring), None, "{bad}");
        }
        assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn two_secrets_sign_during_a_rotation() {
        let keyring = Keyring::generate(&SystemEntropy);
        let mut subscription = subscription(&keyring);
        let hour = Duration::from_secs(3_600);
        let first = subscription.rotate(hour, &keyring, &SystemEntropy, UnixMillis(0));
        let second = subscription.rotate(hour, &keyring, &SystemEntropy, UnixMillis(10));
        let bytes = |at: u64| {
            let live = subscription.live_secrets(&keyring, UnixMillis(at));
            live.iter().map(|secret| secret.bytes().to_vec()).collect::<Vec<_>>()
        };
        assert_eq!(bytes(3_600_009), [second.bytes(), first.bytes()]);
        assert_eq!(bytes(3_600_010), [second.bytes()]);
        let third = subscription.rotate(hour, &keyring, &SystemEntropy, UnixMillis(20));
        assert_eq!(subscription.secrets.len(), 2);
        let live = subscription.live_secrets(&keyring, UnixMillis(21));
        assert_eq!(live.iter().map(SigningSecret::bytes).collect::<Vec<_>>(), [third.bytes(), second.bytes()]);
    }

    #[test]
    fn an_address_opens_only_for_its_subscription() {
        let keyring = Keyring::generate(&SystemEntropy);
        let (one, mut two) = (subscription(&keyring), subscription(&keyring));
        assert_eq!(one.open_url(&keyring).unwrap().expose(), "https://a/b");
        two.url.clone_from(&one.url);
        assert!(two.open_url(&keyring).is_none());
        assert_ne!(one.callback, two.callback, "another connection is another callback");
        assert!(!format!("{one:?}").contains("https"));
    }
}
