//! The queue's rows: one event on its way to one subscriber, how a try of it ended, and the dead letter it may become.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};
use uuid::{Builder, Uuid};

use crate::clock::UnixMillis;
use crate::events::subscription::SubscriptionId;
use crate::otp::id::{NumberKey, OtpId};
use crate::otp::news::EventName;
use crate::otp::record::Otp;
use crate::secret::{Entropy, bytes_or_hex};

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

/// What happened, and to what, as it stood then. It holds a number: a store seals it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Kept")]
pub struct Notice {
    /// What.
    pub name: EventName,
    /// When.
    pub at: UnixMillis,
    /// In words, where there is more to say than the name.
    pub detail: Option<String>,
    /// What it happened to.
    pub about: About,
}

/// What something happened to.
#[derive(Clone, Debug, PartialEq)]
pub enum About {
    /// An OTP, without its code and its history.
    Otp(Box<Otp>),
    /// Something else, of which nothing more has to be known here.
    Other(Other),
}

/// What is told of beside OTPs, as its own module writes and reads it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Other {
    /// Events of the same line go to a subscriber one after the other. That of an OTP goes on with the OTP's own events.
    pub line: OtpId,
    /// Whose number it is about: it goes with the number's erasure.
    pub number_key: NumberKey,
    /// The record.
    #[serde(with = "bytes_or_hex")]
    pub record: Vec<u8>,
}

impl fmt::Debug for Other {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Other").field("line", &self.line).finish_non_exhaustive()
    }
}

impl Notice {
    /// The OTP that it happened to.
    #[must_use]
    pub fn otp(&self) -> Option<&Otp> {
        match &self.about {
            About::Otp(otp) => Some(otp),
            About::Other(_) => None,
        }
    }

    /// Events of the same line go to a subscriber one after the other.
    #[must_use]
    pub fn line(&self) -> OtpId {
        match &self.about {
            About::Otp(otp) => otp.id,
            About::Other(other) => other.line,
        }
    }

    /// Whose number it is about.
    #[must_use]
    pub fn number_key(&self) -> NumberKey {
        match &self.about {
            About::Otp(otp) => otp.number_key,
            About::Other(other) => other.number_key,
        }
    }
}

/// A notice as stores keep it, the fields by their place: a new one goes to the end, with `#[serde(default)]`. One about an OTP is
/// written as before there was anything else, so that an older release beside this one reads it.
#[derive(Deserialize)]
struct Kept {
    name: EventName,
    at: UnixMillis,
    detail: Option<String>,
    otp: Option<Box<Otp>>,
    #[serde(default)]
    other: Option<Other>,
}

impl TryFrom<Kept> for Notice {
    type Error = &'static str;

    fn try_from(kept: Kept) -> Result<Self, Self::Error> {
        let Kept { name, at, detail, otp, other } = kept;
        let about = otp.map(About::Otp).or(other.map(About::Other)).ok_or("it happened to nothing")?;
        Ok(Self { name, at, detail, about })
    }
}

impl Serialize for Notice {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Kept<'a> {
            name: EventName,
            at: UnixMillis,
            detail: &'a Option<String>,
            otp: Option<&'a Otp>,
            #[serde(skip_serializing_if = "Option::is_none")]
            other: Option<&'a Other>,
        }
        let Self { name, at, detail, about } = self;
        let (otp, other) = match about {
            About::Otp(otp) => (Some(&**otp), None),
            About::Other(other) => (None, Some(other)),
        };
        Kept { name: *name, at: *at, detail, otp, other }.serialize(serializer)
    }
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
