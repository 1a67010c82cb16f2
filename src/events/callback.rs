//! Events in OneAccess' form: a signed envelope in the body, and a token in the header.
//!
//! `{nonce, timestamp, eventType, data, signature}`, where the signature is Base64 of HMAC-SHA-256 over the first four,
//! joined by `&`. A receiver is asked before it is told anything: it has to give the data of a `CHECK_URL` back.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::clock::UnixMillis;
use crate::events::dispatch::{Letter, Proof};
use crate::events::signing::SigningSecret;
use crate::events::subscription::{Subscription, SubscriptionId};
use crate::secret::{Entropy, Keyring, Purpose, Secret, to_hex};

/// What a receiver is asked before it is told anything.
pub const CHECK_URL: &str = "CHECK_URL";

/// The body of a callback.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<'a> {
    nonce: &'a str,
    timestamp: u64,
    event_type: &'a str,
    data: &'a str,
    signature: String,
}

/// What a receiver answers to a `CHECK_URL`.
#[derive(Deserialize)]
struct Echo {
    code: String,
    data: String,
}

/// The key that signatures are made with, as an operator gives it to the receiver: its bytes are the key, as they are.
#[must_use]
pub fn signature_key(secret: &SigningSecret) -> Secret {
    Secret::new(to_hex(secret.bytes()))
}

/// The token that callbacks of a subscription bear: computed, not kept.
#[must_use]
pub fn token(id: SubscriptionId, keyring: &Keyring) -> Secret {
    Secret::new(to_hex(&keyring.hash(Purpose::Callback, &[b"bearer", &id.bytes()])))
}

/// A callback that is ready to be posted.
#[must_use]
pub fn letter(
    (subscription, url, secret): (&Subscription, Secret, &SigningSecret),
    (id, event_type, data): (String, &str, &str),
    keyring: &Keyring,
    entropy: &dyn Entropy,
    now: UnixMillis,
) -> Letter {
    let mut nonce = [0; 16];
    entropy.fill(&mut nonce);
    let nonce = to_hex(&nonce);
    let signature = sign(&signature_key(secret), &nonce, now.0, event_type, data);
    let envelope = Envelope { nonce: &nonce, timestamp: now.0, event_type, data, signature };
    Letter {
        url,
        id,
        proof: Proof::Bearer(token(subscription.id, keyring)),
        // Texts and a number: writing them cannot fail.
        body: serde_json::to_vec(&envelope).unwrap_or_default(),
    }
}

fn sign(key: &Secret, nonce: &str, timestamp: u64, event_type: &str, data: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.expose().as_bytes());
    STANDARD.encode(hmac::sign(&key, format!("{nonce}&{timestamp}&{event_type}&{data}").as_bytes()))
}

/// Whether a receiver gave back what it was asked with.
#[must_use]
pub fn is_echo(answer: &[u8], data: &str) -> bool {
    serde_json::from_slice::<Echo>(answer).is_ok_and(|echo| echo.code == "200" && echo.data == data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_covers_the_four_in_their_order() {
        // Computed with: printf 'n&7&CHECK_URL&d' | openssl dgst -sha256 -hmac key -binary | base64
        let key = Secret::new("key".to_owned());
        assert_eq!(sign(&key, "n", 7, CHECK_URL, "d"), "w25Nk8u7Zs7egNZG39CIqJ1EKVzrqBjsohaD6Dmp4As=");
        assert_ne!(sign(&key, "n", 7, CHECK_URL, "d"), sign(&key, "n", 7, "d", CHECK_URL));
    }

    #[test]
    fn an_echo_is_exact() {
        assert!(is_echo(br#"{"code":"200","message":"success","data":"abc"}"#, "abc"));
        for answer in [
            &br#"{"code":"200","data":"abd"}"#[..],
            br#"{"code":200,"data":"abc"}"#,
            br#"{"code":"500","data":"abc"}"#,
            br#"{"code":"200"}"#,
            b"abc",
            b"",
        ] {
            assert!(!is_echo(answer, "abc"), "{}", String::from_utf8_lossy(answer));
        }
    }
}
