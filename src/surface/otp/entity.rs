//! The native answers. A field without a value is left out, never null.

use serde::Serialize;
use utoipa::ToSchema;

use crate::clock::UnixMillis;
use crate::otp::record::Otp;
use crate::surface::vocabulary;

/// A one-time password. The code itself is in no answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OtpEntity {
    /// Its id (UUID).
    #[schema(format = "uuid", example = "0193517a-5c00-7000-8000-0123456789ab")]
    otp_id: String,
    /// The account that owns it.
    #[schema(example = "default")]
    account_id: String,
    /// The application it was sent for (UUID).
    #[schema(format = "uuid")]
    application_id: String,
    /// Whom it was sent to, in E.164 with `+`; left out once the number's retention is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "+4915112345678")]
    number: Option<String>,
    /// Checks made so far.
    attempt_count: u32,
    /// Checks that are left.
    attempts_left: u32,
    /// Where it stands.
    #[schema(schema_with = vocabulary::status)]
    otp_status: &'static str,
    /// When it was sent, in milliseconds since 1970.
    #[schema(format = "int64", example = 1_763_764_437_120_i64)]
    created: u64,
    /// When it expires, in milliseconds since 1970.
    #[schema(format = "int64", example = 1_763_764_737_120_i64)]
    expire: u64,
    /// The caller's own reference.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    reference_id: Option<String>,
    /// When it was sent (RFC 3339).
    #[schema(format = "date-time")]
    timestamp_created: String,
    /// When it expires (RFC 3339).
    #[schema(format = "date-time")]
    timestamp_expire: String,
    /// The channel of its newest message.
    #[schema(schema_with = vocabulary::channel)]
    channel: &'static str,
    /// How delivery of its newest message stands.
    #[schema(schema_with = vocabulary::delivery)]
    delivery_status: &'static str,
}

impl OtpEntity {
    /// The OTP as it stands at `now`.
    #[must_use]
    pub fn of(otp: &Otp, now: UnixMillis) -> Self {
        Self {
            otp_id: otp.id.to_string(),
            account_id: otp.account.to_string(),
            application_id: otp.application.to_string(),
            number: otp.number().map(|number| number.as_str().to_owned()),
            attempt_count: otp.attempts,
            attempts_left: otp.attempts_left(now),
            otp_status: otp.status_at(now).as_str(),
            created: otp.created.0,
            expire: otp.expire.0,
            reference_id: otp.reference.as_ref().map(|reference| reference.as_str().to_owned()),
            timestamp_created: otp.created.to_rfc3339(),
            timestamp_expire: otp.expire.to_rfc3339(),
            channel: otp.channel.as_str(),
            delivery_status: otp.delivery.as_str(),
        }
    }

    /// As [`OtpEntity::of`], but with the status and the attempts left that a check found.
    #[must_use]
    pub fn found(mut self, otp_status: &'static str, attempts_left: u32) -> Self {
        self.otp_status = otp_status;
        self.attempts_left = attempts_left;
        self
    }
}

/// The verdict of a check, with the one-time password after it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct VerdictEntity {
    /// Whether the code was right, for the first and only time.
    pub verified: bool,
    /// The one-time password.
    #[serde(flatten)]
    pub otp: OtpEntity,
}

/// Who the caller is, and what is left of its quota.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionEntity {
    /// The connection's id.
    #[schema(example = "con_0123456789abcdef")]
    pub connection_id: String,
    /// What the operator calls it.
    pub name: String,
    /// The account it acts for.
    pub account_id: String,
    /// What it may do.
    #[schema(schema_with = vocabulary::scopes)]
    pub scopes: Vec<&'static str>,
    /// Its quota; left out when it is lifted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub quota: Option<QuotaEntity>,
}

/// A quota and what is left of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct QuotaEntity {
    /// Calls in any period.
    pub calls: u16,
    /// The period in seconds.
    pub period: u16,
    /// Calls that are left now.
    pub remaining: u16,
    /// Seconds until there is one more.
    pub resets_in: u16,
}
