//! The outbox: messages that a commit has promised and the courier has still to deliver.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::clock::UnixMillis;
use crate::otp::application::{Caller, Sender};
use crate::otp::channel::Channel;
use crate::otp::id::OtpId;

/// A message: the n-th of its OTP, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId {
    /// The OTP it carries.
    pub otp: OtpId,
    /// Its number within the OTP.
    pub number: u32,
}

impl fmt::Display for MessageId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.otp, self.number)
    }
}

/// One message to be delivered. It names no code: the courier opens the OTP's seal when it renders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Which one it is.
    pub id: MessageId,
    /// Not before this instant.
    pub due: UnixMillis,
    /// How it travels and how often it was tried.
    pub body: MessageBody,
}

/// The kept part of a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageBody {
    /// The channel.
    pub channel: Channel,
    /// The sender that this send asked for.
    pub sender: Option<Sender>,
    /// The caller id that this send asked for.
    pub caller: Option<Caller>,
    /// Deliveries tried so far.
    pub tries: u32,
    /// How far it got.
    #[serde(default)]
    pub stage: Stage,
    /// How often a carrier was given it and may have taken it: at most [`SUBMISSIONS`].
    #[serde(default)]
    pub submissions: u8,
    /// The providers that will not take it.
    #[serde(default)]
    pub refused: Vec<String>,
}

/// How often a carrier may be given a message and may have taken it: once, and once more where nobody knows of the first.
pub const SUBMISSIONS: u8 = 2;

impl MessageBody {
    /// A message that nobody has tried to deliver.
    #[must_use]
    pub const fn new(channel: Channel, sender: Option<Sender>, caller: Option<Caller>) -> Self {
        Self { channel, sender, caller, tries: 0, stage: Stage::Queued, submissions: 0, refused: Vec::new() }
    }
}

/// How far a message got on its way to a carrier. The variants with a name are written down before, so that a crash leaves
/// no doubt about what may have happened.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// No carrier has it.
    #[default]
    #[serde(rename = "Q")]
    Queued,
    /// This provider was about to be given it. Whoever finds it so after a crash does not know whether it was.
    #[serde(rename = "S")]
    Submitting(String),
    /// This provider has it; a receipt is waited for until the message is due.
    #[serde(rename = "T")]
    Taken(String),
    /// This provider may have it; a receipt is waited for until the message is due.
    #[serde(rename = "U")]
    Unknown(String),
}
