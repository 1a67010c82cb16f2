//! Receipts: what a carrier says about a message after it took it, and the two names by which it says it.
//!
//! Must not know how they arrive. Whoever reads one from a wire hands it to [`Receipts`] and acknowledges it to the
//! carrier only when that returned: a receipt that was not kept is sent again by the carrier.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::otp::id::OtpId;
use crate::otp::outbox::MessageId;
use crate::otp::store::{Later, StoreError};
use crate::secret::{Keyring, Purpose, equal};

/// Bytes of a carrier's own message id.
pub const CARRIER_ID_BYTES: usize = 128;

/// What a carrier calls a message: 1 to [`CARRIER_ID_BYTES`] bytes of visible ASCII.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CarrierId(String);

impl CarrierId {
    /// Reads one. None where it is empty, too long or holds anything but visible ASCII.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let fits = (1..=CARRIER_ID_BYTES).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        fits.then(|| Self(text.to_owned()))
    }

    /// As the carrier wrote it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Names one submission of one message to a carrier, and proves that we made the name: an OTP's id, the message's number,
/// the submission's number, and 16 bytes of a keyed hash over them. 50 characters of the URL-safe Base64 alphabet.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    /// The message.
    pub message: MessageId,
    /// Which submission of it, from 1.
    pub submission: u8,
    proof: [u8; 16],
}

impl Ticket {
    /// The ticket of a submission.
    #[must_use]
    pub fn new(keyring: &Keyring, message: MessageId, submission: u8) -> Self {
        Self { message, submission, proof: proof(keyring, message, submission) }
    }

    /// Reads one that came back. None where we did not make it.
    #[must_use]
    pub fn read(keyring: &Keyring, text: &str) -> Option<Self> {
        let bytes: [u8; BYTES] = URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?;
        let (otp, rest) = bytes.split_first_chunk::<16>()?;
        let (number, rest) = rest.split_first_chunk::<4>()?;
        let (submission, proof) = rest.split_first()?;
        let message = MessageId { otp: OtpId::from_bytes(*otp), number: u32::from_be_bytes(*number) };
        let ticket = Self::new(keyring, message, *submission);
        let same = equal(&ticket.proof, proof);
        same.then_some(ticket)
    }
}

/// Id, message, submission, proof.
const BYTES: usize = 16 + 4 + 1 + 16;

fn proof(keyring: &Keyring, message: MessageId, submission: u8) -> [u8; 16] {
    let number = message.number.to_be_bytes();
    let hash = keyring.hash(Purpose::Receipt, &[&message.otp.bytes(), &number, &[submission]]);
    let mut proof = [0; 16];
    proof.copy_from_slice(hash.split_at(16).0);
    proof
}

impl fmt::Display for Ticket {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = [0; BYTES];
        let parts =
            self.message.otp.bytes().into_iter().chain(self.message.number.to_be_bytes()).chain([self.submission]);
        for (to, from) in bytes.iter_mut().zip(parts.chain(self.proof)) {
            *to = from;
        }
        formatter.write_str(&URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Ticket({}/{})", self.message, self.submission)
    }
}

/// What a carrier says about a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Whom it says it of.
    pub about: About,
    /// What it says.
    pub fate: Fate,
}

/// The message that a report is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum About {
    /// By our own name for it, which proves that the carrier was given it.
    Ticket(Ticket),
    /// By the carrier's name for it.
    Carrier(CarrierId),
}

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The phone has it (a call: it was answered and the code spoken).
    Delivered,
    /// It will not arrive. The words are for events: the carrier's own error code at most, no number, no code.
    Failed(String),
    /// It is still on its way: nothing changes but that the carrier is known to have it.
    OnItsWay,
}

/// Takes carriers' reports.
pub trait Receipts: Send + Sync + 'static {
    /// Records what `provider` reported. Durable when this returns; the same report again changes nothing.
    ///
    /// # Errors
    /// [`StoreError`]: not kept, to be sent again.
    fn report<'a>(&'a self, provider: &'a str, report: Report) -> Later<'a, Result<(), StoreError>>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::SystemEntropy;

    #[test]
    fn a_ticket_comes_back_as_it_left_and_no_other_does() {
        let keyring = Keyring::generate(&SystemEntropy);
        let message = MessageId { otp: OtpId::from_bytes([7; 16]), number: 3 };
        let ticket = Ticket::new(&keyring, message, 2);
        let text = ticket.to_string();
        assert_eq!(text.len(), 50);
        assert_eq!(Ticket::read(&keyring, &text), Some(ticket));
        for place in 0..text.len() {
            let mut other = text.clone().into_bytes();
            other[place] = if other[place] == b'A' { b'B' } else { b'A' };
            assert_eq!(Ticket::read(&keyring, std::str::from_utf8(&other).unwrap()), None, "{place}");
        }
        assert_eq!(Ticket::read(&Keyring::generate(&SystemEntropy), &text), None);
        for bad in ["", "ä", &text[1..], &format!("{text}A")] {
            assert_eq!(Ticket::read(&keyring, bad), None);
        }
    }

    #[test]
    fn a_carrier_s_name_is_bounded() {
        assert!(CarrierId::parse(&"x".repeat(CARRIER_ID_BYTES)).is_some());
        for bad in ["", "a b", "a\n", "ä", &"x".repeat(CARRIER_ID_BYTES + 1)] {
            assert_eq!(CarrierId::parse(bad), None);
        }
    }
}
