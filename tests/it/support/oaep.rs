//! RSA-OAEP with SHA-256 as clients do it, in both readings of the padding: what the gateway has to open.

use std::mem::MaybeUninit;

use aws_lc_sys as sys;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Which hash MGF1 uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mgf1 {
    Sha256,
    Sha1,
}

/// Encrypts for a public key in PEM; Base64.
#[allow(unsafe_code, reason = "no safe binding lets the two hashes differ")]
pub(crate) fn encrypt(pem: &str, mgf1: Mgf1, plain: &str) -> String {
    let der = STANDARD.decode(pem.lines().filter(|line| !line.starts_with('-')).collect::<String>()).unwrap();
    let mut out = vec![0; 256];
    let mut length = out.len();
    let mut bytes = MaybeUninit::<sys::CBS>::uninit();
    // SAFETY: live pointers and their true lengths; the key and the context are freed once, the digests are statics.
    unsafe {
        sys::CBS_init(bytes.as_mut_ptr(), der.as_ptr(), der.len());
        let key = sys::EVP_parse_public_key(bytes.as_mut_ptr());
        assert!(!key.is_null());
        let context = sys::EVP_PKEY_CTX_new(key, std::ptr::null_mut());
        let mask = if mgf1 == Mgf1::Sha1 { sys::EVP_sha1() } else { sys::EVP_sha256() };
        assert_eq!(sys::EVP_PKEY_encrypt_init(context), 1);
        assert_eq!(sys::EVP_PKEY_CTX_set_rsa_padding(context, sys::RSA_PKCS1_OAEP_PADDING), 1);
        assert_eq!(sys::EVP_PKEY_CTX_set_rsa_oaep_md(context, sys::EVP_sha256()), 1);
        assert_eq!(sys::EVP_PKEY_CTX_set_rsa_mgf1_md(context, mask), 1);
        assert_eq!(sys::EVP_PKEY_encrypt(context, out.as_mut_ptr(), &raw mut length, plain.as_ptr(), plain.len()), 1);
        sys::EVP_PKEY_CTX_free(context);
        sys::EVP_PKEY_free(key);
    }
    out.truncate(length);
    STANDARD.encode(out)
}
