//! The provider port: who am I, which channels, deliver one message.

use std::time::Duration;

use zeroize::Zeroizing;

use crate::otp::application::{Caller, Sender};
use crate::otp::channel::Channel;
use crate::otp::code::Code;
use crate::otp::outbox::MessageId;
use crate::otp::phone::E164;
use crate::otp::store::Later;

/// A message, rendered.
pub struct Outgoing {
    /// Which one it is: an idempotency key for carriers that take one.
    pub id: MessageId,
    /// Whom it goes to.
    pub number: E164,
    /// How it travels.
    pub channel: Channel,
    /// Who it comes from.
    pub sender: Option<Sender>,
    /// Which number a call shows.
    pub caller: Option<Caller>,
    /// The whole text.
    pub text: Zeroizing<String>,
    /// The code in it.
    pub code: Code,
}

/// What a provider said when it took a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Receipt {
    /// It took the message; how it went on is not known.
    Taken,
    /// The phone has it.
    Delivered,
}

/// Why a provider did not take a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Not now: try again, not before this time.
    Retryable(Duration),
    /// Never: the words are for the event.
    Refused(String),
    /// It may have taken it: nobody knows.
    Unknown,
}

/// Delivers messages.
pub trait Provider: Send + Sync + 'static {
    /// Its name in the configuration, in metrics and logs.
    fn name(&self) -> &str;

    /// The channels it offers.
    fn channels(&self) -> &[Channel];

    /// Delivers one message.
    fn deliver(&self, message: Outgoing) -> Later<'_, Result<Receipt, Failure>>;
}
