//! What happened to an OTP: its history, as records hold it and answers name it. Must not know what makes it happen.

use serde::{Deserialize, Serialize};

use crate::clock::UnixMillis;
use crate::otp::news::EventName;

/// What happened to an OTP. The names continue the contract's family; records hold one letter of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EventKind {
    /// A message was queued.
    #[serde(rename = "Q")]
    DeliverOtpReq,
    /// A provider took the message, or the phone has it.
    #[serde(rename = "D")]
    DeliverOtpResSuccess,
    /// The message will not arrive.
    #[serde(rename = "U")]
    DeliverOtpResFail,
    /// A provider did not say whether it took the message.
    #[serde(rename = "N")]
    DeliverOtpResUnknown,
    /// The right code.
    #[serde(rename = "V")]
    CheckOtpSuccess,
    /// A wrong code.
    #[serde(rename = "W")]
    CheckOtpFail,
    /// The time ran out.
    #[serde(rename = "X")]
    CheckOtpExpired,
    /// The last allowed attempt was wrong, or the number is locked.
    #[serde(rename = "M")]
    CheckOtpTooManyAttempts,
    /// A newer code took its place.
    #[serde(rename = "R")]
    CheckOtpReplaced,
}

impl EventKind {
    /// The contract's `type`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DeliverOtpReq => "DELIVER_OTP_REQ",
            Self::DeliverOtpResSuccess => "DELIVER_OTP_RES_SUCCESS",
            Self::DeliverOtpResFail => "DELIVER_OTP_RES_FAIL",
            Self::DeliverOtpResUnknown => "DELIVER_OTP_RES_UNKNOWN",
            Self::CheckOtpSuccess => "CHECK_OTP_SUCCESS",
            Self::CheckOtpFail => "CHECK_OTP_FAIL",
            Self::CheckOtpExpired => "CHECK_OTP_EXPIRED",
            Self::CheckOtpTooManyAttempts => "CHECK_OTP_TOO_MANY_ATTEMPTS",
            Self::CheckOtpReplaced => "CHECK_OTP_REPLACED",
        }
    }

    /// The contract's `status`: `success`, `failed`, or none for a request and for what nobody knows.
    #[must_use]
    pub const fn outcome(self) -> Option<&'static str> {
        match self {
            Self::DeliverOtpReq | Self::DeliverOtpResUnknown => None,
            Self::DeliverOtpResSuccess | Self::CheckOtpSuccess => Some("success"),
            _ => Some("failed"),
        }
    }

    /// What subscribers are told. None for a request and for what nobody knows; of a delivery that succeeded only [`Otp::note_delivery`](crate::otp::record::Otp::note_delivery) knows how
    /// far it got.
    #[must_use]
    pub const fn news(self) -> Option<EventName> {
        match self {
            Self::DeliverOtpReq | Self::DeliverOtpResSuccess | Self::DeliverOtpResUnknown => None,
            Self::DeliverOtpResFail => Some(EventName::Undeliverable),
            Self::CheckOtpSuccess => Some(EventName::Verified),
            Self::CheckOtpFail => Some(EventName::WrongCode),
            Self::CheckOtpExpired => Some(EventName::Expired),
            Self::CheckOtpTooManyAttempts => Some(EventName::TooManyAttempts),
            Self::CheckOtpReplaced => Some(EventName::Replaced),
        }
    }
}

/// One event of an OTP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OtpEvent {
    /// What happened.
    pub kind: EventKind,
    /// When.
    pub at: UnixMillis,
    /// In words, where there is more to say than the kind.
    pub text: Option<String>,
}
