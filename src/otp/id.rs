//! The identifiers of the domain, parsed once at the edge. Nothing here knows how they are stored.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::{Builder, Uuid};

use crate::clock::UnixMillis;
use crate::otp::phone::{Country, E164};
use crate::secret::{Entropy, Keyring, Purpose, bytes_or_hex, to_hex};

/// An account: the owner of applications and OTPs. 1 to 36 of `a-z 0-9 . _ -`, beginning with a letter or digit.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AccountId(Arc<str>);

/// The text is no account id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an account is 1 to 36 of a-z 0-9 . _ - and begins with a letter or a digit")]
pub struct MalformedAccountId;

impl AccountId {
    /// The account that the first start makes.
    #[must_use]
    pub fn default_account() -> Self {
        Self(Arc::from("default"))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AccountId {
    type Err = MalformedAccountId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
        let begins = text.bytes().next().is_some_and(|first| first.is_ascii_lowercase() || first.is_ascii_digit());
        if begins && text.len() <= 36 && text.bytes().all(legal) {
            Ok(Self(Arc::from(text)))
        } else {
            Err(MalformedAccountId)
        }
    }
}

impl TryFrom<String> for AccountId {
    type Error = MalformedAccountId;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<AccountId> for String {
    fn from(id: AccountId) -> Self {
        id.0.as_ref().to_owned()
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Where the record of one (account, number) lies: a keyed hash, so that an index of numbers is no list of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NumberKey([u8; 16]);

impl NumberKey {
    /// The key of `number` within `account`.
    #[must_use]
    pub fn of(keyring: &Keyring, account: &AccountId, number: &E164) -> Self {
        let hash = keyring.hash(Purpose::Number, &[account.as_str().as_bytes(), number.as_str().as_bytes()]);
        let mut key = [0; 16];
        key.copy_from_slice(hash.split_at(16).0);
        Self(key)
    }

    /// The shard, 0 to 255: everything of one number lives in it.
    #[must_use]
    pub const fn shard(self) -> u8 {
        self.0[0]
    }

    /// The bytes, for a store.
    #[must_use]
    pub const fn bytes(self) -> [u8; 16] {
        self.0
    }

    /// From the bytes that a store kept.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// 32 hexadecimal digits: what stands for the number after its retention.
    #[must_use]
    pub fn to_hex(self) -> String {
        to_hex(&self.0)
    }
}

impl Serialize for NumberKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        bytes_or_hex::serialize(&self.0, serializer)
    }
}

impl<'de> Deserialize<'de> for NumberKey {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = bytes_or_hex::deserialize(deserializer)?;
        bytes.try_into().map(Self).map_err(|_| serde::de::Error::custom("16 bytes expected"))
    }
}

/// The bits of a letter in an id, those of a capital in ASCII that are the same for each, and what no country has for letters.
const LETTER: u8 = 0b1_1111;
const CAPITAL: u8 = 0b100_0000;
const NO_COUNTRY: [u8; 2] = [LETTER; 2];

/// An OTP: a UUIDv7 (RFC 9562 section 5.7) whose last byte is the shard of its number, and whose two bytes before end with the
/// letters of its country, five bits each.
///
/// Time-ordered, so that a store appends; 56 random bits beside the time, and useless without an API key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OtpId(Uuid);

impl OtpId {
    /// A new id for an OTP of the number behind `key`, which is of `country`.
    #[must_use]
    pub fn generate(now: UnixMillis, key: NumberKey, country: Option<Country>, entropy: &dyn Entropy) -> Self {
        let mut random = [0; 10];
        entropy.fill(&mut random);
        let [.., first, second, shard] = &mut random;
        for (byte, letter) in [first, second].into_iter().zip(country.map_or(NO_COUNTRY, Country::letters)) {
            *byte = *byte & !LETTER | letter & LETTER;
        }
        *shard = key.shard();
        Self(Builder::from_unix_timestamp_millis(now.0, &random).into_uuid())
    }

    /// The shard that the id carries.
    #[must_use]
    pub const fn shard(self) -> u8 {
        self.0.as_bytes()[15]
    }

    /// The country that the id carries. Only a hint: whoever calls may have made the id up.
    #[must_use]
    pub fn country(self) -> Option<Country> {
        let [.., first, second, _] = self.bytes();
        Country::of_letters([first, second].map(|byte| CAPITAL | byte & LETTER))
    }

    /// The instant that the id carries.
    #[must_use]
    pub fn created(self) -> UnixMillis {
        let bytes = self.0.as_bytes();
        UnixMillis(bytes.iter().take(6).fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }

    /// The 16 bytes, for a store.
    #[must_use]
    pub const fn bytes(self) -> [u8; 16] {
        *self.0.as_bytes()
    }

    /// From the bytes that a store kept.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }
}

impl OtpId {
    /// The id as 32 hexadecimal digits without hyphens; it reads as well as with them.
    #[must_use]
    pub fn to_simple(self) -> String {
        self.0.simple().to_string()
    }
}

impl FromStr for OtpId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::parse_str(text).map(Self)
    }
}

impl fmt::Display for OtpId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(formatter)
    }
}

/// A verification: a UUIDv7 as an OTP's, whose last byte is the shard of its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct VerificationId(Uuid);

impl VerificationId {
    /// A new id for a verification of the number behind `key`.
    #[must_use]
    pub fn generate(now: UnixMillis, key: NumberKey, entropy: &dyn Entropy) -> Self {
        Self(OtpId::generate(now, key, None, entropy).0)
    }

    /// The shard that the id carries.
    #[must_use]
    pub const fn shard(self) -> u8 {
        self.0.as_bytes()[15]
    }

    /// The 16 bytes, for a store.
    #[must_use]
    pub const fn bytes(self) -> [u8; 16] {
        *self.0.as_bytes()
    }

    /// From the bytes that a store kept.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }
}

impl FromStr for VerificationId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::parse_str(text).map(Self)
    }
}

impl fmt::Display for VerificationId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(formatter)
    }
}

/// An application: a UUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ApplicationId(Uuid);

impl ApplicationId {
    /// A new random id (UUIDv4).
    #[must_use]
    pub fn generate(entropy: &dyn Entropy) -> Self {
        let mut random = [0; 16];
        entropy.fill(&mut random);
        Self(Builder::from_random_bytes(random).into_uuid())
    }
}

impl FromStr for ApplicationId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::parse_str(text).map(Self)
    }
}

impl fmt::Display for ApplicationId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::SystemEntropy;

    #[test]
    fn an_otp_id_carries_its_time_its_country_and_its_shard() {
        let key = NumberKey::from_bytes([0xab; 16]);
        let id = OtpId::generate(UnixMillis(1_763_764_437_120), key, None, &SystemEntropy);
        assert_eq!(id.country(), None);
        for country in Country::all() {
            let id = OtpId::generate(UnixMillis(1_763_764_437_120), key, Some(country), &SystemEntropy);
            assert_eq!((id.country(), id.shard()), (Some(country), 0xab));
        }
        assert_eq!(OtpId::from_bytes([0; 16]).country(), None, "made up");
        assert_eq!((id.shard(), id.created()), (0xab, UnixMillis(1_763_764_437_120)));
        assert_eq!(id.to_string().parse::<OtpId>().unwrap(), id);
        assert_eq!(Uuid::parse_str(&id.to_string()).unwrap().get_version_num(), 7);
        let later = OtpId::generate(UnixMillis(1_763_764_437_121), key, None, &SystemEntropy);
        assert!(later > id);
    }

    #[test]
    fn accounts_are_plain_names() {
        for good in ["default", "a", "team-1.eu_2"] {
            assert!(good.parse::<AccountId>().is_ok(), "{good}");
        }
        for bad in ["", "-a", "A", "a b", &"a".repeat(37)] {
            assert!(bad.parse::<AccountId>().is_err(), "{bad}");
        }
    }
}
