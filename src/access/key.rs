//! The written form of an API key: `otpg_` + 12 characters that name it + 32 that are the secret + 6 that check both.
//!
//! 62^32 is over 190 bits. The prefix lets secret scanners find a leaked key, the checksum lets a mistyped one be refused
//! without a look-up. The name is public: it finds the record, and may stand in logs.

use std::fmt;
use std::str::FromStr;

use rand::RngExt as _;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::secret::{Entropy, EntropyRng, Keyring, Purpose};

const PREFIX: &str = "otpg_";
const NAME: usize = 12;
const SECRET: usize = 32;
const CHECK: usize = 6;
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The length of a written key in bytes.
pub const KEY_LENGTH: usize = PREFIX.len() + NAME + SECRET + CHECK;

/// The public part of a key, 12 letters or digits: it finds the record.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyName(Box<str>);

impl KeyName {
    /// The 12 characters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// From what a store kept.
    #[must_use]
    pub fn from_stored(text: &str) -> Self {
        Self(Box::from(text))
    }
}

impl fmt::Debug for KeyName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A whole API key. Redacts and wipes itself.
#[derive(Clone)]
pub struct ApiKey(Zeroizing<String>);

/// What was presented as a key and has its length and prefix; its checksum has not been looked at.
pub struct Presented<'t>(&'t str);

impl<'t> Presented<'t> {
    /// # Errors
    /// [`MalformedApiKey`] when it cannot be a key at all.
    pub fn new(text: &'t str) -> Result<Self, MalformedApiKey> {
        let fits = text.len() == KEY_LENGTH && text.is_ascii() && text.starts_with(PREFIX);
        if fits { Ok(Self(text)) } else { Err(MalformedApiKey) }
    }

    /// As [`ApiKey::hash`].
    #[must_use]
    pub fn hash(&self, keyring: &Keyring) -> KeyHash {
        KeyHash(keyring.hash(Purpose::ApiKey, &[self.0.as_bytes()]))
    }
}

/// The text is no key of this gateway's making.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an API key")]
pub struct MalformedApiKey;

impl ApiKey {
    /// Makes a new key.
    #[must_use]
    pub fn generate(entropy: &dyn Entropy) -> Self {
        let mut text = Zeroizing::new(String::with_capacity(KEY_LENGTH));
        text.push_str(PREFIX);
        text.push_str(&random_text(NAME + SECRET, entropy));
        let check = checksum(&text);
        text.push_str(&check);
        Self(text)
    }

    /// The public part.
    #[must_use]
    pub fn name(&self) -> KeyName {
        KeyName(Box::from(self.0.get(PREFIX.len()..PREFIX.len() + NAME).unwrap_or_default()))
    }

    /// What a store keeps instead of the key: HMAC-SHA-256 under the keyring.
    #[must_use]
    pub fn hash(&self, keyring: &Keyring) -> KeyHash {
        KeyHash(keyring.hash(Purpose::ApiKey, &[self.0.as_bytes()]))
    }

    /// The key itself, to be shown once.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl FromStr for ApiKey {
    type Err = MalformedApiKey;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Presented::new(text)?;
        let (body, check) = text.split_at(KEY_LENGTH - CHECK);
        if checksum(body) != check {
            return Err(MalformedApiKey);
        }
        Ok(Self(Zeroizing::new(text.to_owned())))
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ApiKey(***)")
    }
}

/// The keyed hash of an API key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KeyHash([u8; 32]);

impl KeyHash {
    /// The bytes.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("KeyHash(***)")
    }
}

impl Serialize for KeyHash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&crate::secret::to_hex(&self.0))
    }
}

impl<'de> Deserialize<'de> for KeyHash {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let mut bytes = [0; 32];
        crate::secret::from_hex(&text, &mut bytes)
            .ok_or_else(|| serde::de::Error::custom("64 hexadecimal digits expected"))?;
        Ok(Self(bytes))
    }
}

/// `length` random letters and digits.
#[must_use]
pub fn random_text(length: usize, entropy: &dyn Entropy) -> Zeroizing<String> {
    let mut rng = EntropyRng(entropy);
    let mut text = Zeroizing::new(String::with_capacity(length));
    for _ in 0..length {
        text.push(letter(rng.random_range(0..ALPHABET.len())));
    }
    text
}

fn letter(index: usize) -> char {
    ALPHABET.get(index % ALPHABET.len()).map_or('0', |byte| char::from(*byte))
}

/// CRC-32 of each byte: every request's key is checked, so a bit at a time would be felt.
const CRC_TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        #[expect(clippy::cast_possible_truncation, reason = "the index is below 256")]
        let mut crc = index as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
            bit += 1;
        }
        #[expect(clippy::indexing_slicing, reason = "the loop ends at the table's length, when this is compiled")]
        {
            table[index] = crc;
        }
        index += 1;
    }
    table
};

/// CRC-32 (IEEE 802.3) of the text, in base 62: catches typing errors, guards nothing.
fn checksum(text: &str) -> String {
    let mut crc = u32::MAX;
    for byte in text.bytes() {
        let [low, ..] = crc.to_le_bytes();
        crc = crc >> 8 ^ CRC_TABLE.get(usize::from(low ^ byte)).copied().unwrap_or_default();
    }
    let mut rest = usize::try_from(!crc).unwrap_or_default();
    let mut digits = String::with_capacity(CHECK);
    for _ in 0..CHECK {
        digits.push(letter(rest));
        rest /= ALPHABET.len();
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::SystemEntropy;

    #[test]
    fn a_key_reads_as_it_is_written_and_no_typing_error_passes() {
        let key = ApiKey::generate(&SystemEntropy);
        let text = key.expose().to_owned();
        assert_eq!(text.len(), KEY_LENGTH);
        assert_eq!(text.parse::<ApiKey>().unwrap().name(), key.name());
        for index in 0..text.len() {
            let mut typo = text.clone().into_bytes();
            typo[index] = if typo[index] == b'x' { b'y' } else { b'x' };
            let typo = String::from_utf8(typo).unwrap();
            assert!(typo.parse::<ApiKey>().is_err(), "{typo}");
        }
        for bad in ["", "otpg_", &text[1..], &format!("{text}x"), &"é".repeat(KEY_LENGTH / 2)] {
            assert!(bad.parse::<ApiKey>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_key_hides_itself() {
        let key = ApiKey::generate(&SystemEntropy);
        assert_eq!(format!("{key:?}"), "ApiKey(***)");
        let keyring = Keyring::generate(&SystemEntropy);
        assert_eq!(key.hash(&keyring), key.expose().parse::<ApiKey>().unwrap().hash(&keyring));
        assert_ne!(key.hash(&keyring), ApiKey::generate(&SystemEntropy).hash(&keyring));
    }
}
