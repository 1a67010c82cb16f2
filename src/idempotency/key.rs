//! What a call is known by: a keyed hash of its name, a keyed hash of all it asks for, and how long its answer holds.
//!
//! Both are keyed hashes, because requests hold codes and numbers: whoever reads the store cannot try them out.

use std::fmt;
use std::time::Duration;

use crate::secret::{Keyring, Purpose};

/// How long an answer holds whose call brought its own key.
const NAMED: Duration = Duration::from_secs(24 * 60 * 60);
/// How long one holds that the platform's headers name: longer than its retries go on (15 minutes).
const RUN: Duration = Duration::from_secs(20 * 60);
/// As [`RUN`], for a resend: the same call of the same run may soon mean another message.
const RUN_RESEND: Duration = Duration::from_secs(30);

/// The operations that are done once, however often they are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Makes an OTP.
    Send,
    /// Opens a verification.
    Open,
    /// Sends it again.
    Resend,
    /// Checks a code.
    Verify,
    /// Deletes an OTP.
    Delete,
}

impl Operation {
    const fn name(self) -> &'static [u8] {
        match self {
            Self::Send => b"send",
            Self::Open => b"open",
            Self::Resend => b"resend",
            Self::Verify => b"verify",
            Self::Delete => b"delete",
        }
    }
}

/// The value of an `Idempotency-Key`: 1 to 255 visible ASCII characters.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct IdempotencyKey<'r>(&'r [u8]);

/// The value is no idempotency key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("1 to 255 visible ASCII characters, given once")]
pub struct MalformedKey;

impl<'r> IdempotencyKey<'r> {
    /// Reads the value of the header.
    ///
    /// # Errors
    /// [`MalformedKey`].
    pub fn parse(value: &'r [u8]) -> Result<Self, MalformedKey> {
        let fits = (1..=255).contains(&value.len()) && value.iter().all(u8::is_ascii_graphic);
        if fits { Ok(Self(value)) } else { Err(MalformedKey) }
    }
}

impl fmt::Debug for IdempotencyKey<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("IdempotencyKey(***)")
    }
}

/// Who says that two calls are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name<'r> {
    /// The caller, by its key.
    Key(IdempotencyKey<'r>),
    /// The platform, by its run and the operation in it. All rounds of a loop share them, so the request counts too.
    Run {
        /// `x-ms-workflow-run-id`, as it came.
        run: &'r [u8],
        /// `x-ms-workflow-operation-name`, as it came.
        action: &'r [u8],
    },
}

/// All that a call asks for, byte for byte. What only proves who asks (a signature, its nonce) is no part of it.
#[derive(Clone, Copy)]
pub struct Request<'r> {
    /// The method.
    pub method: &'r [u8],
    /// The path.
    pub path: &'r [u8],
    /// The query string; empty when there is none.
    pub query: &'r [u8],
    /// The media type of the body; empty when none is named.
    pub media_type: &'r [u8],
    /// Header fields that belong to what is asked for; mostly none.
    pub fields: &'r [u8],
    /// The body.
    pub body: &'r [u8],
}

/// Where the answer to a call is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReplayKey([u8; 16]);

/// What tells a repeated request from another one under the same key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint([u8; 16]);

macro_rules! hash {
    ($name:ident) => {
        impl $name {
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
        }
    };
}
hash!(ReplayKey);
hash!(Fingerprint);

/// What one call is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallKey {
    /// Where its answer is kept.
    pub key: ReplayKey,
    /// What it asks for.
    pub fingerprint: Fingerprint,
    operation: Operation,
    by_platform: bool,
}

impl CallKey {
    /// The key of a call to `operation` by a connection.
    #[must_use]
    pub fn of(keyring: &Keyring, connection: u64, operation: Operation, name: Name<'_>, request: &Request<'_>) -> Self {
        let connection = connection.to_be_bytes();
        let Request { method, path, query, media_type, fields, body } = *request;
        let hash = |parts: &[&[u8]]| {
            let mut half = [0; 16];
            half.copy_from_slice(keyring.hash(Purpose::Idempotency, parts).split_at(16).0);
            half
        };
        // The first part sets the three apart, so that none can be made to equal another.
        let key = match name {
            Name::Key(IdempotencyKey(key)) => hash(&[b"key", &connection, operation.name(), key]),
            Name::Run { run, action } => {
                let parts: &[&[u8]] = &[
                    b"run",
                    &connection,
                    operation.name(),
                    run,
                    action,
                    method,
                    path,
                    query,
                    media_type,
                    body,
                    fields,
                ];
                // Mostly there are none, and the key is what it always was.
                hash(if fields.is_empty() { parts.split_last().map_or(parts, |(_, parts)| parts) } else { parts })
            }
        };
        let fingerprint = hash(&[b"request", method, path, query, media_type, fields, body]);
        Self {
            key: ReplayKey(key),
            fingerprint: Fingerprint(fingerprint),
            operation,
            by_platform: matches!(name, Name::Run { .. }),
        }
    }

    /// A call that the gateway makes itself. It holds as long as one that a caller named.
    #[must_use]
    pub const fn inside(key: ReplayKey, fingerprint: Fingerprint) -> Self {
        Self { key, fingerprint, operation: Operation::Send, by_platform: false }
    }

    /// How long its answer holds.
    #[must_use]
    pub const fn lasts(&self) -> Duration {
        match (self.by_platform, self.operation) {
            (false, _) => NAMED,
            (true, Operation::Resend) => RUN_RESEND,
            (true, _) => RUN,
        }
    }

    /// Whether its answer holds only while the OTP that it made is ACTIVE, or its verification is open or is waited for: a loop
    /// of the platform that sends again after the first code was used wants a new one.
    #[must_use]
    pub const fn while_active(&self) -> bool {
        self.by_platform && matches!(self.operation, Operation::Send | Operation::Open)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::SystemEntropy;

    const REQUEST: Request<'_> = Request {
        method: b"POST",
        path: b"/v1/otp",
        query: b"",
        media_type: b"application/json",
        fields: b"",
        body: b"{}",
    };

    #[test]
    fn a_key_is_visible_ascii_and_bounded() {
        for good in ["a", "8e03978e-40d5-43e8-bc93-6894a57f9324", "\"quoted\"", &"~".repeat(255)] {
            assert!(IdempotencyKey::parse(good.as_bytes()).is_ok(), "{good}");
        }
        for bad in ["", " ", "a b", "a\tb", "é", "\u{7f}", &"a".repeat(256)] {
            assert_eq!(IdempotencyKey::parse(bad.as_bytes()), Err(MalformedKey), "{bad}");
        }
        assert!(!format!("{:?}", Name::Key(IdempotencyKey::parse(b"secret").unwrap())).contains("secret"));
    }

    #[test]
    fn a_named_call_is_apart_by_connection_and_operation_and_its_request_only_in_the_fingerprint() {
        let ring = Keyring::generate(&SystemEntropy);
        let name = |text: &'static str| Name::Key(IdempotencyKey::parse(text.as_bytes()).unwrap());
        let call = CallKey::of(&ring, 1, Operation::Send, name("k"), &REQUEST);
        assert_eq!(CallKey::of(&ring, 1, Operation::Send, name("k"), &REQUEST), call);
        assert_ne!(CallKey::of(&ring, 2, Operation::Send, name("k"), &REQUEST).key, call.key);
        assert_ne!(CallKey::of(&ring, 1, Operation::Verify, name("k"), &REQUEST).key, call.key);
        assert_ne!(CallKey::of(&ring, 1, Operation::Send, name("l"), &REQUEST).key, call.key);
        let others = [
            Request { method: b"PUT", ..REQUEST },
            Request { path: b"/v1/otp/", ..REQUEST },
            Request { query: b"a=1", ..REQUEST },
            Request { media_type: b"", ..REQUEST },
            Request { fields: b"token", ..REQUEST },
            Request { body: b"{ }", ..REQUEST },
            // The same bytes, cut elsewhere.
            Request { path: b"/v1/ot", query: b"p", ..REQUEST },
        ];
        for other in &others {
            let other = CallKey::of(&ring, 1, Operation::Send, name("k"), other);
            assert_eq!(other.key, call.key);
            assert_ne!(other.fingerprint, call.fingerprint);
        }
        let elsewhere = CallKey::of(&Keyring::generate(&SystemEntropy), 1, Operation::Send, name("k"), &REQUEST);
        assert!(elsewhere.key != call.key && elsewhere.fingerprint != call.fingerprint, "nobody else can make them");
    }

    #[test]
    fn a_run_names_a_call_together_with_its_request() {
        let ring = Keyring::generate(&SystemEntropy);
        let run = |run: &'static [u8], action: &'static [u8]| Name::Run { run, action };
        let call = CallKey::of(&ring, 1, Operation::Send, run(b"r", b"a"), &REQUEST);
        assert_eq!(CallKey::of(&ring, 1, Operation::Send, run(b"r", b"a"), &REQUEST), call);
        let others = [
            CallKey::of(&ring, 2, Operation::Send, run(b"r", b"a"), &REQUEST),
            CallKey::of(&ring, 1, Operation::Resend, run(b"r", b"a"), &REQUEST),
            CallKey::of(&ring, 1, Operation::Send, run(b"ra", b""), &REQUEST),
            CallKey::of(&ring, 1, Operation::Send, run(b"r", b"b"), &REQUEST),
            CallKey::of(&ring, 1, Operation::Send, run(b"r", b"a"), &Request { body: b"{ }", ..REQUEST }),
            CallKey::of(&ring, 1, Operation::Send, run(b"r", b"a"), &Request { fields: b"other", ..REQUEST }),
        ];
        assert!(others.iter().all(|other| other.key != call.key));
    }

    #[test]
    fn horizons_are_those_of_the_contract() {
        let ring = Keyring::generate(&SystemEntropy);
        let key = Name::Key(IdempotencyKey::parse(b"k").unwrap());
        let run = Name::Run { run: b"r", action: b"a" };
        for operation in [Operation::Send, Operation::Resend, Operation::Verify, Operation::Delete] {
            let named = CallKey::of(&ring, 1, operation, key, &REQUEST);
            assert_eq!((named.lasts().as_secs(), named.while_active()), (86_400, false));
            let by_run = CallKey::of(&ring, 1, operation, run, &REQUEST);
            let seconds = if operation == Operation::Resend { 30 } else { 1_200 };
            assert_eq!((by_run.lasts().as_secs(), by_run.while_active()), (seconds, operation == Operation::Send));
        }
    }
}
