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
}
