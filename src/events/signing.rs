//! Signatures as Standard Webhooks 1.0 writes them: `v1,` and base64 of HMAC-SHA-256 over `id.timestamp.body`, keyed by a
//! secret that is handed out as `whsec_` and base64. Several live secrets give several signatures, separated by spaces.

use std::fmt;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::secret::{Entropy, Secret};

/// Bytes of a secret; the specification asks for 24 to 64.
pub const SECRET_BYTES: usize = 32;
/// What a secret begins with where a person sees it.
const PREFIX: &str = "whsec_";

/// The secret that the events of a subscription are signed with.
#[derive(Clone)]
pub struct SigningSecret(Zeroizing<[u8; SECRET_BYTES]>);

impl SigningSecret {
    /// A new one.
    #[must_use]
    pub fn generate(entropy: &dyn Entropy) -> Self {
        let mut bytes = Zeroizing::new([0; SECRET_BYTES]);
        entropy.fill(&mut *bytes);
        Self(bytes)
    }

    /// From the bytes that were sealed.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut own = Zeroizing::new([0; SECRET_BYTES]);
        if bytes.len() != own.len() {
            return None;
        }
        own.copy_from_slice(bytes);
        Some(Self(own))
    }

    /// The bytes, to be sealed.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &*self.0
    }

    /// `whsec_` and base64: what the receiver's library takes. Shown once.
    #[must_use]
    pub fn to_text(&self) -> Secret {
        Secret::new(format!("{PREFIX}{}", *Zeroizing::new(STANDARD.encode(*self.0))))
    }

    /// The signature of one message: `v1,` and base64.
    fn sign(&self, id: &str, timestamp: u64, body: &[u8]) -> String {
        let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &*self.0));
        context.update(format!("{id}.{timestamp}.").as_bytes());
        context.update(body);
        format!("v1,{}", STANDARD.encode(context.sign()))
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SigningSecret(***)")
    }
}

/// The value of `webhook-signature`: one signature for each secret, newest secret first. `timestamp` is in whole seconds
/// since 1970.
#[must_use]
pub fn signatures(secrets: &[SigningSecret], id: &str, timestamp: u64, body: &[u8]) -> String {
    let all: Vec<_> = secrets.iter().map(|secret| secret.sign(id, timestamp, body)).collect();
    all.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::SystemEntropy;

    #[test]
    fn the_vector_of_the_specification_holds() {
        // The example of the reference libraries: their secret is shorter than ours.
        let secret = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &secret));
        context.update(br#"msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330.{"test": 2432232314}"#);
        assert_eq!(STANDARD.encode(context.sign()), "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn each_live_secret_signs() {
        let (one, two) = (SigningSecret::generate(&SystemEntropy), SigningSecret::generate(&SystemEntropy));
        let both = signatures(&[one.clone(), two], "id", 7, b"{}");
        let parts: Vec<_> = both.split(' ').collect();
        assert_eq!(parts.len(), 2);
        assert_eq!(parts[0], one.sign("id", 7, b"{}"));
        assert_ne!(parts[0], one.sign("id", 7, b"{ }"));
        assert_ne!(parts[0], one.sign("id", 8, b"{}"));
        let text = one.to_text();
        let again = STANDARD.decode(text.expose().strip_prefix(PREFIX).unwrap()).unwrap();
        assert_eq!(SigningSecret::from_bytes(&again).unwrap().bytes(), one.bytes());
        assert_eq!(format!("{one:?}"), "SigningSecret(***)");
    }
}
