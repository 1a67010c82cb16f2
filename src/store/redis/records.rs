//! What lies under a key: OTPs, numbers' records, messages, kept answers, as bytes and back.
//!
//! A value ends with the checksum of its record. What a script has to find in it stands before the record: the key of an
//! OTP's number, the ids of the codes that a number holds, the number that an answer tells of.

use crate::abuse::{NumberRecord, SpendKey};
use crate::clock::UnixMillis;
use crate::idempotency::{Fingerprint, ReplayKey};
use crate::otp::answer::KeptAnswer;
use crate::otp::id::{NumberKey, OtpId};
use crate::otp::outbox::{Message, MessageBody, MessageId};
use crate::otp::record::Otp;
use crate::otp::store::StoreError;
use crate::secret::Sealed;
use crate::store::packed::{pack, unpack};

const ID: usize = 16;

fn damaged<T>(what: &str) -> Result<T, StoreError> {
    tracing::error!(what, "a record in the store is damaged: whatever needs it is refused");
    Err(StoreError::Unavailable)
}

fn packed<T: serde::Serialize>(record: &T) -> Result<Vec<u8>, StoreError> {
    pack(record).or_else(|_| damaged("a record that cannot be written"))
}

/// An OTP: its number's key, then its record.
pub(super) fn otp_bytes(otp: &Otp) -> Result<Vec<u8>, StoreError> {
    Ok([&otp.number_key.bytes()[..], &packed(otp)?].concat())
}

pub(super) fn otp(bytes: &[u8]) -> Result<Otp, StoreError> {
    bytes.get(ID..).and_then(|record| unpack(record).ok()).map_or_else(|| damaged("an OTP"), Ok)
}

/// A number's record: how many codes hold for a purpose, their ids, then the record.
pub(super) fn number_bytes(record: &NumberRecord) -> Result<Vec<u8>, StoreError> {
    Ok(number_with(record, &packed(record)?))
}

/// A number's record that is packed already.
pub(super) fn number_with(record: &NumberRecord, packed: &[u8]) -> Vec<u8> {
    let count = u8::try_from(record.holdings.len()).unwrap_or(u8::MAX);
    let mut bytes = vec![count];
    for holding in record.holdings.iter().take(usize::from(count)) {
        bytes.extend(holding.code);
    }
    bytes.extend(packed);
    bytes
}

/// The packed record of a number.
pub(super) fn number_body(bytes: &[u8]) -> Option<&[u8]> {
    let (count, rest) = bytes.split_first()?;
    rest.get(usize::from(*count) * ID..)
}

pub(super) fn number(bytes: &[u8]) -> Result<NumberRecord, StoreError> {
    number_body(bytes).and_then(|record| unpack(record).ok()).map_or_else(|| damaged("a number's record"), Ok)
}

/// A message's place among those of its OTP, and in the outbox.
pub(super) fn message_field(id: MessageId) -> [u8; 4] {
    id.number.to_be_bytes()
}

pub(super) fn message_member(id: MessageId) -> Vec<u8> {
    [&id.otp.bytes()[..], &message_field(id)].concat()
}

pub(super) fn message_id(member: &[u8]) -> Option<MessageId> {
    let (otp, number) = member.split_first_chunk::<ID>()?;
    Some(MessageId { otp: OtpId::from_bytes(*otp), number: u32::from_be_bytes(number.try_into().ok()?) })
}

/// A message: when it is due, then its body.
pub(super) fn message_bytes(message: &Message) -> Result<Vec<u8>, StoreError> {
    Ok([&message.due.0.to_be_bytes()[..], &packed(&message.body)?].concat())
}

pub(super) fn message(id: MessageId, bytes: &[u8]) -> Result<Message, StoreError> {
    let parts = bytes.split_first_chunk().and_then(|(due, body)| Some((due, unpack::<MessageBody>(body).ok()?)));
    match parts {
        Some((due, body)) => Ok(Message { id, due: UnixMillis(u64::from_be_bytes(*due)), body }),
        None => damaged("a message"),
    }
}

/// A kept answer: the key of its number (zeros for none), then the rest. Its seal is its checksum, and stands at the end.
pub(super) fn answer_bytes(answer: &KeptAnswer) -> Result<Vec<u8>, StoreError> {
    let number = answer.number.map_or([0; ID], NumberKey::bytes);
    let rest = (
        answer.fingerprint.bytes(),
        answer.expires.0,
        answer.otp.map(OtpId::bytes),
        answer.number.is_some(),
        &answer.sealed,
    );
    Ok([&number[..], &packed(&rest)?].concat())
}

pub(super) fn answer(key: ReplayKey, bytes: &[u8]) -> Result<KeptAnswer, StoreError> {
    type Rest = ([u8; 16], u64, Option<[u8; 16]>, bool, Sealed);
    let parts = bytes.split_first_chunk::<ID>().and_then(|(number, rest)| Some((number, unpack::<Rest>(rest).ok()?)));
    let Some((number, (fingerprint, expires, otp, known, sealed))) = parts else { return damaged("a kept answer") };
    Ok(KeptAnswer {
        key,
        fingerprint: Fingerprint::from_bytes(fingerprint),
        expires: UnixMillis(expires),
        otp: otp.map(OtpId::from_bytes),
        number: known.then(|| NumberKey::from_bytes(*number)),
        sealed,
    })
}

/// What a daily count is called.
pub(super) fn spend_id(key: &SpendKey) -> Vec<u8> {
    format!("{} {} {}", key.account, key.country, key.day).into_bytes()
}
