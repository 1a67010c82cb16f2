//! The answers of the contract: an OTP's eleven fields, an application, an event.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use crate::clock::UnixMillis;
use crate::otp::application::Application;
use crate::otp::event::OtpEvent;
use crate::otp::record::Otp;

/// A one-time password: exactly the contract's fields.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct TyntecOtp {
    /// Its id (UUID).
    otp_id: String,
    /// The account that owns it.
    account_id: String,
    /// The application it was sent for (UUID).
    application_id: String,
    /// Whom it was sent to, in E.164 with `+`.
    number: String,
    /// Checks made so far.
    attempt_count: u32,
    /// ACTIVE, VERIFIED, EXPIRED or TOO_MANY_ATTEMPTS.
    #[schema(example = "ACTIVE")]
    otp_status: &'static str,
    /// When it was sent, in milliseconds since 1970.
    #[schema(format = "int64")]
    created: u64,
    /// When it expires, in milliseconds since 1970.
    #[schema(format = "int64")]
    expire: u64,
    /// The caller's own reference, or null.
    reference_id: Option<String>,
    /// When it was sent (RFC 3339).
    timestamp_created: String,
    /// When it expires (RFC 3339).
    timestamp_expire: String,
}

impl TyntecOtp {
    /// The OTP as it stands at `now`.
    pub(super) fn of(otp: &Otp, now: UnixMillis) -> Self {
        Self {
            otp_id: otp.id.to_string(),
            account_id: otp.account.to_string(),
            application_id: otp.application.to_string(),
            number: otp.number().map_or_else(|| otp.number_key.to_hex(), |number| number.as_str().to_owned()),
            attempt_count: otp.attempts,
            otp_status: otp.status_at(now).as_str(),
            created: otp.created.0,
            expire: otp.expire.0,
            reference_id: otp.reference.as_ref().map(|reference| reference.as_str().to_owned()),
            timestamp_created: otp.created.to_rfc3339(),
            timestamp_expire: otp.expire.to_rfc3339(),
        }
    }
}

/// An application, as the contract lists its fields.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct TyntecApplication {
    /// Its id (UUID).
    application_id: String,
    /// Its account.
    account_id: String,
    /// Its name.
    name: String,
    /// Length of generated codes.
    pin_length: u8,
    /// Whether generated codes hold letters.
    alphanumeric: bool,
    /// Checks that a code allows.
    attempts: u32,
    /// Lifetime of a code in seconds.
    expire: u32,
    /// Who text messages come from, or null.
    sender: Option<String>,
    /// Which number calls show, or null.
    caller: Option<String>,
    /// Its own texts: `en` for a text message, `en-voice` for a call.
    template: BTreeMap<String, String>,
    /// When it was made, in milliseconds since 1970.
    #[schema(format = "int64")]
    created: u64,
}

impl From<&Application> for TyntecApplication {
    fn from(application: &Application) -> Self {
        Self {
            application_id: application.id.to_string(),
            account_id: application.account.to_string(),
            name: application.name.as_str().to_owned(),
            pin_length: application.pin_length.get(),
            alphanumeric: application.alphanumeric,
            attempts: application.attempts.get(),
            expire: application.expire.get(),
            sender: application.sender.as_ref().map(|sender| sender.as_str().to_owned()),
            caller: application.caller.as_ref().map(|caller| caller.as_str().to_owned()),
            template: application.templates.named().map(|(name, text)| (name, text.as_str().to_owned())).collect(),
            created: application.created.0,
        }
    }
}

/// An event of an OTP.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct TyntecEvent {
    /// What happened.
    #[serde(rename = "type")]
    #[schema(example = "DELIVER_OTP_RES_SUCCESS")]
    kind: &'static str,
    /// success, failed, or null.
    status: Option<&'static str>,
    /// In words, or null.
    status_text: Option<String>,
    /// When, in milliseconds since 1970.
    #[schema(format = "int64")]
    created: u64,
    /// When (RFC 3339).
    timestamp_created: String,
}

impl From<&OtpEvent> for TyntecEvent {
    fn from(event: &OtpEvent) -> Self {
        Self {
            kind: event.kind.as_str(),
            status: event.kind.outcome(),
            status_text: event.text.clone(),
            created: event.at.0,
            timestamp_created: event.at.to_rfc3339(),
        }
    }
}
