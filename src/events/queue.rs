//! The queue's rows: one event on its way to one subscriber, how a try of it ended, and the dead letter it may become.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::{Builder, Uuid};

use crate::clock::UnixMillis;
use crate::events::subscription::SubscriptionId;
use crate::otp::news::EventName;
use crate::otp::record::Otp;
use crate::secret::Entropy;

/// An event: a UUIDv7 (RFC 9562 section 5.7). The same for every subscriber, and for every try.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventId(Uuid);

impl EventId {
    /// A new id. `sequence` orders events of one millisecond; its lower 12 bits count.
    #[must_use]
    pub fn generate(now: UnixMillis, sequence: u16, entropy: &dyn Entropy) -> Self {
        let mut random = [0; 10];
        entropy.fill(&mut random);
        [random[0], random[1]] = sequence.to_be_bytes();
        Self(Builder::from_unix_timestamp_millis(now.0, &random).into_uuid())
    }

    /// The 16 bytes, for a store.
    #[must_use]
    pub const fn bytes(self) -> [u8; 16] {
        *self.0.as_bytes()
    }

    /// From the bytes that a store kept.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(formatter)
    }
}

impl FromStr for EventId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::parse_str(text).map(Self)
    }
}

/// What happened, with the OTP as it stood then. It holds a number: a store seals it. Stores keep the fields by their
/// place: a new one goes to the end, with `#[serde(default)]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Notice {
    /// What.
    pub name: EventName,
    /// When.
    pub at: UnixMillis,
    /// In words, where there is more to say than the name.
    pub detail: Option<String>,
    /// The OTP, without its code and its history.
    pub otp: Otp,
}

/// Which row of the queue: an event for a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address {
    /// Who is told.
    pub subscription: SubscriptionId,
    /// Of what.
    pub event: EventId,
}

/// An event that waits for its subscriber.
#[derive(Clone, Debug, PartialEq)]
pub struct Queued {
    /// Which one.
    pub address: Address,
    /// Not before this instant.
    pub due: UnixMillis,
    /// Tries so far.
    pub tries: u32,
    /// From here on its number may not be kept: it goes, told or not.
    pub until: UnixMillis,
    /// What happened. Shared by the subscribers of the event.
    pub notice: Arc<Notice>,
}

/// How a try of an event ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// Which one.
    pub address: Address,
    /// What becomes of it.
    pub settlement: Settlement,
}

/// What becomes of an event after a try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// It is told: its row goes.
    Told,
    /// Its subscription is gone, and its row with it.
    Dropped,
    /// It is tried again.
    PutOff {
        /// Not before this instant.
        due: UnixMillis,
        /// How the try ended, in words of ours.
        answer: String,
    },
    /// It is tried no more, and kept for a while.
    Dead {
        /// Until this instant.
        ends: UnixMillis,
        /// How the last try ended, in words of ours.
        answer: String,
    },
}

/// An event that nobody took.
#[derive(Clone, Debug, PartialEq)]
pub struct DeadLetter {
    /// Which one.
    pub address: Address,
    /// Until when it is kept.
    pub ends: UnixMillis,
    /// Tries so far.
    pub tries: u32,
    /// How the last one ended.
    pub answer: String,
    /// What happened.
    pub notice: Arc<Notice>,
}
