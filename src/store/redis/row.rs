//! An event's row: what the scripts of a queue look at lies in front, in the clear and at fixed places; what happened holds a
//! number, so it is sealed.
//!
//! ```text
//! 1 the form of the row | 16 number's key | 16 line | 8 due | 8 until | 4 tries | 2 length of the answer | answer | sealed notice
//! ```

use std::sync::Arc;

use zeroize::Zeroizing;

use crate::clock::UnixMillis;
use crate::events::queue::{Address, DeadLetter, EventId, Notice, Queued};
use crate::events::subscription::SubscriptionId;
use crate::otp::store::StoreError;
use crate::secret::{Keyring, Sealed};
use crate::store::packed::{pack, unpack};
use crate::store::redis::commit::unreadable;

/// The form that is written here.
pub(super) const FORM: u8 = 1;
/// Bytes of an address.
const ADDRESS: usize = 24;
/// Bytes of an answer that are kept: they are words of ours.
const ANSWER: usize = 500;

/// A seal opens in its own row only.
fn context(address: Address) -> Vec<u8> {
    [b"event ", &address.subscription.bytes()[..], &address.event.bytes()[..]].concat()
}

/// The bytes of an address: the field of its row while it is in the hash of its number's shard.
pub(super) fn address_bytes(address: Address) -> [u8; ADDRESS] {
    let mut bytes = [0; ADDRESS];
    let (subscription, event) = bytes.split_at_mut(8);
    subscription.copy_from_slice(&address.subscription.bytes());
    event.copy_from_slice(&address.event.bytes());
    bytes
}

/// The address of these bytes.
pub(super) fn address_of(bytes: &[u8]) -> Option<Address> {
    let (subscription, event) = bytes.split_first_chunk::<8>()?;
    Some(Address { subscription: SubscriptionId::from_bytes(*subscription), event: event_of(event)? })
}

/// The event of these bytes.
pub(super) fn event_of(bytes: &[u8]) -> Option<EventId> {
    bytes.try_into().ok().map(EventId::from_bytes)
}

/// The row of an event.
///
/// # Errors
/// [`StoreError::Unavailable`]: what happened cannot be written.
pub(super) fn row_bytes(keyring: &Keyring, event: &Queued) -> Result<Vec<u8>, StoreError> {
    let plain = pack(&*event.notice).map(Zeroizing::new).map_err(|_| unreadable())?;
    let sealed = keyring.seal(&context(event.address), &plain);
    let mut row = Vec::with_capacity(55 + sealed.bytes().len());
    row.push(FORM);
    row.extend(event.notice.number_key().bytes());
    row.extend(event.notice.line().bytes());
    row.extend(event.due.0.to_be_bytes());
    row.extend(event.until.0.to_be_bytes());
    row.extend(event.tries.to_be_bytes());
    row.extend([0, 0]);
    row.extend(sealed.bytes());
    Ok(row)
}

/// An answer as it lies in a row: its length and its words.
pub(super) fn answer_bytes(answer: &str) -> Vec<u8> {
    let mut end = answer.len().min(ANSWER);
    while !answer.is_char_boundary(end) {
        end -= 1;
    }
    let words = answer.get(..end).unwrap_or_default();
    let mut bytes = u16::try_from(words.len()).unwrap_or_default().to_be_bytes().to_vec();
    bytes.extend(words.as_bytes());
    bytes
}

/// The parts of a row that are read here.
struct Parts<'a> {
    line: [u8; 16],
    due: UnixMillis,
    until: UnixMillis,
    tries: u32,
    answer: &'a [u8],
    sealed: &'a [u8],
}

fn parts(row: &[u8]) -> Option<Parts<'_>> {
    let (form, rest) = row.split_first()?;
    let (_number, rest) = rest.split_first_chunk::<16>()?;
    let (line, rest) = rest.split_first_chunk::<16>()?;
    let (due, rest) = rest.split_first_chunk::<8>()?;
    let (until, rest) = rest.split_first_chunk::<8>()?;
    let (tries, rest) = rest.split_first_chunk::<4>()?;
    let (length, rest) = rest.split_first_chunk::<2>()?;
    let (answer, sealed) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    let instant = |bytes: &[u8; 8]| UnixMillis(u64::from_be_bytes(*bytes));
    let (due, until, tries) = (instant(due), instant(until), u32::from_be_bytes(*tries));
    (*form == FORM).then_some(Parts { line: *line, due, until, tries, answer, sealed })
}

fn notice(keyring: &Keyring, address: Address, sealed: &[u8]) -> Option<Arc<Notice>> {
    let plain = keyring.open(&context(address), &Sealed::from_bytes(sealed.to_vec())).ok()?;
    unpack(&plain).ok().map(Arc::new)
}

/// The line of a row, and when the row is due.
pub(super) fn line_and_due(row: &[u8]) -> Option<([u8; 16], UnixMillis)> {
    parts(row).map(|parts| (parts.line, parts.due))
}

/// The event of a row.
pub(super) fn queued(keyring: &Keyring, address: Address, row: &[u8]) -> Option<Queued> {
    let Parts { due, until, tries, sealed, .. } = parts(row)?;
    Some(Queued { address, due, until, tries, notice: notice(keyring, address, sealed)? })
}

/// The dead letter of a row.
pub(super) fn dead(keyring: &Keyring, address: Address, ends: UnixMillis, row: &[u8]) -> Option<DeadLetter> {
    let Parts { tries, answer, sealed, .. } = parts(row)?;
    let answer = String::from_utf8_lossy(answer).into_owned();
    Some(DeadLetter { address, ends, tries, answer, notice: notice(keyring, address, sealed)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_keeps_whole_characters() {
        assert_eq!(answer_bytes("no"), [0, 2, b'n', b'o']);
        let long = answer_bytes(&"ä".repeat(ANSWER));
        assert_eq!(long.len(), 2 + ANSWER);
        assert!(std::str::from_utf8(&long[2..]).is_ok());
        assert_eq!(answer_bytes(&format!("a{}", "ä".repeat(ANSWER))).len(), 2 + ANSWER - 1);
    }

    #[test]
    fn an_address_reads_as_it_was_written() {
        let address = Address { subscription: SubscriptionId::from_bytes([1; 8]), event: EventId::from_bytes([2; 16]) };
        assert_eq!(address_of(&address_bytes(address)), Some(address));
        for wrong in [&address_bytes(address)[1..], b"", b"short"] {
            assert_eq!(address_of(wrong), None);
        }
    }
}
