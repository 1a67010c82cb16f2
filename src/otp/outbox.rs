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
    /// The providers that may have taken it without saying so: fewer than [`SUBMISSIONS`]. Left out where there is none, so
    /// that a record of the release before this one is written again byte for byte, by which a shared store knows it; whoever
    /// adds a field behind it has to write it always.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub doubted: Vec<String>,
}

/// How often a carrier may be given a message and may have taken it: once, and once more where nobody knows of the first.
pub const SUBMISSIONS: u8 = 2;

impl MessageBody {
    /// A message that nobody has tried to deliver.
    #[must_use]
    pub const fn new(channel: Channel, sender: Option<Sender>, caller: Option<Caller>) -> Self {
        Self {
            channel,
            sender,
            caller,
            tries: 0,
            stage: Stage::Queued,
            submissions: 0,
            refused: Vec::new(),
            doubted: Vec::new(),
        }
    }

    /// Nobody knows whether the provider that it was given took it: it is given to a provider once more, rather to another one.
    pub fn doubt(&mut self) {
        let provider = match std::mem::take(&mut self.stage) {
            Stage::Queued => return,
            Stage::Submitting(provider) | Stage::Taken(provider) | Stage::Unknown(provider) => provider,
        };
        if !self.doubted.contains(&provider) {
            self.doubted.push(provider);
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// As the release before this one keeps it.
    #[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
    struct Former {
        channel: Channel,
        sender: Option<Sender>,
        caller: Option<Caller>,
        tries: u32,
        #[serde(default)]
        stage: Stage,
        #[serde(default)]
        submissions: u8,
        #[serde(default)]
        refused: Vec<String>,
    }

    #[test]
    fn a_message_of_the_former_release_is_written_again_as_it_was() {
        let former = Former {
            channel: Channel::Sms,
            sender: Sender::parse("Shop").ok(),
            caller: None,
            tries: 2,
            stage: Stage::Unknown("first".to_owned()),
            submissions: 1,
            refused: vec!["other".to_owned()],
        };
        let bytes = rmp_serde::to_vec(&former).unwrap();
        let mut body: MessageBody = rmp_serde::from_slice(&bytes).unwrap();
        assert_eq!((body.stage.clone(), body.doubted.len()), (former.stage.clone(), 0));
        assert_eq!(rmp_serde::to_vec(&body).unwrap(), bytes);
        assert_eq!(rmp_serde::from_slice::<Former>(&bytes).unwrap(), former);
        // One of before there were stages.
        let bytes = rmp_serde::to_vec(&(Channel::Sms, None::<Sender>, None::<Caller>, 0_u32)).unwrap();
        assert_eq!(rmp_serde::from_slice::<MessageBody>(&bytes).unwrap(), MessageBody::new(Channel::Sms, None, None));
        body.doubt();
        assert_eq!((&body.stage, body.doubted.as_slice()), (&Stage::Queued, &["first".to_owned()][..]));
        assert_eq!(rmp_serde::from_slice::<MessageBody>(&rmp_serde::to_vec(&body).unwrap()).unwrap(), body);
    }

    #[test]
    fn who_is_in_doubt_is_noted_once() {
        let mut body = MessageBody::new(Channel::Sms, None, None);
        for stage in [Stage::Queued, Stage::Submitting("a".to_owned()), Stage::Taken("a".to_owned())] {
            body.stage = stage;
            body.doubt();
        }
        assert_eq!((body.stage, body.doubted), (Stage::Queued, vec!["a".to_owned()]));
    }
}
