//! How a verification ends: a pure projection of what became of its code. Applied by whoever notices first, and again by
//! everybody else: the first outcome stays.

use serde::{Deserialize, Serialize};

use crate::clock::UnixMillis;
use crate::otp::record::{Delivery, Otp, OtpStatus};
use crate::verification::record::Verification;

/// How a verification ended. Records hold one letter of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Outcome {
    /// The person gave the right code.
    #[serde(rename = "V")]
    Verified,
    /// Its time ran out, or that of its code when no further message was allowed.
    #[serde(rename = "X")]
    Expired,
    /// Wrong codes used the attempts up, or the number is locked.
    #[serde(rename = "M")]
    TooManyAttempts,
    /// No message will arrive.
    #[serde(rename = "U")]
    Undeliverable,
    /// The person said on the page that the number is not theirs.
    #[serde(rename = "P")]
    CancelledByPerson,
    /// Whoever asked for it ended it, or deleted its code.
    #[serde(rename = "F")]
    CancelledByFlow,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Verified,
        Self::Expired,
        Self::TooManyAttempts,
        Self::Undeliverable,
        Self::CancelledByPerson,
        Self::CancelledByFlow,
    ];

    /// Whether somebody ended it before its code or its time did: then its code counts no more.
    #[must_use]
    pub const fn is_cancelled(self) -> bool {
        matches!(self, Self::CancelledByPerson | Self::CancelledByFlow)
    }

    /// The name in answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Verified => "VERIFIED",
            Self::Expired => "EXPIRED",
            Self::TooManyAttempts => "TOO_MANY_ATTEMPTS",
            Self::Undeliverable => "UNDELIVERABLE",
            Self::CancelledByPerson => "CANCELLED_BY_PERSON",
            Self::CancelledByFlow => "CANCELLED_BY_FLOW",
        }
    }
}

/// What an open verification is called in answers.
pub const OPEN: &str = "OPEN";

/// What is known of the code of a verification.
#[derive(Clone, Copy, Debug)]
pub enum Found<'a> {
    /// Its OTP, as it is kept.
    There(&'a Otp),
    /// It was not sent yet, or nobody knows.
    Missing,
    /// It was deleted.
    Deleted,
}

/// How `verification` ends at `now`, as far as its code tells; none when it stays open.
///
/// An expired code leaves it open for as long as another one may be sent. A right code counts even where the verification's
/// time ran out before anybody noticed: the check came first.
#[must_use]
pub fn outcome(verification: &Verification, found: Found<'_>, now: UnixMillis) -> Option<Outcome> {
    let spent = || verification.sends_left() == 0;
    let by_code = match found {
        Found::There(otp) => match otp.status_at(now) {
            OtpStatus::Verified => Some(Outcome::Verified),
            OtpStatus::TooManyAttempts => Some(Outcome::TooManyAttempts),
            OtpStatus::Expired => spent().then_some(Outcome::Expired),
            // One that arrived before leaves the code usable, whatever became of the next.
            OtpStatus::Active => {
                (otp.delivery == Delivery::Undeliverable && otp.fates.delivered == 0).then_some(Outcome::Undeliverable)
            }
        },
        Found::Deleted => Some(Outcome::CancelledByFlow),
        Found::Missing => None,
    };
    by_code.or_else(|| (now >= verification.expires).then_some(Outcome::Expired))
}
