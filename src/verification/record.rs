//! A verification as it is kept, and when it has to be looked at. No code in it: that lies in its OTP.
//!
//! Stores keep the fields by their place: a new one goes to the end of its struct, with `#[serde(default)]`. The record holds
//! a number, so a store seals it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::access::connection::ConnectionId;
use crate::clock::UnixMillis;
use crate::otp::application::{Reference, Sender, bounded};
use crate::otp::channel::Via;
use crate::otp::context::Context;
use crate::otp::id::{AccountId, ApplicationId, NumberKey, OtpId, VerificationId};
use crate::otp::language::Language;
use crate::otp::news::Tally;
use crate::otp::page::ReturnUrl;
use crate::otp::phone::{Country, E164};
use crate::otp::record::{Otp, OtpStatus, Recipient};
use crate::secret::Sealed;
use crate::verification::outcome::Outcome;

bounded!(
    /// How long a verification is open, in seconds: 60 to 86,400; 600 by default.
    Expiry, ExpiryOutOfRange, 60..=86_400, 600, "60 to 86400 seconds"
);
bounded!(
    /// Messages that a verification may send, the first one and further ones: 1 to 5; 3 by default.
    Sends, SendsOutOfRange, 1..=5, 3, "1 to 5"
);

/// When the first message leaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FirstSend {
    /// When the verification is opened.
    #[default]
    Now,
    /// When the person asks for it, on the page.
    OnOpen,
}

impl FirstSend {
    /// The name in calls.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Now => "now",
            Self::OnOpen => "on_open",
        }
    }

    /// Messages that opening a verification sends.
    #[must_use]
    pub const fn sends(self) -> u32 {
        match self {
            Self::Now => 1,
            Self::OnOpen => 0,
        }
    }

    /// Reads `now` or `on_open`, in any case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Now, Self::OnOpen].into_iter().find(|known| known.as_str().eq_ignore_ascii_case(text))
    }
}

/// How a verification ended. That never changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ended {
    /// How.
    pub outcome: Outcome,
    /// When.
    pub at: UnixMillis,
    /// Its OTP as it stood then, without its code and its history; none when no code was sent. EXPIRED where it would still count,
    /// had the verification not been cancelled.
    pub otp: Option<Otp>,
}

/// Who waits for the outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Callback {
    /// Where to, sealed for the verification's id.
    pub url: Sealed,
    /// What the call is signed with, sealed for the verification's id.
    pub secret: Sealed,
    /// Tries so far.
    pub tries: u32,
    /// The next one is not before this.
    pub due: UnixMillis,
    /// Whether nothing is left to do: it was told, it is not waited for any more, or nobody took it.
    pub over: bool,
}

/// One verification.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verification {
    /// Its id.
    pub id: VerificationId,
    /// Its owner.
    pub account: AccountId,
    /// Who asked for it.
    pub connection: ConnectionId,
    /// The application whose settings hold.
    pub application: ApplicationId,
    /// Whose number it is about.
    pub recipient: Recipient,
    /// Where the number's record lies.
    pub number_key: NumberKey,
    /// The number's country.
    pub country: Option<Country>,
    /// The channel asked for.
    pub via: Via,
    /// The language asked for.
    pub language: Option<Language>,
    /// The sender asked for.
    pub sender: Option<Sender>,
    /// The caller's own reference.
    pub reference: Option<Reference>,
    /// What it is for.
    pub context: Option<Context>,
    /// Where its page leads to in the end.
    pub return_url: Option<ReturnUrl>,
    /// When it was opened.
    pub created: UnixMillis,
    /// From here on it is expired.
    pub expires: UnixMillis,
    /// When its first message leaves.
    pub first: FirstSend,
    /// Messages that it may send.
    pub sends_allowed: u32,
    /// Messages that it has sent, or is about to.
    pub sends: u32,
    /// When it sent the newest one.
    pub last_send: Option<UnixMillis>,
    /// Its OTPs, oldest first: only the last one may still be open. Each is written down before it is sent.
    pub otps: Vec<OtpId>,
    /// How it ended.
    pub ended: Option<Ended>,
    /// Who waits for that.
    pub callback: Option<Callback>,
}

impl Verification {
    /// Whether it is open at `now`: one past its time is over whether or not somebody has noticed.
    #[must_use]
    pub fn is_open_at(&self, now: UnixMillis) -> bool {
        self.ended.is_none() && now < self.expires
    }

    /// Messages that it may still send.
    #[must_use]
    pub const fn sends_left(&self) -> u32 {
        self.sends_allowed.saturating_sub(self.sends)
    }

    /// The number, while it is kept.
    #[must_use]
    pub const fn number(&self) -> Option<&E164> {
        match &self.recipient {
            Recipient::Number(number) => Some(number),
            Recipient::Erased => None,
        }
    }

    /// The OTP whose code counts now.
    #[must_use]
    pub fn current_otp(&self) -> Option<OtpId> {
        self.otps.last().copied()
    }

    /// Whether somebody has still to be told how it ended.
    #[must_use]
    pub fn is_waited_for(&self) -> bool {
        self.callback.as_ref().is_some_and(|callback| !callback.over)
    }

    /// Whether it goes at `now`: `retention` after its end, once nobody waits for it.
    #[must_use]
    pub fn is_over_at(&self, now: UnixMillis, retention: Duration) -> bool {
        let ended = self.ended.as_ref();
        ended.is_some_and(|ended| !self.is_waited_for() && now >= ended.at + retention)
    }

    /// When it has to be looked at next: at its expiry while it is open, then at the next try of its callback, then
    /// `retention` after its end.
    #[must_use]
    pub fn due(&self, retention: Duration) -> UnixMillis {
        match (&self.ended, self.callback.as_ref().filter(|callback| !callback.over)) {
            (None, _) => self.expires,
            (Some(_), Some(callback)) => callback.due,
            (Some(ended), None) => ended.at + retention,
        }
    }

    /// Ends it, with its OTP as that stands. The code of one that is cancelled is deleted: nobody is told that it can still be
    /// checked, but what is said of a code that another one replaced. Whoever waits is to be told at once.
    pub fn end(&mut self, outcome: Outcome, otp: Option<&Otp>, at: UnixMillis) {
        let mut otp = otp.map(|otp| Otp { sealed: None, events: Vec::new(), news: Tally::default(), ..otp.clone() });
        if let Some(otp) = otp.as_mut().filter(|otp| outcome.is_cancelled() && otp.status == OtpStatus::Active) {
            (otp.status, otp.finished) = (OtpStatus::Expired, Some(at));
        }
        self.ended = Some(Ended { outcome, at, otp });
        if let Some(callback) = &mut self.callback {
            callback.due = at;
        }
    }

    /// Takes whatever names a person out of it, and ends it where it is open. What is left serves whoever waits.
    pub fn erase_number(&mut self, now: UnixMillis) {
        if self.ended.is_none() {
            self.end(Outcome::CancelledByFlow, None, now);
        }
        self.recipient = Recipient::Erased;
        self.reference = None;
        self.context = None;
        self.return_url = None;
        if let Some(otp) = self.ended.as_mut().and_then(|ended| ended.otp.as_mut()) {
            otp.recipient = Recipient::Erased;
            otp.reference = None;
        }
    }
}
