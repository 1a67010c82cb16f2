//! The provider port: who am I, which channels, deliver one message. Whoever implements it is a carrier's protocol, and
//! knows nothing of routes, retries or OTPs.

use std::time::Duration;

use zeroize::Zeroizing;

use crate::delivery::receipt::{CarrierId, Ticket};
use crate::otp::application::{Caller, Sender};
use crate::otp::channel::Channel;
use crate::otp::code::Code;
use crate::otp::language::Language;
use crate::otp::outbox::MessageId;
use crate::otp::phone::E164;
use crate::otp::store::Later;

/// The longest that a carrier is left alone because it asked for it. Other carriers serve meanwhile; where there are none, it
/// is asked again while the codes that wait still live.
pub const PAUSE_AT_MOST: Duration = Duration::from_secs(60);

/// A message, rendered.
pub struct Outgoing {
    /// Which one it is.
    pub id: MessageId,
    /// Names this submission of it: an idempotency key for carriers that take one, and what their receipts are known by.
    /// A repeat has another one.
    pub ticket: Ticket,
    /// Whom it goes to.
    pub number: E164,
    /// How it travels.
    pub channel: Channel,
    /// Who it comes from.
    pub sender: Option<Sender>,
    /// Which number a call shows.
    pub caller: Option<Caller>,
    /// The language of the text, which says how a call is spoken.
    pub language: Language,
    /// The whole text.
    pub text: Zeroizing<String>,
    /// The code in it.
    pub code: Code,
    /// How long the code lives from now on, more than zero: a carrier that can is told to give up then.
    pub life: Duration,
}

/// What a provider said when it took a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// How far the message got.
    pub reach: Reached,
    /// What the carrier calls the message, where it said so: its receipts may name nothing else.
    pub carrier: Option<CarrierId>,
}

/// How far a message got when its submission was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reached {
    /// The carrier has it; how it went on is not known.
    Taken,
    /// The phone has it.
    Delivered,
}

impl Receipt {
    /// The carrier has it, and calls it this.
    #[must_use]
    pub const fn taken(carrier: Option<CarrierId>) -> Self {
        Self { reach: Reached::Taken, carrier }
    }

    /// The phone has it.
    #[must_use]
    pub const fn delivered() -> Self {
        Self { reach: Reached::Delivered, carrier: None }
    }
}

/// Why a provider did not take a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It certainly did not take it, and may later: it was not reached, or it said so (a throttle, a 5xx that promises that
    /// nothing happened). Not before this time, [`PAUSE_AT_MOST`]; zero where it named none, which also speaks against its
    /// health.
    Retryable(Duration),
    /// It certainly did not take it and never will: this message, not the carrier, is at fault. The words are for the
    /// operator and for events: no number, no code, nothing of the carrier's answer but its own error code.
    Refused(String),
    /// It may have taken it: nobody knows. Whatever broke after the first byte of the message left.
    Unknown,
}

/// Delivers messages.
pub trait Provider: Send + Sync + 'static {
    /// Its name in the configuration, in metrics and logs.
    fn name(&self) -> &str;

    /// The channels it offers.
    fn channels(&self) -> &[Channel];

    /// Delivers one message, within a deadline of its own.
    fn deliver(&self, message: Outgoing) -> Later<'_, Result<Receipt, Failure>>;
}
