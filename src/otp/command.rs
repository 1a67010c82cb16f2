//! What the domain can be asked to do, and how it may end. Everything is parsed already; no HTTP in the errors.

use std::sync::Arc;

use crate::clock::UnixMillis;
use crate::otp::application::{ApplicationRef, Caller, Reference, Sender};
use crate::otp::channel::{Channel, Via};
use crate::otp::code::{Code, EnteredCode, PinLength};
use crate::otp::context::Context;
use crate::otp::id::{AccountId, OtpId, VerificationId};
use crate::otp::language::Language;
use crate::otp::life::Life;
use crate::otp::machine::Verdict;
use crate::otp::once::Stopped;
use crate::otp::phone::{LineType, Phone};
use crate::otp::purpose::Purpose;
use crate::otp::record::Otp;
use crate::otp::store::StoreError;
use crate::otp::template::Template;

/// A send. Everything in it is parsed already.
#[derive(Debug)]
pub struct Send {
    /// Whose OTP it will be.
    pub account: AccountId,
    /// Whom to send to.
    pub phone: Phone,
    /// The application whose settings hold.
    pub application: ApplicationRef,
    /// The channel asked for.
    pub via: Via,
    /// The language asked for.
    pub language: Option<Language>,
    /// The caller's own text.
    pub text: Option<Template>,
    /// The caller's own code.
    pub code: Option<Code>,
    /// The length of a generated code, where it differs from the application's.
    pub pin_length: Option<PinLength>,
    /// The sender, where it differs from the application's.
    pub sender: Option<Sender>,
    /// The caller id, where it differs from the application's.
    pub caller: Option<Caller>,
    /// The caller's own reference.
    pub reference: Option<Reference>,
    /// What a dialect asks for beyond that.
    pub terms: Terms,
}

/// What only some dialects ask of a send.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    /// What the code is for: it takes the place of the one that was sent for the same before, and is checked by
    /// [`Check`] alone.
    pub purpose: Option<Purpose>,
    /// How long it lives, where that differs from the application's.
    pub life: Option<Life>,
    /// How old a check lets it be that says nothing else; none when its life alone decides, whatever a check says.
    pub usual_age: Option<Life>,
    /// Whether a generated code is digits only, whatever the application says.
    pub digits_only: bool,
    /// What it is bound to and its message shows.
    pub context: Option<Context>,
    /// The verification that asks for it.
    pub behalf: Option<Behalf>,
}

/// On whose behalf a code is sent, where that is a verification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Behalf {
    /// The verification.
    pub verification: VerificationId,
    /// The id that the code's OTP gets: it is written down before the code is sent.
    pub otp: OtpId,
    /// The code lives no longer than this.
    pub until: UnixMillis,
}

/// A check by number and purpose: of the newest code that was sent for both.
#[derive(Debug)]
pub struct Check {
    /// Whose OTP it is.
    pub account: AccountId,
    /// Whom it was sent to.
    pub phone: Phone,
    /// What it was sent for.
    pub purpose: Purpose,
    /// What was typed.
    pub entered: EnteredCode,
    /// How old the code may be, where that differs from what its send said ([`Terms::usual_age`]).
    pub max_age: Option<Life>,
}

/// A resend of the same code; `expire` does not move.
#[derive(Clone, Debug, Default)]
pub struct Resend {
    /// The channel asked for.
    pub via: Via,
    /// The sender asked for.
    pub sender: Option<Sender>,
    /// The caller id asked for.
    pub caller: Option<Caller>,
}

/// Why a message may not leave now. Nothing was counted, nothing sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendRefusal {
    /// The account has no such application.
    UnknownApplication,
    /// The country is not served.
    CountryNotServed,
    /// The number is of a kind that is not sent to.
    LineNotServed(LineType),
    /// No carrier takes messages to the number on this channel.
    ChannelNotOffered(Channel),
    /// The number had enough messages; the next one may leave at this instant.
    TooManySends(UnixMillis),
    /// The number is locked after too many wrong codes, until this instant.
    Locked(UnixMillis),
    /// The account's messages to this country are used up for today; this is the start of the next day (UTC).
    CeilingReached(UnixMillis),
    /// This OTP has been resent often enough.
    TooManyResends,
    /// The text shows an amount or a payee, and there is none.
    ContextNeeded,
}

/// Why a send did not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendError {
    /// It happened before, or its key belongs to another request: its ticket knows.
    Answered,
    /// It may not leave now.
    Refused(SendRefusal),
    /// The store did not keep it.
    Store(StoreError),
}

/// Why a resend did not happen.
#[derive(Clone, Debug, PartialEq)]
pub enum ResendError {
    /// It happened before, or its key belongs to another request: its ticket knows.
    Answered,
    /// There is no such OTP (or it is another account's).
    Unknown,
    /// It is final: there is no code any more.
    NotActive(Arc<Otp>),
    /// Its application was deleted.
    ApplicationGone,
    /// It may not leave now.
    Refused(SendRefusal),
    /// The store did not keep it.
    Store(StoreError),
}

/// Why a check gave no verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VerifyError {
    /// It was made before, or its key belongs to another request: its ticket knows.
    Answered,
    /// There is no such OTP (or it is another account's).
    Unknown,
    /// Its application was deleted.
    ApplicationGone,
    /// It names what the code is for although the code was sent without (`bound` is false), or does not name it although it
    /// must. No attempt was counted.
    Context {
        /// Whether the code is bound to what it is for.
        bound: bool,
    },
    /// It comes without a code ([`EnteredCode::missing`]), and the OTP is active. No attempt was counted.
    NoCode,
    /// The store did not count it: no verdict.
    Store(StoreError),
}

/// Why a deletion did not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeleteError {
    /// It happened before, or its key belongs to another request: its ticket knows.
    Answered,
    /// There is no such OTP (or it is another account's).
    Unknown,
    /// The store did not do it.
    Store(StoreError),
}

/// Says for each error how a change that was to be done once stopped.
macro_rules! stopped {
    ($($error:ident),+) => {
        $(impl From<Stopped> for $error {
            fn from(stopped: Stopped) -> Self {
                match stopped {
                    Stopped::Answered => Self::Answered,
                    Stopped::Store(error) => Self::Store(error),
                }
            }
        })+
    };
}
stopped!(SendError, ResendError, VerifyError, DeleteError);

/// A verdict, committed.
#[derive(Clone, Debug)]
pub struct Verified {
    /// What the check found.
    pub verdict: Verdict,
    /// The OTP after it.
    pub otp: Arc<Otp>,
    /// The instant it was decided at.
    pub at: UnixMillis,
}
