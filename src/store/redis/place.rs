//! Where things lie: the names of keys. Everything of one number carries its shard's hash tag, so that Redis Cluster holds a
//! shard in one slot and a script can reach all of it. Must not know what lies under a name.
//!
//! A name is `og`, the tag, one letter for the kind, and the bytes of an identifier: short, because a million OTPs have a
//! million names.

use crate::access::connection::ConnectionId;
use crate::idempotency::ReplayKey;
use crate::otp::id::{NumberKey, OtpId};

/// How many shards there are: an OTP's id has a byte for it.
pub(super) const SHARDS: u16 = 256;

/// A slot of the store: one of the shards, or the place of what belongs to no number and is rarely written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Place {
    /// One of [`SHARDS`].
    Shard(u8),
    /// Keyring, applications, connections, subscriptions.
    Settings,
}

/// What lies under a key: its letter. A letter is never given to another kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// The marker: this place is the one that was initialised.
    Marker = b'M',
    /// An OTP: its number's key, then its record.
    Otp = b'o',
    /// A number's record: how many OTPs hold for purposes, their ids, then the record.
    Number = b'n',
    /// A number's OTPs: a sorted set of their ids, all with the score 0.
    OtpsOfNumber = b'l',
    /// When the sweep has to look at an OTP: a sorted set.
    Due = b'd',
    /// When a number was last written: a sorted set, for pruning.
    Written = b'w',
    /// From when on a message may be claimed: a sorted set.
    Outbox = b'b',
    /// The messages of an OTP: a hash from their numbers.
    Messages = b'm',
    /// A kept answer.
    Answer = b'a',
    /// When an answer is to be dropped: a sorted set.
    AnswerDue = b'A',
    /// In which shard an answer lies, and who is about to write it.
    AnswerPlace = b'i',
    /// A daily count, and those of a shard by their day.
    Spent = b's',
    SpentDays = b'y',
    /// Events that were committed and are not in their subscription's queue yet: a hash from their addresses.
    Events = b'e',
    /// The ring of a connection's quota.
    Quota = b'q',
    /// Nonces that were spent: a sorted set by their end.
    Nonces = b'x',
    /// A connection's key pair.
    Pair = b'p',
    /// A session's number: in the place of its key.
    SessionPlace = b'T',
    /// A number's sessions: a hash from their keys.
    Sessions = b't',
    /// When a session is over: a sorted set.
    SessionEnds = b'u',
    /// Tried puzzles: a hash, and a sorted set by their end.
    Puzzles = b'c',
    PuzzleEnds = b'C',
    /// The queue of one subscription, in its own place: rows, what is due, what is on its way, dead letters, and what came.
    Queue = b'Q',
    QueueDue = b'D',
    QueueBusy = b'B',
    QueueDead = b'X',
    QueueSeen = b'S',
    /// Which subscriptions have something due: a sorted set.
    QueuesDue = b'E',
    /// Verifications: the record, and when to look at it.
    Verification = b'v',
    VerificationDue = b'V',
    /// When somebody last looked whether this place is still ours: a hash.
    Beat = b'h',
    /// Of the settings: the store itself, its generation, applications, connections, their names, subscriptions.
    Meta = b'0',
    Generation = b'1',
    Applications = b'2',
    Connections = b'3',
    Names = b'4',
    Subscriptions = b'5',
}

const HEX: &[u8; 16] = b"0123456789abcdef";

impl Place {
    /// The shard of a number.
    pub(super) const fn of_number(key: NumberKey) -> Self {
        Self::Shard(key.shard())
    }

    /// The shard of an OTP: its id carries it.
    pub(super) fn of_otp(id: OtpId) -> Self {
        Self::Shard(id.shard())
    }

    /// The shard in which a replay key is looked up first. It is a hash, so any byte spreads well.
    pub(super) fn of_answer(key: ReplayKey) -> Self {
        let [first, ..] = key.bytes();
        Self::Shard(first)
    }

    /// The shard of a connection's quota and key pair: its id is random.
    pub(super) fn of_connection(id: ConnectionId) -> Self {
        let [.., last] = id.get().to_be_bytes();
        Self::Shard(last)
    }

    /// The shard of what is named by random bytes.
    pub(super) fn of_bytes(bytes: &[u8]) -> Self {
        Self::Shard(bytes.last().copied().unwrap_or_default())
    }

    /// All shards.
    pub(super) fn shards() -> impl Iterator<Item = Self> {
        (0..=u8::MAX).map(Self::Shard)
    }

    /// The slot of Redis Cluster in which everything here lies: CRC-16/XMODEM of the tag, modulo 16,384 (Redis cluster
    /// specification, "Key distribution model").
    pub(super) fn slot(self) -> u16 {
        let name = self.key(Kind::Marker, b"");
        let tag = name.split(|byte| *byte == b'{').nth(1).and_then(|rest| rest.split(|byte| *byte == b'}').next());
        let mut sum = 0_u16;
        for byte in tag.unwrap_or_default() {
            sum ^= u16::from(*byte) << 8;
            for _ in 0..8 {
                sum = if sum & 0x8000 == 0 { sum << 1 } else { (sum << 1) ^ 0x1021 };
            }
        }
        sum % 16_384
    }

    /// The name of what lies here.
    pub(super) fn key(self, kind: Kind, id: &[u8]) -> Vec<u8> {
        let mut name = Vec::with_capacity(7 + id.len());
        self.name(&mut name, kind, id);
        name
    }

    /// Writes the name of what lies here.
    pub(super) fn name(self, name: &mut Vec<u8>, kind: Kind, id: &[u8]) {
        name.extend_from_slice(b"og{");
        match self {
            Self::Shard(shard) => {
                let digit = |nibble: u8| HEX.get(usize::from(nibble)).copied().unwrap_or(b'0');
                name.extend([digit(shard >> 4), digit(shard & 15)]);
            }
            Self::Settings => name.push(b's'),
        }
        name.push(b'}');
        name.push(kind as u8);
        name.extend_from_slice(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOT_A7: u16 = 16_047;
    const SLOT_S: u16 = 3_828;

    #[test]
    fn a_name_is_short_and_carries_its_tag() {
        assert_eq!(Place::Shard(0xa7).key(Kind::Otp, b"id"), b"og{a7}oid");
        assert_eq!(Place::Settings.key(Kind::Meta, b""), b"og{s}0");
        // By `redis-cli cluster keyslot`.
        assert_eq!((Place::Shard(0xa7).slot(), Place::Settings.slot()), (SLOT_A7, SLOT_S));
        assert_eq!(Place::shards().count(), usize::from(SHARDS));
    }
}
