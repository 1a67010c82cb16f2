//! A verification in answers, and its outcome as whoever waits is told it. A field without a value is left out, never null.

use serde::Serialize;
use utoipa::ToSchema;

use crate::clock::UnixMillis;
use crate::otp::record::Otp;
use crate::surface::otp::OtpEntity;
use crate::surface::vocabulary;
use crate::verification::callback::Wording;
use crate::verification::outcome::{OPEN, Outcome};
use crate::verification::record::Verification;

/// What answers and outcomes have in common.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct VerificationCore {
    /// Its id (UUID). It opens nothing without a key.
    #[schema(format = "uuid", example = "0193517a-5c00-7000-8000-0123456789ab")]
    verification_id: String,
    /// Where it stands.
    #[schema(schema_with = vocabulary::verification_state)]
    state: &'static str,
    /// Whether the person gave the right code.
    verified: bool,
    /// The account that owns it.
    #[schema(example = "default")]
    account_id: String,
    /// The application whose settings hold (UUID).
    #[schema(format = "uuid")]
    application_id: String,
    /// Whose number it is about, in E.164 with `+`; left out once the number's retention is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "+4915112345678")]
    number: Option<String>,
    /// The caller's own reference.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    reference_id: Option<String>,
    /// When it was opened (RFC 3339).
    #[schema(format = "date-time")]
    timestamp_created: String,
    /// When its time runs out (RFC 3339).
    #[schema(format = "date-time")]
    timestamp_expire: String,
    /// When it ended (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = "date-time")]
    timestamp_ended: Option<String>,
    /// Its one-time password: as it stands, or as it stood at the end, `EXPIRED` where the verification was cancelled, because its
    /// code is not accepted any more. Left out where none was sent, or where it was deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    otp: Option<OtpEntity>,
}

impl VerificationCore {
    fn of(verification: &Verification, otp: Option<OtpEntity>) -> Self {
        let ended = verification.ended.as_ref();
        let outcome = ended.map(|ended| ended.outcome);
        Self {
            verification_id: verification.id.to_string(),
            state: outcome.map_or(OPEN, Outcome::as_str),
            verified: outcome == Some(Outcome::Verified),
            account_id: verification.account.to_string(),
            application_id: verification.application.to_string(),
            number: verification.number().map(|number| number.as_str().to_owned()),
            reference_id: verification.reference.as_ref().map(|reference| reference.as_str().to_owned()),
            timestamp_created: verification.created.to_rfc3339(),
            timestamp_expire: verification.expires.to_rfc3339(),
            timestamp_ended: ended.map(|ended| ended.at.to_rfc3339()),
            otp,
        }
    }
}

/// A verification.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct VerificationEntity {
    #[serde(flatten)]
    core: VerificationCore,
    /// Messages that may still be sent.
    sends_left: u32,
    /// The address of the page on which the person enters the code: a secret, with which no key is needed. Left out once the
    /// verification ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = "uri", example = "https://otp.example.com/verify/AZNRelwAcACAAAEjRWeJqwA")]
    page_url: Option<String>,
    /// The secret that the call to the callback is signed with (Standard Webhooks): only where it is opened to be waited for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")]
    signing_secret: Option<String>,
}

impl VerificationEntity {
    /// As it stands at `now`, with its one-time password.
    pub(super) fn now(verification: &Verification, otp: Option<&Otp>, page_url: &str, now: UnixMillis) -> Self {
        let at = verification.ended.as_ref().map_or(now, |ended| ended.at);
        Self {
            core: VerificationCore::of(verification, otp.map(|otp| OtpEntity::of(otp, at))),
            sends_left: verification.sends_left(),
            page_url: verification.ended.is_none().then(|| page_url.to_owned()),
            signing_secret: None,
        }
    }

    /// As it was opened. That never changes: who opens it again under the same key is answered the same.
    pub(super) fn opened(verification: &Verification, page_url: &str, signing_secret: Option<String>) -> Self {
        let first = verification.first.sends();
        let begun = Verification { ended: None, sends: first, ..verification.clone() };
        Self {
            core: VerificationCore::of(&begun, None),
            sends_left: begun.sends_left(),
            page_url: Some(page_url.to_owned()),
            signing_secret,
        }
    }
}

/// How a verification ended: what whoever waits for it is told, once, under its id as `webhook-id`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct VerificationOutcome {
    #[serde(flatten)]
    core: VerificationCore,
}

impl VerificationOutcome {
    /// That of a verification that ended. It is always worded the same.
    #[must_use]
    pub fn of(verification: &Verification) -> Self {
        let ended = verification.ended.as_ref();
        let otp = ended.and_then(|ended| Some(OtpEntity::of(ended.otp.as_ref()?, ended.at)));
        Self { core: VerificationCore::of(verification, otp) }
    }
}

/// Words outcomes as the native interface does.
#[derive(Clone, Copy, Debug)]
pub struct Worder;

impl Wording for Worder {
    fn word(&self, verification: &Verification) -> Vec<u8> {
        // Texts, numbers and truth values: writing them cannot fail.
        serde_json::to_vec(&VerificationOutcome::of(verification)).unwrap_or_default()
    }
}
