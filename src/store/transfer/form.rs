//! The rows as bytes: for each kind what its key and its value are. Both adapters write and read these, so that a row is the
//! same whichever store it comes from.
//!
//! Numbers are big-endian. Settings are the id as text and the record as JSON; a pair of keys is its connection's id as text and
//! the sealed key; a nonce is its key and when it is over; a number is its key and its packed record; a daily count is
//! `account country day` and the count as text.

use crate::clock::UnixMillis;
use crate::idempotency::{Fingerprint, ReplayKey};
use crate::otp::answer::KeptAnswer;
use crate::otp::id::{NumberKey, OtpId};
use crate::secret::Sealed;

/// Stands for an instant that there is not.
const NEVER: u64 = u64::MAX;
const ID: usize = 16;

fn instant(at: Option<u64>) -> [u8; 8] {
    at.unwrap_or(NEVER).to_be_bytes()
}

fn read_instant(bytes: [u8; 8]) -> Option<u64> {
    Some(u64::from_be_bytes(bytes)).filter(|at| *at != NEVER)
}

/// An instant that is always there, before the rest.
pub(in crate::store) fn timed(at: u64, rest: &[u8]) -> Vec<u8> {
    [&at.to_be_bytes()[..], rest].concat()
}

/// The instant before the rest.
pub(in crate::store) fn split_timed(value: &[u8]) -> Option<(u64, &[u8])> {
    value.split_first_chunk().map(|(at, rest)| (u64::from_be_bytes(*at), rest))
}

/// An OTP. Its key is its id.
pub(in crate::store) struct OtpForm<'a> {
    /// When the sweep has to look at it.
    pub(in crate::store) due: Option<u64>,
    /// Its number's key.
    pub(in crate::store) number: [u8; ID],
    /// Its packed record.
    pub(in crate::store) body: &'a [u8],
}

impl<'a> OtpForm<'a> {
    pub(in crate::store) fn bytes(&self) -> Vec<u8> {
        [&instant(self.due)[..], &self.number, self.body].concat()
    }

    pub(in crate::store) fn parse(value: &'a [u8]) -> Option<Self> {
        let (due, rest) = value.split_first_chunk()?;
        let (number, body) = rest.split_first_chunk()?;
        Some(Self { due: read_instant(*due), number: *number, body })
    }
}

/// A kept answer. Its key is the replay key.
pub(in crate::store) fn answer_bytes(answer: &KeptAnswer, due: u64) -> Vec<u8> {
    let known = u8::from(answer.otp.is_some()) | u8::from(answer.number.is_some()) << 1;
    let mut value = timed(due, &answer.expires.0.to_be_bytes());
    value.extend(answer.fingerprint.bytes());
    value.push(known);
    value.extend(answer.otp.map_or([0; ID], OtpId::bytes));
    value.extend(answer.number.map_or([0; ID], NumberKey::bytes));
    value.extend(answer.sealed.bytes());
    value
}

/// The answer, and when it is to be dropped.
pub(in crate::store) fn answer(key: [u8; ID], value: &[u8]) -> Option<(KeptAnswer, u64)> {
    let (due, rest) = split_timed(value)?;
    let (expires, rest) = split_timed(rest)?;
    let (fingerprint, rest) = rest.split_first_chunk()?;
    let (known, rest) = rest.split_first()?;
    let (otp, rest) = rest.split_first_chunk()?;
    let (number, sealed) = rest.split_first_chunk()?;
    let answer = KeptAnswer {
        key: ReplayKey::from_bytes(key),
        fingerprint: Fingerprint::from_bytes(*fingerprint),
        expires: UnixMillis(expires),
        otp: (known & 1 == 1).then(|| OtpId::from_bytes(*otp)),
        number: (known & 2 == 2).then(|| NumberKey::from_bytes(*number)),
        sealed: Sealed::from_bytes(sealed.to_vec()),
    };
    Some((answer, due))
}

/// An event that waits, or a dead letter. Its key is the subscription's id (8 bytes) and its own (16).
#[derive(Debug, PartialEq, Eq)]
pub(in crate::store) struct EventForm<'a> {
    /// When a dead letter ends; none where it waits.
    pub(in crate::store) ends: Option<u64>,
    pub(in crate::store) number: [u8; ID],
    pub(in crate::store) otp: [u8; ID],
    pub(in crate::store) due: u64,
    pub(in crate::store) until: u64,
    pub(in crate::store) tries: u32,
    /// What the subscriber said last; some hundred bytes.
    pub(in crate::store) answer: &'a [u8],
    pub(in crate::store) sealed: &'a [u8],
}

impl<'a> EventForm<'a> {
    pub(in crate::store) fn bytes(&self) -> Vec<u8> {
        [&instant(self.ends)[..], &self.row()].concat()
    }

    /// Without the end: as it stands in a queue of the shared store, behind the byte that tells its form.
    pub(in crate::store) fn row(&self) -> Vec<u8> {
        let length = u16::try_from(self.answer.len()).unwrap_or(0);
        let answer = self.answer.get(..usize::from(length)).unwrap_or_default();
        [
            &self.number[..],
            &self.otp,
            &self.due.to_be_bytes(),
            &self.until.to_be_bytes(),
            &self.tries.to_be_bytes(),
            &length.to_be_bytes(),
            answer,
            self.sealed,
        ]
        .concat()
    }

    pub(in crate::store) fn parse(value: &'a [u8]) -> Option<Self> {
        let (ends, row) = value.split_first_chunk()?;
        Self::parse_row(read_instant(*ends), row)
    }

    pub(in crate::store) fn parse_row(ends: Option<u64>, row: &'a [u8]) -> Option<Self> {
        let (number, rest) = row.split_first_chunk()?;
        let (otp, rest) = rest.split_first_chunk()?;
        let (due, rest) = split_timed(rest)?;
        let (until, rest) = split_timed(rest)?;
        let (tries, rest) = rest.split_first_chunk()?;
        let (length, rest) = rest.split_first_chunk()?;
        let (answer, sealed) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        let tries = u32::from_be_bytes(*tries);
        Some(Self { ends, number: *number, otp: *otp, due, until, tries, answer, sealed })
    }
}

/// A session. Its key is the session's.
pub(in crate::store) struct SessionForm<'a> {
    pub(in crate::store) number: [u8; ID],
    pub(in crate::store) expires: u64,
    pub(in crate::store) body: &'a [u8],
}

impl<'a> SessionForm<'a> {
    pub(in crate::store) fn bytes(&self) -> Vec<u8> {
        [&self.number[..], &timed(self.expires, self.body)].concat()
    }

    pub(in crate::store) fn parse(value: &'a [u8]) -> Option<Self> {
        let (number, rest) = value.split_first_chunk()?;
        let (expires, body) = split_timed(rest)?;
        Some(Self { number: *number, expires, body })
    }
}

/// A daily count's account, country and day.
pub(in crate::store) fn spend_parts(key: &[u8]) -> Option<(&str, &str, u64)> {
    let text = std::str::from_utf8(key).ok()?;
    let mut parts = text.rsplitn(3, ' ');
    let (day, country, account) = (parts.next()?, parts.next()?, parts.next()?);
    Some((account, country, day.parse().ok()?))
}

/// A whole number that is kept as text.
pub(in crate::store) fn number_text<T: std::str::FromStr>(value: &[u8]) -> Option<T> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_reads_as_it_was_written() {
        for ends in [None, Some(7)] {
            let event = EventForm {
                ends,
                number: [1; ID],
                otp: [2; ID],
                due: 3,
                until: 4,
                tries: 5,
                answer: b"no",
                sealed: b"sealed",
            };
            assert_eq!(EventForm::parse(&event.bytes()).unwrap(), event);
        }
        for (otp, number) in
            [(None, None), (Some([3; ID]), None), (None, Some([4; ID])), (Some([3; ID]), Some([4; ID]))]
        {
            let kept = KeptAnswer {
                key: ReplayKey::from_bytes([9; ID]),
                fingerprint: Fingerprint::from_bytes([8; ID]),
                expires: UnixMillis(7),
                otp: otp.map(OtpId::from_bytes),
                number: number.map(NumberKey::from_bytes),
                sealed: Sealed::from_bytes(vec![1, 2, 3]),
            };
            let (read, due) = answer([9; ID], &answer_bytes(&kept, 6)).unwrap();
            assert_eq!((read.otp, read.number, read.expires, due), (kept.otp, kept.number, kept.expires, 6));
            assert_eq!(read.sealed.bytes(), kept.sealed.bytes());
        }
        assert_eq!(spend_parts(b"a b DE 20000"), Some(("a b", "DE", 20_000)));
        for short in [&b""[..], b"1234567", b"12345678"] {
            assert!(
                EventForm::parse(short).is_none()
                    && OtpForm::parse(short).is_none()
                    && answer([0; ID], short).is_none()
            );
        }
    }
}
