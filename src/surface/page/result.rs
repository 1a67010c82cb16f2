//! The result token: what a web site is told of how a verification ended, in a JSON Web Token (RFC 7519) that it checks with
//! the public key at `/.well-known/jwks.json` (RFC 7517). ES256, because every library has it.
//!
//! It goes through the person's browser, in an address: so it lives for a minute and holds no number. The site knows the
//! verification by its id, and itself by its reference. The key follows from the keyring: replicas share it, a restart keeps it.

use std::time::Duration;

use aws_lc_rs::agreement::{ECDH_P256, PrivateKey};
use aws_lc_rs::encoding::{AsBigEndian as _, EcPrivateKeyBin};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use jsonwebtoken::jwk::{Jwk, JwkSet, PublicKeyUse, ThumbprintHash};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde::Serialize;

use crate::clock::UnixMillis;
use crate::secret::{Entropy, Keyring, Purpose, to_hex};
use crate::verification::outcome::Outcome;
use crate::verification::record::Verification;

/// How long a result token is good for.
pub(super) const LIFE: Duration = Duration::from_secs(60);
/// What a result token calls itself, so that no other token of the same key could be taken for one (RFC 8725 section 3.11).
pub(super) const TYPE: &str = "verification-result+jwt";

/// The key could not be made.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the key of result tokens cannot be made")]
pub struct KeyError;

/// Signs result tokens.
pub struct Signer {
    key: EncodingKey,
    header: Header,
    issuer: String,
    keys: Vec<u8>,
}

/// Who a result token is for (RFC 7519 section 4.1.3).
#[derive(Serialize)]
#[serde(untagged)]
enum Audience<'a> {
    One(&'a str),
    Several(&'a [&'a str]),
}

/// What a result token says.
#[derive(Serialize)]
struct Claims<'a> {
    /// The gateway: its public address.
    iss: &'a str,
    /// The site that is told: its origin; for a page in a frame all that may show it.
    aud: Audience<'a>,
    /// The verification's id.
    sub: String,
    /// How it ended.
    outcome: &'static str,
    /// When it ended, in seconds since 1970.
    #[serde(rename = "endedAt", skip_serializing_if = "Option::is_none")]
    ended_at: Option<u64>,
    /// The site's own reference.
    #[serde(rename = "referenceId", skip_serializing_if = "Option::is_none")]
    reference: Option<&'a str>,
    iat: u64,
    exp: u64,
    jti: String,
}

impl Signer {
    /// The signer of the gateway at `issuer`.
    ///
    /// # Errors
    /// [`KeyError`] when the library refuses the key.
    pub fn new(keyring: &Keyring, issuer: String) -> Result<Self, KeyError> {
        let pair = (0..=u8::MAX).find_map(|draw| pair(keyring, draw)).ok_or(KeyError)?;
        let document = pair.to_pkcs8v1().map_err(|_| KeyError)?;
        let key = EncodingKey::from_ec_der(document.as_ref());
        let mut public = Jwk::from_encoding_key(&key, Algorithm::ES256).map_err(|_| KeyError)?;
        let name = public.thumbprint(ThumbprintHash::SHA256).map_err(|_| KeyError)?;
        public.common.key_id = Some(name.clone());
        public.common.public_key_use = Some(PublicKeyUse::Signature);
        let keys = serde_json::to_vec(&JwkSet { keys: vec![public] }).map_err(|_| KeyError)?;
        let header = Header { typ: Some(TYPE.to_owned()), kid: Some(name), ..Header::new(Algorithm::ES256) };
        Ok(Self { key, header, issuer, keys })
    }

    /// The public keys, as RFC 7517 writes them.
    #[must_use]
    pub fn keys(&self) -> &[u8] {
        &self.keys
    }

    /// A token for `audiences`, origins, that says how `verification` ended. None where it could not be signed.
    #[must_use]
    pub fn sign(
        &self,
        verification: &Verification,
        outcome: Outcome,
        audiences: &[&str],
        now: UnixMillis,
        entropy: &dyn Entropy,
    ) -> Option<String> {
        let mut id = [0; 16];
        entropy.fill(&mut id);
        let claims = Claims {
            iss: &self.issuer,
            aud: match audiences {
                [one] => Audience::One(one),
                several => Audience::Several(several),
            },
            sub: verification.id.to_string(),
            outcome: outcome.as_str(),
            ended_at: verification.ended.as_ref().map(|ended| ended.at.0 / 1_000),
            reference: verification.reference.as_ref().map(|reference| reference.as_str()),
            iat: now.0 / 1_000,
            exp: now.0 / 1_000 + LIFE.as_secs(),
            jti: to_hex(&id),
        };
        encode(&self.header, &claims, &self.key).ok()
    }
}

/// The pair of a draw. None where the hash is no private key of the curve, which one in four thousand million is not.
fn pair(keyring: &Keyring, draw: u8) -> Option<EcdsaKeyPair> {
    let private = keyring.hash(Purpose::Result, &[b"ES256", &[draw]]);
    let key = PrivateKey::from_private_key(&ECDH_P256, &private).ok()?;
    let private: EcPrivateKeyBin<'_> = key.as_be_bytes().ok()?;
    let public = key.compute_public_key().ok()?;
    let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
    let pair = EcdsaKeyPair::from_private_key_and_public_key(algorithm, private.as_ref(), public.as_ref()).ok()?;
    debug_assert_eq!(pair.public_key().as_ref(), public.as_ref());
    Some(pair)
}

/// The origin of an address that was checked: all before its path or query.
#[must_use]
pub(super) fn origin(address: &str) -> &str {
    let host = address.find("://").map_or(0, |at| at + 3);
    let rest = address.get(host..).unwrap_or_default();
    let end = rest.find(['/', '?', '#']).map_or(address.len(), |at| host + at);
    address.get(..end).unwrap_or_default()
}

/// The address of a site with a token in its query.
#[must_use]
pub(super) fn with_token(address: &str, token: &str) -> String {
    let joint = if address.contains('?') { '&' } else { '?' };
    format!("{address}{joint}{PARAMETER}={token}")
}

/// The parameter that carries a token.
pub(super) const PARAMETER: &str = "otpgate_result";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::SystemEntropy;

    #[test]
    fn the_key_follows_from_the_keyring() {
        let (one, two) = (Keyring::generate(&SystemEntropy), Keyring::generate(&SystemEntropy));
        let keys =
            |keyring: &Keyring| Signer::new(keyring, "https://otp.example.com".to_owned()).unwrap().keys().to_vec();
        assert_eq!(keys(&one), keys(&one));
        assert_ne!(keys(&one), keys(&two));
        let set: serde_json::Value = serde_json::from_slice(&keys(&one)).unwrap();
        let key = &set["keys"][0];
        assert_eq!((key["kty"].as_str(), key["crv"].as_str()), (Some("EC"), Some("P-256")));
        assert_eq!((key["alg"].as_str(), key["use"].as_str()), (Some("ES256"), Some("sig")));
        assert!(key["kid"].as_str().unwrap().len() == 43 && key.get("d").is_none());
    }

    #[test]
    fn an_address_has_an_origin_and_takes_a_token() {
        for address in ["https://a.example", "https://a.example/x?y=https://b.example/", "https://a.example?x"] {
            assert_eq!(origin(address), "https://a.example");
        }
        assert_eq!(origin("http://localhost:3000/x"), "http://localhost:3000");
        assert_eq!(with_token("https://a.example/x", "t"), "https://a.example/x?otpgate_result=t");
        assert_eq!(with_token("https://a.example/x?y=1", "t"), "https://a.example/x?y=1&otpgate_result=t");
    }
}
