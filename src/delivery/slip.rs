//! What is kept under a carrier's name for a message: which message it is, or, where a receipt came before the carrier's
//! answer to the submission, what the receipt said.
//!
//! Kept like the answer to a call: under a keyed hash, sealed, for a time, gone with the number.

use std::time::Duration;

use crate::clock::UnixMillis;
use crate::delivery::receipt::{CarrierId, Fate};
use crate::idempotency::{Fingerprint, ReplayKey};
use crate::otp::answer::KeptAnswer;
use crate::otp::id::OtpId;
use crate::otp::outbox::MessageId;
use crate::otp::record::Otp;
use crate::secret::{Keyring, Purpose};

/// Receipts are known for so long after the code's life.
const KNOWN: Duration = Duration::from_secs(2 * 24 * 60 * 60);
/// A receipt that nobody knows the message of waits for so long.
const EARLY: Duration = Duration::from_secs(10 * 60);
/// Bytes of a carrier's words that are kept.
const WORDS: usize = 200;

/// What is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Slip {
    /// The message, and which submission of it.
    Known {
        /// The message.
        message: MessageId,
        /// The submission, from 1.
        submission: u8,
    },
    /// What a receipt said that came early.
    Early(Fate),
}

/// Where it is kept.
#[must_use]
pub fn key(keyring: &Keyring, provider: &str, carrier: &CarrierId) -> ReplayKey {
    let hash = keyring.hash(Purpose::Receipt, &[b"carrier", provider.as_bytes(), carrier.as_str().as_bytes()]);
    let mut key = [0; 16];
    key.copy_from_slice(hash.split_at(16).0);
    ReplayKey::from_bytes(key)
}

impl Slip {
    /// As it is kept. `otp` is the message's, where that is known.
    #[must_use]
    pub fn keep(&self, key: ReplayKey, otp: Option<&Otp>, keyring: &Keyring, now: UnixMillis) -> KeptAnswer {
        let mut bytes = Vec::with_capacity(32);
        match self {
            Self::Known { message, submission } => {
                bytes.push(b'K');
                bytes.extend(message.otp.bytes());
                bytes.extend(message.number.to_be_bytes());
                bytes.push(*submission);
            }
            Self::Early(Fate::Delivered) => bytes.push(b'D'),
            Self::Early(Fate::OnItsWay) => bytes.push(b'O'),
            Self::Early(Fate::Failed(words)) => {
                bytes.push(b'F');
                bytes.extend(words.bytes().take(WORDS));
            }
        }
        let expires = otp.map_or(now + EARLY, |otp| otp.expire + KNOWN);
        KeptAnswer::of_bytes(key, Fingerprint::from_bytes([0; 16]), expires, otp, &bytes, keyring)
    }

    /// Reads what was kept. None where it is not a slip.
    #[must_use]
    pub fn open(kept: &KeptAnswer, keyring: &Keyring) -> Option<Self> {
        let plain = kept.open_bytes(keyring).ok()?;
        let (kind, rest) = plain.split_first()?;
        match kind {
            b'K' => {
                let (otp, rest) = rest.split_first_chunk::<16>()?;
                let (number, rest) = rest.split_first_chunk::<4>()?;
                let message = MessageId { otp: OtpId::from_bytes(*otp), number: u32::from_be_bytes(*number) };
                Some(Self::Known { message, submission: *rest.first()? })
            }
            b'D' => Some(Self::Early(Fate::Delivered)),
            b'O' => Some(Self::Early(Fate::OnItsWay)),
            b'F' => Some(Self::Early(Fate::Failed(String::from_utf8_lossy(rest).into_owned()))),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::SystemEntropy;

    #[test]
    fn a_slip_comes_back_as_it_was_kept() {
        let keyring = Keyring::generate(&SystemEntropy);
        let carrier = CarrierId::parse("abc-1").unwrap();
        let key = key(&keyring, "main", &carrier);
        let message = MessageId { otp: OtpId::from_bytes([9; 16]), number: 2 };
        for slip in [
            Slip::Known { message, submission: 2 },
            Slip::Early(Fate::Delivered),
            Slip::Early(Fate::OnItsWay),
            Slip::Early(Fate::Failed("err 5".to_owned())),
        ] {
            let kept = slip.keep(key, None, &keyring, UnixMillis(5));
            assert_eq!(Slip::open(&kept, &keyring), Some(slip));
        }
        assert_ne!(super::key(&keyring, "other", &carrier), key, "two carriers may use one name");
    }
}
