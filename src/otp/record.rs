//! The OTP as it is kept: its state, what happened to it, and what a resend needs. No code in clear, ever.
//!
//! Stores keep the fields by their place: a new one goes to the end of its struct, with `#[serde(default)]`.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::clock::UnixMillis;
use crate::otp::application::{Caller, Reference, Sender};
use crate::otp::channel::Channel;
use crate::otp::code::{Code, EnteredCode};
use crate::otp::context::Context;
use crate::otp::event::{EventKind, OtpEvent};
pub use crate::otp::fates::Fates;
use crate::otp::id::{AccountId, ApplicationId, NumberKey, OtpId, VerificationId};
use crate::otp::language::Language;
use crate::otp::life::Life;
use crate::otp::news::Tally;
use crate::otp::phone::{Country, E164};
use crate::otp::purpose::Purpose;
use crate::otp::template::Template;
use crate::secret::{Keyring, Sealed, Unsealable};

/// Events that one OTP keeps; further ones replace the last but keep the first.
pub const EVENTS_PER_OTP: usize = 100;

/// Where an OTP stands (the contract's `otpStatus`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum OtpStatus {
    /// Its code can be checked.
    Active,
    /// The right code was given, once.
    Verified,
    /// Its time ran out, or a newer code replaced it.
    Expired,
    /// Wrong codes used its attempts up.
    TooManyAttempts,
}

impl OtpStatus {
    /// The contract's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Verified => "VERIFIED",
            Self::Expired => "EXPIRED",
            Self::TooManyAttempts => "TOO_MANY_ATTEMPTS",
        }
    }
}

/// What a recipient is known by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Recipient {
    /// The number, until its retention is over.
    Number(E164),
    /// Afterwards: only its keyed hash is left.
    Erased,
}

/// How delivery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Delivery {
    /// The message waits for the courier.
    Queued,
    /// A provider took it.
    Sent,
    /// The phone has it.
    Delivered,
    /// It will not arrive.
    Undeliverable,
}

impl Delivery {
    /// The name in answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "QUEUED",
            Self::Sent => "SENT",
            Self::Delivered => "DELIVERED",
            Self::Undeliverable => "UNDELIVERABLE",
        }
    }
}

/// One OTP.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Otp {
    /// Its id.
    pub id: OtpId,
    /// Its owner.
    pub account: AccountId,
    /// The application it was sent for.
    pub application: ApplicationId,
    /// Whom it was sent to.
    pub recipient: Recipient,
    /// Where the number's record lies.
    pub number_key: NumberKey,
    /// The number's country.
    pub country: Option<Country>,
    /// Where it stands, as last written. [`Otp::status_at`] says where it stands now.
    pub status: OtpStatus,
    /// Checks made so far.
    pub attempts: u32,
    /// Checks allowed.
    pub attempts_allowed: u32,
    /// When it was sent first.
    pub created: UnixMillis,
    /// From here on it is expired.
    pub expire: UnixMillis,
    /// When it reached a final state.
    pub finished: Option<UnixMillis>,
    /// Whether a check has been told of the expiry (the first one is answered otherwise than the later ones).
    pub expiry_told: bool,
    /// The caller's own reference.
    pub reference: Option<Reference>,
    /// Code and text, while they may still be needed.
    pub sealed: Option<Sealed>,
    /// The language of its messages.
    pub language: Option<Language>,
    /// The channel of the newest message.
    pub channel: Channel,
    /// The sender asked for.
    pub sender: Option<Sender>,
    /// The caller id asked for.
    pub caller: Option<Caller>,
    /// Messages queued so far; the newest one has this number.
    pub messages: u32,
    /// How delivery of the newest message stands.
    pub delivery: Delivery,
    /// What happened to it, oldest first.
    pub events: Vec<OtpEvent>,
    /// What it is for; none when it was sent natively and is checked by its id.
    #[serde(default)]
    pub purpose: Option<Purpose>,
    /// How old a check lets it be that says nothing else; none when `expire` alone decides.
    #[serde(default)]
    pub usual_age: Option<Life>,
    /// From which a store sees what a change brought, to tell subscribers of it.
    #[serde(skip)]
    pub news: Tally,
    /// The channel that is tried when the newest message does not arrive.
    #[serde(default)]
    pub second: Option<Channel>,
    /// Of each message, how it ended.
    #[serde(default)]
    pub fates: Fates,
    /// Whether it is bound to what it is for, which is sealed with the code.
    #[serde(default)]
    pub bound: bool,
    /// The verification that it was sent for.
    #[serde(default)]
    pub verification: Option<VerificationId>,
}

impl Otp {
    /// Where it stands at `now`: a code past its time is expired whether or not somebody has noticed.
    #[must_use]
    pub fn status_at(&self, now: UnixMillis) -> OtpStatus {
        if self.status == OtpStatus::Active && now >= self.expire { OtpStatus::Expired } else { self.status }
    }

    /// Checks that are left at `now`; none in a final state.
    #[must_use]
    pub fn attempts_left(&self, now: UnixMillis) -> u32 {
        match self.status_at(now) {
            OtpStatus::Active => self.attempts_allowed.saturating_sub(self.attempts),
            _ => 0,
        }
    }

    /// When housekeeping has to look at it: at its expiry while it is active, `retention` after its final state while its
    /// number is kept, never afterwards.
    #[must_use]
    pub fn due(&self, retention: Duration) -> Option<UnixMillis> {
        match (self.status, &self.recipient) {
            (OtpStatus::Active, _) => Some(self.expire),
            (_, Recipient::Number(_)) => Some(self.finished.unwrap_or(self.expire) + retention),
            (_, Recipient::Erased) => None,
        }
    }

    /// The number, while it is kept.
    #[must_use]
    pub const fn number(&self) -> Option<&E164> {
        match &self.recipient {
            Recipient::Number(number) => Some(number),
            Recipient::Erased => None,
        }
    }

    /// Its lifetime in whole seconds, as a person is told it: the one that a check keeps to unless it says otherwise.
    #[must_use]
    pub fn lifetime_seconds(&self) -> u64 {
        let whole = self.expire.since(self.created);
        self.usual_age.map_or(whole, |age| whole.min(age.span())).as_secs()
    }

    /// Adds an event.
    pub fn record(&mut self, kind: EventKind, at: UnixMillis, text: Option<String>) {
        if self.events.len() >= EVENTS_PER_OTP {
            self.events.pop();
        }
        self.events.push(OtpEvent { kind, at, text });
        if let Some(name) = kind.news() {
            self.news.add(name);
        }
    }

    /// Adds an event that subscribers are not told of.
    pub fn record_quietly(&mut self, kind: EventKind, at: UnixMillis, text: Option<String>) {
        let news = self.news;
        self.record(kind, at, text);
        self.news = news;
    }
}

/// What is sealed: the code and, where the caller gave them, the text and what the code is for. All may hold the code.
pub struct SealedContent {
    /// The code.
    pub code: Code,
    /// The caller's own text.
    pub text: Option<Template>,
    /// What it is for.
    pub context: Option<Context>,
}

/// Begins what is sealed where there is a context. No code has it.
const WITH_CONTEXT: u8 = 1;

impl SealedContent {
    /// Whether `entered` is the code, and was entered for what the code is for. Both are compared whatever the other says.
    #[must_use]
    pub fn matches(&self, entered: &EnteredCode) -> bool {
        let same = match (&self.context, &entered.context) {
            (Some(bound), Some(given)) => bound.is(given),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        self.code.matches(entered) & same
    }

    /// Seals it for the OTP `id`.
    #[must_use]
    pub fn seal(&self, keyring: &Keyring, id: OtpId) -> Sealed {
        let context = self.context.as_ref().map(Context::to_line);
        let room = 64 + context.as_ref().map_or(0, |line| line.len() + 2);
        let mut plain = Zeroizing::new(String::with_capacity(room));
        if let Some(line) = context {
            plain.push(char::from(WITH_CONTEXT));
            plain.push_str(&line);
            plain.push('\n');
        }
        plain.push_str(self.code.expose());
        if let Some(text) = &self.text {
            plain.push('\n');
            plain.push_str(text.as_str());
        }
        keyring.seal(&id.bytes(), plain.as_bytes())
    }

    /// Opens what was sealed for the OTP `id`.
    ///
    /// # Errors
    /// [`Unsealable`] when another keyring sealed it or a byte is another.
    pub fn open(keyring: &Keyring, id: OtpId, sealed: &Sealed) -> Result<Self, Unsealable> {
        let plain = keyring.open(&id.bytes(), sealed)?;
        let (context, rest) = match plain.split_first() {
            Some((&WITH_CONTEXT, rest)) => {
                let mut parts = rest.splitn(2, |byte| *byte == b'\n');
                let line = std::str::from_utf8(parts.next().unwrap_or_default()).map_err(|_| Unsealable)?;
                (Some(Context::from_line(line).ok_or(Unsealable)?), parts.next().unwrap_or_default())
            }
            _ => (None, plain.as_slice()),
        };
        let mut parts = rest.splitn(2, |byte| *byte == b'\n');
        let code = Code::from_sealed(parts.next().unwrap_or_default());
        let text = parts.next().and_then(|text| std::str::from_utf8(text).ok()).map(Template::from_store);
        Ok(Self { code, text, context })
    }
}
