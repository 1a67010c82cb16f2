//! RSA-OAEP decryption with SHA-256, in both readings of the padding's name: MGF1 with SHA-256 and MGF1 with SHA-1.
//!
//! `OAEPWithSHA-256AndMGF1Padding` means MGF1-SHA-1 to Java's own provider and MGF1-SHA-256 to others (RFC 8017 appendix
//! A.2.1 leaves them apart). aws-lc-rs offers only the same hash for both, so this file calls the library beneath it, which
//! blinds the private operation and checks the padding in constant time; the `rsa` crate does not (RUSTSEC-2023-0071).
//! Together with `footprint` it has the only unsafe lines. Must not know what is encrypted.

use std::mem::MaybeUninit;
use std::ptr::NonNull;

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeySize, PrivateDecryptingKey};
use aws_lc_sys as sys;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// Bytes of a ciphertext, and of the modulus: 2,048 bits.
pub const CIPHERTEXT_BYTES: usize = 256;

/// Which hash the mask generation function of OAEP uses. The hash of the label is SHA-256 in both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// MGF1 with SHA-256.
    Sha256,
    /// MGF1 with SHA-1.
    Sha1,
}

/// A key that cannot be made or read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no RSA key of 2,048 bits")]
pub struct BadKey;

/// A new pair: the private key in PKCS #8 (RFC 5208), and the public key as PEM. Takes some hundred milliseconds of a core.
///
/// # Errors
/// [`BadKey`] when the library cannot make one.
pub fn generate() -> Result<(Zeroizing<Vec<u8>>, String), BadKey> {
    let pair = PrivateDecryptingKey::generate(KeySize::Rsa2048).map_err(|_| BadKey)?;
    let private: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| BadKey)?;
    Ok((Zeroizing::new(private.as_ref().to_vec()), pem(&pair)?))
}

/// The public half of a private key, as PEM (RFC 7468 section 13).
///
/// # Errors
/// [`BadKey`] when `pkcs8` holds no RSA key.
pub fn public_pem(pkcs8: &[u8]) -> Result<String, BadKey> {
    pem(&PrivateDecryptingKey::from_pkcs8(pkcs8).map_err(|_| BadKey)?)
}

fn pem(pair: &PrivateDecryptingKey) -> Result<String, BadKey> {
    let der: PublicKeyX509Der<'_> = pair.public_key().as_der().map_err(|_| BadKey)?;
    let mut text = String::from("-----BEGIN PUBLIC KEY-----\n");
    for line in STANDARD.encode(der.as_ref()).as_bytes().chunks(64) {
        text.push_str(std::str::from_utf8(line).unwrap_or_default());
        text.push('\n');
    }
    text.push_str("-----END PUBLIC KEY-----\n");
    Ok(text)
}

/// A private key, ready to decrypt. Freed, and wiped by the library, when it is dropped.
pub struct PrivateKey(NonNull<sys::EVP_PKEY>);

#[expect(unsafe_code, reason = "a key that nobody changes may be used from any thread (openssl/evp.h says so)")]
// SAFETY: aws-lc counts the references of an EVP_PKEY atomically and locks its blindings; the only operations here are to
// use it and to free it once, in `drop`.
unsafe impl Send for PrivateKey {}
#[expect(unsafe_code, reason = "as above")]
// SAFETY: as above.
unsafe impl Sync for PrivateKey {}

impl Drop for PrivateKey {
    #[expect(unsafe_code, reason = "the library's own destructor")]
    fn drop(&mut self) {
        // SAFETY: the pointer came from EVP_parse_private_key, is not null and is freed nowhere else.
        unsafe { sys::EVP_PKEY_free(self.0.as_ptr()) }
    }
}

/// A context of one operation, freed when it is dropped.
struct Context(NonNull<sys::EVP_PKEY_CTX>);

impl Drop for Context {
    #[expect(unsafe_code, reason = "the library's own destructor")]
    fn drop(&mut self) {
        // SAFETY: the pointer came from EVP_PKEY_CTX_new, is not null and is freed nowhere else.
        unsafe { sys::EVP_PKEY_CTX_free(self.0.as_ptr()) }
    }
}

impl PrivateKey {
    /// Reads a private key in PKCS #8.
    ///
    /// # Errors
    /// [`BadKey`] when it is no RSA key of 2,048 bits.
    #[expect(unsafe_code, reason = "calls into the library")]
    pub fn from_pkcs8(pkcs8: &[u8]) -> Result<Self, BadKey> {
        // aws-lc-rs judges it: RSA, whole, consistent, and of this size.
        let judged = PrivateDecryptingKey::from_pkcs8(pkcs8).map_err(|_| BadKey)?;
        if judged.key_size_bytes() != CIPHERTEXT_BYTES {
            return Err(BadKey);
        }
        let mut bytes = MaybeUninit::<sys::CBS>::uninit();
        // SAFETY: CBS_init only stores the pointer and the length of `pkcs8`, which outlives the parsing;
        // EVP_parse_private_key reads no more than that and copies what it keeps. It gives null or a key that is ours.
        let key = unsafe {
            sys::CBS_init(bytes.as_mut_ptr(), pkcs8.as_ptr(), pkcs8.len());
            sys::EVP_parse_private_key(bytes.as_mut_ptr())
        };
        NonNull::new(key).map(Self).ok_or(BadKey)
    }

    /// What `ciphertext` holds in this reading of the padding. `None` says nothing of why.
    #[must_use]
    #[expect(unsafe_code, reason = "calls into the library")]
    pub fn decrypt(&self, reading: Reading, ciphertext: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        if ciphertext.len() != CIPHERTEXT_BYTES {
            return None;
        }
        let mut plain = Zeroizing::new(vec![0; CIPHERTEXT_BYTES]);
        let mut length = plain.len();
        // SAFETY: `self.0` is a live key, and EVP_PKEY_CTX_new takes a reference of its own; its second argument may be
        // null. The context is freed by its wrapper.
        let context = NonNull::new(unsafe { sys::EVP_PKEY_CTX_new(self.0.as_ptr(), std::ptr::null_mut()) })?;
        let context = Context(context);
        let to = context.0.as_ptr();
        // SAFETY: `to` is a live context of an RSA key, used by this thread alone. The digests are statics of the library.
        // EVP_PKEY_decrypt writes at most `length` bytes to `plain`, which has as many, reads `ciphertext.len()` bytes of
        // `ciphertext`, and stores in `length` how many it wrote. It fails, and writes nothing that is used, otherwise.
        let decrypted = unsafe {
            let mask = match reading {
                Reading::Sha256 => sys::EVP_sha256(),
                Reading::Sha1 => sys::EVP_sha1(),
            };
            sys::EVP_PKEY_decrypt_init(to) == 1
                && sys::EVP_PKEY_CTX_set_rsa_padding(to, sys::RSA_PKCS1_OAEP_PADDING) == 1
                && sys::EVP_PKEY_CTX_set_rsa_oaep_md(to, sys::EVP_sha256()) == 1
                && sys::EVP_PKEY_CTX_set_rsa_mgf1_md(to, mask) == 1
                && sys::EVP_PKEY_decrypt(to, plain.as_mut_ptr(), &raw mut length, ciphertext.as_ptr(), ciphertext.len())
                    == 1
        };
        if !decrypted {
            // SAFETY: drops what this thread's queue of errors holds; takes no argument.
            unsafe { sys::ERR_clear_error() };
            return None;
        }
        plain.truncate(length);
        Some(plain)
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::rsa::{OAEP_SHA256_MGF1SHA256, OaepPublicEncryptingKey, PublicEncryptingKey};

    use super::*;

    fn der(pem: &str) -> Vec<u8> {
        let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        STANDARD.decode(body).unwrap()
    }

    /// What a client does; in either reading. The counterpart of [`PrivateKey::decrypt`], for tests alone.
    #[expect(unsafe_code, reason = "calls into the library")]
    fn encrypt(pem: &str, reading: Reading, plain: &[u8]) -> Vec<u8> {
        let der = der(pem);
        let mut out = vec![0; CIPHERTEXT_BYTES];
        let mut length = out.len();
        let mut bytes = MaybeUninit::<sys::CBS>::uninit();
        // SAFETY: as in the code above: live pointers, true lengths, statics of the library, freed once.
        unsafe {
            sys::CBS_init(bytes.as_mut_ptr(), der.as_ptr(), der.len());
            let key = sys::EVP_parse_public_key(bytes.as_mut_ptr());
            assert!(!key.is_null());
            let context = sys::EVP_PKEY_CTX_new(key, std::ptr::null_mut());
            let mask = if reading == Reading::Sha1 { sys::EVP_sha1() } else { sys::EVP_sha256() };
            assert_eq!(sys::EVP_PKEY_encrypt_init(context), 1);
            assert_eq!(sys::EVP_PKEY_CTX_set_rsa_padding(context, sys::RSA_PKCS1_OAEP_PADDING), 1);
            assert_eq!(sys::EVP_PKEY_CTX_set_rsa_oaep_md(context, sys::EVP_sha256()), 1);
            assert_eq!(sys::EVP_PKEY_CTX_set_rsa_mgf1_md(context, mask), 1);
            let done = sys::EVP_PKEY_encrypt(context, out.as_mut_ptr(), &raw mut length, plain.as_ptr(), plain.len());
            assert_eq!((done, length), (1, CIPHERTEXT_BYTES));
            sys::EVP_PKEY_CTX_free(context);
            sys::EVP_PKEY_free(key);
        }
        out
    }

    #[test]
    fn each_reading_opens_its_own_and_nothing_else() {
        let (private, pem) = generate().unwrap();
        assert_eq!(public_pem(&private).unwrap(), pem);
        let key = PrivateKey::from_pkcs8(&private).unwrap();
        for (reading, other) in [(Reading::Sha256, Reading::Sha1), (Reading::Sha1, Reading::Sha256)] {
            for plain in [&b""[..], b"session_token=a&timestamp=1&nonce=b", &[7; 190]] {
                let mut sealed = encrypt(&pem, reading, plain);
                assert_eq!(key.decrypt(reading, &sealed).unwrap().as_slice(), plain);
                assert_eq!(key.decrypt(other, &sealed), None);
                sealed[128] ^= 1;
                assert_eq!(key.decrypt(reading, &sealed), None);
            }
        }
        // What aws-lc-rs encrypts is the first reading: the two ways into the library agree.
        let public = PublicEncryptingKey::from_der(&der(&pem)).unwrap();
        let public = OaepPublicEncryptingKey::new(public).unwrap();
        let mut sealed = [0; CIPHERTEXT_BYTES];
        public.encrypt(&OAEP_SHA256_MGF1SHA256, b"plain", &mut sealed, None).unwrap();
        assert_eq!(key.decrypt(Reading::Sha256, &sealed).unwrap().as_slice(), b"plain");
    }

    #[test]
    fn what_is_no_key_or_no_ciphertext_is_refused() {
        let (private, _) = generate().unwrap();
        let key = PrivateKey::from_pkcs8(&private).unwrap();
        for ciphertext in [&[][..], &[1; 255], &[1; 257], &[0; 256], &[0xff; 256]] {
            assert_eq!(key.decrypt(Reading::Sha256, ciphertext), None);
            assert_eq!(key.decrypt(Reading::Sha1, ciphertext), None);
        }
        assert_eq!(PrivateKey::from_pkcs8(b"nonsense").err(), Some(BadKey));
        assert_eq!(PrivateKey::from_pkcs8(&private[..100]).err(), Some(BadKey));
        let short = PrivateDecryptingKey::generate(KeySize::Rsa3072).unwrap();
        let short: Pkcs8V1Der<'_> = short.as_der().unwrap();
        assert_eq!(PrivateKey::from_pkcs8(short.as_ref()).err(), Some(BadKey));
    }
}
