//! Calls of Unimatrix' API as its clients make them: written here from the contract, so that they share no code with the
//! gateway but the HMAC.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::{Answer, Client};

/// How a client writes what it signs, and its signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Habit {
    /// Milliseconds, Base64, `encodeURIComponent`.
    Node,
    /// Seconds, hexadecimal digits, `quote_plus`.
    Python,
}

/// A client of one access key.
pub(crate) struct Signer {
    id: String,
    secret: Option<String>,
    pub(crate) habit: Habit,
    pub(crate) client: Client,
}

/// Milliseconds since 1970.
pub(crate) fn now() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// A nonce that no other call has.
pub(crate) fn nonce() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("nonce-{:08}", NEXT.fetch_add(1, Ordering::Relaxed))
}

impl Habit {
    pub(crate) fn timestamp(self, millis: u64) -> String {
        match self {
            Self::Node => millis.to_string(),
            Self::Python => (millis / 1_000).to_string(),
        }
    }

    pub(crate) fn encode(self, text: &str) -> String {
        let kept: &[u8] = if self == Self::Node { b"-_.!~*'()" } else { b"-_.~" };
        let mut encoded = String::new();
        for byte in text.bytes() {
            match byte {
                b' ' if self == Self::Python => encoded.push('+'),
                byte if byte.is_ascii_alphanumeric() || kept.contains(&byte) => encoded.push(char::from(byte)),
                byte => encoded += &format!("%{byte:02X}"),
            }
        }
        encoded
    }

    /// The pairs, signed: a query string.
    pub(crate) fn sign(self, secret: &str, pairs: &[(&str, &str)]) -> String {
        let mut sorted = pairs.to_vec();
        sorted.sort_unstable();
        let join = |pairs: &[(&str, &str)]| {
            let pairs: Vec<_> = pairs.iter().map(|(name, value)| format!("{name}={}", self.encode(value))).collect();
            pairs.join("&")
        };
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        let tag = hmac::sign(&key, join(&sorted).as_bytes());
        let tag = match self {
            Self::Node => STANDARD.encode(tag),
            Self::Python => tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect(),
        };
        format!("{}&signature={}", join(pairs), self.encode(&tag))
    }
}

impl Signer {
    /// With a key as `otpgate key create --json` prints it.
    pub(crate) fn signed(address: SocketAddr, key: &Value, habit: Habit) -> Self {
        let text = |name: &str| key[name].as_str().unwrap().to_owned();
        let (id, secret) = (text("accessKeyId"), Some(text("accessKeySecret")));
        Self { id, secret, habit, client: Client::new(address, None) }
    }

    /// With the access key id alone.
    pub(crate) fn simple(address: SocketAddr, key: &Value) -> Self {
        Self { secret: None, ..Self::signed(address, key, Habit::Node) }
    }

    /// The address of a call, made now.
    pub(crate) fn path(&self, action: &str) -> String {
        self.path_with(&[("action", action)])
    }

    /// The address of a call with these parameters beside those that say who asks.
    pub(crate) fn path_with(&self, more: &[(&str, &str)]) -> String {
        let (timestamp, nonce) = (self.habit.timestamp(now()), nonce());
        let mut pairs = more.to_vec();
        pairs.push(("accessKeyId", &self.id));
        let Some(secret) = &self.secret else {
            let pairs: Vec<_> =
                pairs.iter().map(|(name, value)| format!("{name}={}", self.habit.encode(value))).collect();
            return format!("/?{}", pairs.join("&"));
        };
        pairs.extend([("algorithm", "hmac-sha256"), ("timestamp", &timestamp), ("nonce", &nonce)]);
        format!("/?{}", self.habit.sign(secret, &pairs))
    }

    /// Calls an action.
    pub(crate) fn call(&mut self, action: &str, body: &Value) -> Answer {
        let path = self.path(action);
        self.client.post_json(&path, body)
    }

    /// Sends; what it answers as data.
    pub(crate) fn send(&mut self, body: &Value) -> Value {
        let answer = self.call("otp.send", body).expect(200).json();
        assert_eq!((&answer["code"], &answer["message"]), (&Value::from("0"), &Value::from("Success")));
        answer["data"].clone()
    }

    /// Verifies; whether it was valid.
    pub(crate) fn verify(&mut self, body: &Value) -> bool {
        let answer = self.call("otp.verify", body).expect(200).json();
        assert_eq!((&answer["code"], &answer["data"]["to"]), (&Value::from("0"), &body["to"]));
        assert_eq!(answer["data"].as_object().unwrap().len(), 2, "{answer}");
        answer["data"]["valid"].as_bool().unwrap()
    }

    /// The status and the code of an error.
    pub(crate) fn error(&mut self, action: &str, body: &Value) -> (u16, String) {
        error(&self.call(action, body))
    }
}

/// The status and the code of an error, which has the form of the dialect.
pub(crate) fn error(answer: &Answer) -> (u16, String) {
    let error = answer.json();
    let code = error["code"].as_str().unwrap();
    assert!(code.len() == 6 && code.starts_with("10") && code.bytes().all(|byte| byte.is_ascii_digit()), "{error}");
    assert!(error["message"].is_string() && error["data"].is_null(), "{error}");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert!(answer.header("x-uni-request-id").is_some());
    (answer.status, code.to_owned())
}
