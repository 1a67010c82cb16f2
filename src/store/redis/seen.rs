//! What this process has seen of OTPs and of numbers' records: committed by it or read, and perhaps old by now. A commit that
//! relies on it checks it. Never the only copy of anything, and never shown to anybody unchecked.

use std::sync::Arc;

use crate::abuse::NumberRecord;
use crate::otp::id::{NumberKey, OtpId};
use crate::otp::outbox::{Message, MessageId};
use crate::otp::record::Otp;
use crate::otp::store::StoreError;
use crate::store::recent::Recent;
use crate::store::redis::commit::mark;
use crate::store::redis::records;

/// What a record is compared by: its checksum. None for a record that is not there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mark(Option<[u8; 8]>);

impl Mark {
    /// That of a record as it is kept.
    pub(super) fn of(value: &[u8]) -> Self {
        Self(mark(value).try_into().ok())
    }

    /// As the script compares it: empty for a record that is not there.
    pub(super) const fn bytes(&self) -> &[u8] {
        match &self.0 {
            Some(mark) => mark,
            None => &[],
        }
    }
}

/// A record as it was read or is remembered.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen<T> {
    pub(super) value: T,
    pub(super) mark: Mark,
}

/// An OTP; none where there is no such record.
pub(super) type SeenOtp = Seen<Option<Arc<Otp>>>;
/// A number's record; an empty one where there is none.
pub(super) type SeenNumber = Seen<NumberRecord>;

/// A message that is not settled; none where there is no such record, or none that this release can read.
pub(super) type SeenMessage = Seen<Option<Message>>;

impl SeenMessage {
    /// As it was read.
    pub(super) fn read(id: MessageId, bytes: Option<&[u8]>) -> Self {
        let Some(bytes) = bytes else { return Self::default() };
        Self { value: records::message(id, bytes).ok(), mark: Mark::of(bytes) }
    }

    /// As it is known to whoever has claimed it.
    pub(super) fn known(message: &Message) -> Option<Self> {
        let mark = Mark::of(&records::message_bytes(message).ok()?);
        Some(Self { value: Some(message.clone()), mark })
    }
}

impl SeenNumber {
    /// As it was read.
    pub(super) fn read(bytes: Option<&[u8]>) -> Result<Self, StoreError> {
        let Some(bytes) = bytes else { return Ok(Self::default()) };
        Ok(Self { value: records::number(bytes)?, mark: Mark::of(bytes) })
    }
}

impl SeenOtp {
    /// As it was read.
    pub(super) fn read(bytes: Option<&[u8]>) -> Result<Self, StoreError> {
        let Some(bytes) = bytes else { return Ok(Self::default()) };
        Ok(Self { value: Some(Arc::new(records::otp(bytes)?)), mark: Mark::of(bytes) })
    }
}

/// What is remembered of one OTP.
struct Known {
    otp: Arc<Otp>,
    mark: Mark,
    /// Its number had no record when both were last looked at, as most numbers have none.
    numberless: bool,
}

/// The memory.
pub(super) struct Memory {
    otps: Recent<OtpId, Known>,
    numbers: Recent<NumberKey, SeenNumber>,
}

impl Memory {
    /// Of at most so many OTPs (about 1 KB each) and so many numbers that have a record.
    pub(super) fn new(capacity: u64) -> Self {
        Self { otps: Recent::new(capacity), numbers: Recent::new(capacity) }
    }

    /// An OTP.
    pub(super) fn otp(&self, id: OtpId) -> Option<SeenOtp> {
        self.otps.with(id, |known| Seen { value: Some(Arc::clone(&known.otp)), mark: known.mark })
    }

    /// The record of a number that has one.
    pub(super) fn number(&self, key: NumberKey) -> Option<SeenNumber> {
        self.numbers.with(key, |number| number.clone())
    }

    /// An OTP and the record of its number, where both are known.
    pub(super) fn both(&self, id: OtpId) -> Option<(SeenOtp, NumberKey, SeenNumber)> {
        let (otp, mark, numberless) =
            self.otps.with(id, |known| (Arc::clone(&known.otp), known.mark, known.numberless))?;
        let key = otp.number_key;
        let number = match self.number(key) {
            Some(number) => number,
            None if numberless => SeenNumber::default(),
            None => return None,
        };
        Some((Seen { value: Some(otp), mark }, key, number))
    }

    /// Keeps an OTP as it was read or written, and whether its number has no record, where that was looked at with it.
    pub(super) fn keep_otp(&self, id: OtpId, seen: SeenOtp, numberless: Option<bool>) {
        let Some(otp) = seen.value else {
            self.otps.remove(id);
            return;
        };
        let known = |before| Known { otp, mark: seen.mark, numberless: numberless.unwrap_or(before) };
        // What was there is dropped after its shard was let go.
        let mut known = Some(known);
        let before = self.otps.with(id, |there| {
            let numberless = there.numberless;
            known.take().map(|known| std::mem::replace(there, known(numberless)))
        });
        drop(before);
        if let Some(known) = known {
            self.otps.insert(id, known(false));
        }
    }

    /// Keeps the record of a number as it was read or written; one that is not there is only noted with its OTPs.
    pub(super) fn keep_number(&self, key: NumberKey, seen: SeenNumber) {
        if seen.mark == Mark::default() { self.forget_number(key) } else { self.numbers.insert(key, seen) }
    }

    /// Forgets the record of a number.
    pub(super) fn forget_number(&self, key: NumberKey) {
        self.numbers.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::fixture::otp;

    fn seen(mark: u8) -> SeenOtp {
        Seen { value: Some(Arc::new(otp(1))), mark: Mark::of(&[mark; 20]) }
    }

    #[test]
    fn a_number_is_known_by_its_record_or_by_having_none() {
        let (memory, otp) = (Memory::new(10), otp(1));
        memory.keep_otp(otp.id, seen(1), None);
        assert!(memory.both(otp.id).is_none(), "its number was not looked at");
        memory.keep_otp(otp.id, seen(2), Some(true));
        let (found, key, number) = memory.both(otp.id).unwrap();
        assert_eq!((found.mark, key, number.mark), (Mark::of(&[2; 20]), otp.number_key, Mark::default()));
        let record = SeenNumber { value: NumberRecord::default(), mark: Mark::of(&[3; 20]) };
        memory.keep_number(otp.number_key, record);
        assert_eq!(memory.both(otp.id).unwrap().2.mark, Mark::of(&[3; 20]), "another code of it was checked since");
        memory.keep_otp(otp.id, seen(4), Some(false));
        memory.forget_number(otp.number_key);
        assert!(memory.both(otp.id).is_none());
    }

    #[test]
    fn what_is_gone_is_forgotten() {
        let (memory, otp) = (Memory::new(10), otp(1));
        memory.keep_otp(otp.id, seen(1), Some(true));
        memory.keep_otp(otp.id, SeenOtp::default(), Some(true));
        assert!(memory.otp(otp.id).is_none());
        assert_eq!(Mark::of(b"short").bytes(), b"", "nothing that short has a checksum");
    }
}
