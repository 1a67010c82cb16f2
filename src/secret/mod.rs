//! Secrets: keyed hashes, sealed values, constant-time compares; `entropy`: random bytes from the system; `hex`: bytes as text.
//!
//! Envelope encryption: the *master key* (outside the database) only wraps the *keyring* (inside it), and the keyring's
//! keys do the work. A rotation of the master key therefore rewraps one value and leaves every hash and index as it is.
//! Every sealed value starts with the number of the ring that sealed it. Knows nothing of codes, keys or storage.

mod entropy;
mod hex;

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::{constant_time, hmac};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

pub use entropy::{Entropy, EntropyRng, SystemEntropy};
pub(crate) use hex::bytes_or_hex;
pub use hex::{from_hex, to_hex};

const KEY_BYTES: usize = 32;
const TAG_BYTES: usize = 16;

/// A text that must not be seen: redacts itself in `Debug`, wipes itself when dropped, compares in constant time.
#[derive(Clone, Default)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the text over.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text itself. Whoever calls this answers for where it goes.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        equal(self.0.as_bytes(), other.0.as_bytes())
    }
}

/// Compares in a time that depends on the lengths only.
#[must_use]
pub fn equal(left: &[u8], right: &[u8]) -> bool {
    constant_time::verify_slices_are_equal(left, right).is_ok()
}

/// The operator's key, 256 bits, kept outside the database. It wraps keyrings and does nothing else.
pub struct MasterKey(Zeroizing<[u8; KEY_BYTES]>);

impl MasterKey {
    /// Makes a new one.
    #[must_use]
    pub fn generate(entropy: &dyn Entropy) -> Self {
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        entropy.fill(&mut *bytes);
        Self(bytes)
    }

    /// Reads 64 hexadecimal digits; white space around them is ignored.
    ///
    /// # Errors
    /// [`MalformedMasterKey`] for anything else.
    pub fn parse(text: &str) -> Result<Self, MalformedMasterKey> {
        let digits = text.trim();
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        from_hex(digits, &mut *bytes).ok_or(MalformedMasterKey)?;
        Ok(Self(bytes))
    }

    /// The 64 hexadecimal digits, for the file that keeps it.
    #[must_use]
    pub fn to_hex(&self) -> Zeroizing<String> {
        Zeroizing::new(to_hex(&*self.0))
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("MasterKey(***)")
    }
}

/// The master key is not 64 hexadecimal digits.
#[derive(Debug, thiserror::Error)]
#[error("the master key must be 64 hexadecimal digits (make one with: openssl rand -hex 32)")]
pub struct MalformedMasterKey;

/// The master key does not open this store's keyring.
#[derive(Debug, thiserror::Error)]
#[error("the master key is not the one that this data was made with")]
pub struct WrongMasterKey;

/// The value was not sealed by this keyring for this purpose, or it was altered.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a sealed value does not open")]
pub struct Unsealable;

/// What a keyed hash is for. The same bytes hash differently for each.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
pub enum Purpose {
    /// (account, phone number) → the key of the number's record, and its shard.
    Number = 1,
    /// The secret of an API key.
    ApiKey = 2,
    /// The key of a cache that must not hold what it looks up.
    Cache = 3,
    /// What a call is known by, and what it asks for.
    Idempotency = 4,
    /// A subscription → the address that ends it.
    Unsubscribe = 5,
    /// (connection, callback address) → what the same callback twice has in common.
    Callback = 6,
    /// (connection, nonce) → what was spent.
    Nonce = 7,
    /// A session's token, and whom a puzzle was solved for.
    Identity = 8,
    /// A submission of a message → the proof that a receipt for it comes from who was given it.
    Receipt = 10,
    /// A verification → the address of its page.
    Page = 11,
    /// A verification → the address that ends the wait for it.
    Wait = 12,
    /// The key that signs results of verifications.
    Result = 13,
}

/// All of them, in their order.
const PURPOSES: [Purpose; 12] = [
    Purpose::Number,
    Purpose::ApiKey,
    Purpose::Cache,
    Purpose::Idempotency,
    Purpose::Unsubscribe,
    Purpose::Callback,
    Purpose::Nonce,
    Purpose::Identity,
    Purpose::Receipt,
    Purpose::Page,
    Purpose::Wait,
    Purpose::Result,
];

/// A value only its keyring can read: ring number, nonce, ciphertext, tag.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sealed(#[serde(with = "bytes_or_hex")] Vec<u8>);

impl Sealed {
    /// The bytes, for a store that keeps bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// From the bytes that a store kept. Whether they are a sealed value shows when it is opened.
    #[must_use]
    pub const fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Sealed(***)")
    }
}

/// The keys that work: one to hash, one to seal. Kept in the store, wrapped by the master key.
pub struct Keyring {
    hashing: [hmac::Key; PURPOSES.len()],
    sealing: RandomizedNonceKey,
    bytes: Zeroizing<[u8; KEY_BYTES * 2]>,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Keyring(***)")
    }
}

/// The only keyring so far. A second one would carry the next number.
const RING: u8 = 1;

impl Keyring {
    /// Makes new keys.
    #[must_use]
    pub fn generate(entropy: &dyn Entropy) -> Self {
        let mut bytes = Zeroizing::new([0; KEY_BYTES * 2]);
        entropy.fill(&mut *bytes);
        Self::from_bytes(bytes)
    }

    /// The keys that follow from `master`: for a store that many processes share and that may have to be made anew under
    /// their feet. Whoever makes it again with the same master key makes the same keys.
    #[must_use]
    pub fn of_master(master: &MasterKey) -> Self {
        let root = hmac::Key::new(hmac::HMAC_SHA256, &*master.0);
        let mut bytes = Zeroizing::new([0; KEY_BYTES * 2]);
        for (half, name) in
            bytes.chunks_exact_mut(KEY_BYTES).zip([b"otpgate keyring: hashing", b"otpgate keyring: sealing"])
        {
            half.copy_from_slice(hmac::sign(&root, name).as_ref());
        }
        Self::from_bytes(bytes)
    }

    /// Whether these are the same keys.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        equal(&*self.bytes, &*other.bytes)
    }

    fn from_bytes(bytes: Zeroizing<[u8; KEY_BYTES * 2]>) -> Self {
        let (hashing, sealing) = bytes.split_at(KEY_BYTES);
        let root = hmac::Key::new(hmac::HMAC_SHA256, hashing);
        // A key of its own for each purpose: no hash of one can stand in for a hash of another.
        let hashing =
            PURPOSES.map(|purpose| hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&root, &[purpose as u8]).as_ref()));
        #[expect(clippy::expect_used, reason = "the key has the length of the algorithm, by the constants above")]
        let sealing = RandomizedNonceKey::new(&AES_256_GCM_SIV, sealing).expect("32 bytes fit AES-256-GCM-SIV");
        Self { hashing, sealing, bytes }
    }

    /// The keyring as it may lie in the store: text that only `master` opens.
    #[must_use]
    pub fn wrap(&self, master: &MasterKey) -> String {
        let mut body = self.bytes.to_vec();
        let sealed = seal_with(&wrapping_key(master), b"otpgate keyring", &mut body);
        to_hex(&sealed)
    }

    /// Opens what [`Keyring::wrap`] gave.
    ///
    /// # Errors
    /// [`WrongMasterKey`] when `master` did not wrap it.
    pub fn unwrap(master: &MasterKey, wrapped: &str) -> Result<Self, WrongMasterKey> {
        let mut sealed = vec![0; wrapped.len() / 2];
        from_hex(wrapped, &mut sealed).ok_or(WrongMasterKey)?;
        let plain =
            open_with(&wrapping_key(master), b"otpgate keyring", &sealed).map_err(|Unsealable| WrongMasterKey)?;
        let mut bytes = Zeroizing::new([0; KEY_BYTES * 2]);
        if plain.len() != bytes.len() {
            return Err(WrongMasterKey);
        }
        bytes.copy_from_slice(&plain);
        Ok(Self::from_bytes(bytes))
    }

    /// HMAC-SHA-256 over the parts, each preceded by its length, so that no two lists of parts are the same bytes.
    #[must_use]
    pub fn hash(&self, purpose: Purpose, parts: &[&[u8]]) -> [u8; 32] {
        let [number, api_key, cache, idempotency, unsubscribe, callback, nonce, identity, receipt, page, wait, result] =
            &self.hashing;
        let key = match purpose {
            Purpose::Number => number,
            Purpose::ApiKey => api_key,
            Purpose::Cache => cache,
            Purpose::Idempotency => idempotency,
            Purpose::Unsubscribe => unsubscribe,
            Purpose::Callback => callback,
            Purpose::Nonce => nonce,
            Purpose::Identity => identity,
            Purpose::Receipt => receipt,
            Purpose::Page => page,
            Purpose::Wait => wait,
            Purpose::Result => result,
        };
        let mut context = hmac::Context::with_key(key);
        for part in parts {
            context.update(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_le_bytes());
            context.update(part);
        }
        let mut hash = [0; 32];
        hash.copy_from_slice(context.sign().as_ref());
        hash
    }

    /// Seals `plain`; it opens only with the same `context` (say, the id of the row that holds it).
    #[must_use]
    pub fn seal(&self, context: &[u8], plain: &[u8]) -> Sealed {
        let mut body = plain.to_vec();
        Sealed(seal_with(&self.sealing, context, &mut body))
    }

    /// Opens what [`Keyring::seal`] gave.
    ///
    /// # Errors
    /// [`Unsealable`] when the context, the ring or a byte is another.
    pub fn open(&self, context: &[u8], sealed: &Sealed) -> Result<Zeroizing<Vec<u8>>, Unsealable> {
        open_with(&self.sealing, context, &sealed.0)
    }
}

fn wrapping_key(master: &MasterKey) -> RandomizedNonceKey {
    #[expect(clippy::expect_used, reason = "a master key is 32 bytes by its type")]
    RandomizedNonceKey::new(&AES_256_GCM_SIV, &*master.0).expect("32 bytes fit AES-256-GCM-SIV")
}

fn seal_with(key: &RandomizedNonceKey, context: &[u8], body: &mut Vec<u8>) -> Vec<u8> {
    #[expect(clippy::expect_used, reason = "sealing fails only beyond 64 GiB or without the system generator")]
    let nonce = key.seal_in_place_append_tag(Aad::from(context), body).expect("short values seal");
    let mut sealed = Vec::with_capacity(1 + NONCE_LEN + body.len());
    sealed.push(RING);
    sealed.extend_from_slice(nonce.as_ref());
    sealed.extend_from_slice(body);
    body.zeroize();
    sealed
}

fn open_with(key: &RandomizedNonceKey, context: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Unsealable> {
    let (ring, rest) = sealed.split_first().ok_or(Unsealable)?;
    let (nonce, body) = rest.split_at_checked(NONCE_LEN).ok_or(Unsealable)?;
    if *ring != RING || body.len() < TAG_BYTES {
        return Err(Unsealable);
    }
    let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| Unsealable)?;
    let mut plain = Zeroizing::new(body.to_vec());
    let length = key.open_in_place(nonce, Aad::from(context), &mut plain).map_err(|_| Unsealable)?.len();
    plain.truncate(length);
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_value_opens_only_where_it_was_sealed_for() {
        let ring = Keyring::generate(&SystemEntropy);
        let sealed = ring.seal(b"row 1", b"012345");
        assert_eq!(&**ring.open(b"row 1", &sealed).unwrap(), b"012345");
        assert_eq!(ring.open(b"row 2", &sealed).unwrap_err(), Unsealable);
        assert_eq!(Keyring::generate(&SystemEntropy).open(b"row 1", &sealed).unwrap_err(), Unsealable);
        for index in 0..sealed.0.len() {
            let mut altered = sealed.clone();
            altered.0[index] ^= 1;
            assert_eq!(ring.open(b"row 1", &altered).unwrap_err(), Unsealable, "byte {index}");
        }
    }

    #[test]
    fn a_keyring_survives_wrapping_and_knows_its_master() {
        let (master, other) = (MasterKey::generate(&SystemEntropy), MasterKey::generate(&SystemEntropy));
        let ring = Keyring::generate(&SystemEntropy);
        let wrapped = ring.wrap(&master);
        let again = Keyring::unwrap(&MasterKey::parse(&master.to_hex()).unwrap(), &wrapped).unwrap();
        assert_eq!(ring.hash(Purpose::Number, &[b"a"]), again.hash(Purpose::Number, &[b"a"]));
        assert!(Keyring::unwrap(&other, &wrapped).is_err());
        assert!(Keyring::unwrap(&master, "zz").is_err());
        assert!(again.is(&ring) && !Keyring::of_master(&master).is(&ring));
        assert!(Keyring::of_master(&master).is(&Keyring::of_master(&master)));
        assert!(!Keyring::of_master(&master).is(&Keyring::of_master(&other)));
    }

    #[test]
    fn a_hash_depends_on_purpose_and_on_where_the_parts_end() {
        let ring = Keyring::generate(&SystemEntropy);
        assert_ne!(ring.hash(Purpose::Number, &[b"a"]), ring.hash(Purpose::ApiKey, &[b"a"]));
        assert_ne!(ring.hash(Purpose::Number, &[b"ab", b"c"]), ring.hash(Purpose::Number, &[b"a", b"bc"]));
    }

    #[test]
    fn a_secret_does_not_print_itself() {
        assert_eq!(format!("{:?}", Secret::new("hunter2".to_owned())), "***");
        assert!(MasterKey::parse("12").is_err());
    }
}
