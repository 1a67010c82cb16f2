//! Errors as Unimatrix words them: a `code` (a string of six digits), a `message` that names it, and beside them a `detail`
//! in a sentence. One code a cause; `docs/migrate-from-unimatrix.md` lists them.
//!
//! 104001 is Unimatrix' own; the others continue its family.

use http::header::ALLOW;
use http::{HeaderName, HeaderValue, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use crate::clock::UnixMillis;
use crate::layer::refusal::{Dialect, Flaw, Presented, Refusal};
use crate::layer::trace::Stamp;
use crate::layer::{Request, Response};
use crate::otp::command::SendRefusal;
use crate::surface::answer::{challenge_by, json, retry_after};
use crate::surface::fault::{Fault, Place};
use crate::surface::refusal::{quota_sentence, status, wait, words};
use crate::surface::unimatrix::signature;

/// On every answer of the dialect; the same as `x-request-id`.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-uni-request-id");
/// The challenge of a 401 (RFC 9110 section 11.6.1).
const CHALLENGE: HeaderValue = HeaderValue::from_static("HMAC-SHA256 realm=\"otpgate\", parameter=\"signature\"");

/// An error of the dialect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct UnimatrixError {
    /// One code a cause.
    #[schema(example = "104001")]
    code: String,
    /// The name of the code; over quota the sentence that clients read the wait out of.
    #[schema(example = "MissingParams")]
    message: String,
    /// What is wrong here, and what would be right.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    detail: Option<String>,
    /// When the next message to this number may be sent (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next_send_at: Option<String>,
}

macro_rules! causes {
    ($($(#[$doc:meta])* $cause:ident = $code:literal,)+) => {
        /// Every cause, by its code. Its name is what `message` says.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Cause {
            $($(#[$doc])* $cause = $code,)+
        }

        impl Cause {
            #[cfg(test)]
            pub(super) const ALL: &[Self] = &[$(Self::$cause,)+];

            /// What `message` says.
            pub(super) const fn name(self) -> &'static str {
                match self {
                    $(Self::$cause => stringify!($cause),)+
                }
            }
        }
    };
}

causes! {
    /// A required parameter is missing.
    MissingParams = 104_001,
    /// A parameter is not what its table allows.
    InvalidParams = 104_002,
    /// The body is no JSON object.
    InvalidJson = 104_003,
    /// There is no action.
    MissingAction = 104_004,
    /// There is no such action.
    InvalidAction = 104_005,
    /// No provider offers the channel.
    ChannelUnavailable = 104_006,
    /// Messages to the number's country are not offered.
    CountryNotServed = 104_007,
    /// The number had enough messages for now.
    SendLimitReached = 104_008,
    /// The number is locked after too many wrong codes.
    NumberLocked = 104_009,
    /// The account's messages to the country are used up for today.
    DailyLimitReached = 104_010,
    /// The `Idempotency-Key` is not one.
    InvalidIdempotencyKey = 104_011,
    /// The `Idempotency-Key` came with another request before.
    IdempotencyKeyReused = 104_012,
    /// The number is of a kind that is not sent to, such as premium-rate.
    LineNotServed = 104_013,
    /// There is no access key id.
    MissingAccessKey = 104_101,
    /// The access key id or its signature opens nothing.
    InvalidSignature = 104_102,
    /// The timestamp is more than 10 minutes from the present.
    InvalidTimestamp = 104_103,
    /// The nonce was used before.
    NonceUsed = 104_104,
    /// The key may not do this.
    Forbidden = 104_105,
    /// There is nothing here.
    NotFound = 104_201,
    /// Another method than POST.
    MethodNotAllowed = 104_202,
    /// The address is too long.
    AddressTooLong = 104_203,
    /// The body is too large.
    BodyTooLarge = 104_204,
    /// The body did not arrive in time, or broke off.
    BodyIncomplete = 104_205,
    /// The body is of another media type.
    UnsupportedMediaType = 104_206,
    /// The header fields are too many, or too large together.
    HeadersTooLarge = 104_207,
    /// A header field that every request has to have, as Host, is missing or wrong.
    MalformedHead = 104_208,
    /// The quota is used up.
    RateLimitExceeded = 104_301,
    /// Too many failed authentications from this address.
    TooManyFailures = 104_302,
    /// A fault of the gateway.
    InternalError = 105_001,
    /// Temporarily unavailable; nothing was done.
    ServiceUnavailable = 105_002,
    /// The store did not answer; it may have been done.
    ServiceUnanswered = 105_003,
}

/// An error in full.
struct Wording {
    status: StatusCode,
    cause: Cause,
    message: Option<String>,
    detail: Option<String>,
    next: Option<UnixMillis>,
}

impl Wording {
    fn answer(self) -> Response {
        let error = UnimatrixError {
            code: (self.cause as u32).to_string(),
            message: self.message.unwrap_or_else(|| self.cause.name().to_owned()),
            detail: self.detail,
            next_send_at: self.next.map(UnixMillis::to_rfc3339),
        };
        json(self.status, &error)
    }
}

/// A 400 with its words.
pub(super) fn bad_request(cause: Cause, detail: impl Into<String>) -> Response {
    refused(StatusCode::BAD_REQUEST, cause, detail.into(), None)
}

fn refused(status: StatusCode, cause: Cause, detail: String, next: Option<UnixMillis>) -> Response {
    Wording { status, cause, message: None, detail: Some(detail), next }.answer()
}

/// A 400 for faulty parameters: missing ones first, because nothing else can be said of them.
pub(super) fn invalid(faults: &[Fault]) -> Response {
    let whole = |fault: &Fault| matches!(&fault.at, Place::Pointer(pointer) if pointer.is_empty());
    let cause = if faults.iter().any(whole) {
        Cause::InvalidJson
    } else if faults.iter().any(Fault::is_absence) {
        Cause::MissingParams
    } else {
        Cause::InvalidParams
    };
    let named: Vec<_> = faults.iter().map(|fault| format!("{} {}", fault.name(), fault.detail)).collect();
    bad_request(cause, named.join("; "))
}

/// A send that may not leave. 429 only where a retry within a minute succeeds; else 400, which no client repeats.
pub(super) fn send_refused(refusal: &SendRefusal, now: UnixMillis) -> Response {
    let bad = |cause, detail: String, next| refused(StatusCode::BAD_REQUEST, cause, detail, next);
    match *refusal {
        SendRefusal::UnknownApplication => {
            bad_request(Cause::InvalidParams, "templateId names no application of this account")
        }
        SendRefusal::CountryNotServed => {
            bad_request(Cause::CountryNotServed, "Messages to the number's country are not offered.")
        }
        SendRefusal::ContextNeeded => bad_request(
            Cause::InvalidParams,
            "The template names an amount or a payee, which this interface cannot carry.",
        ),
        SendRefusal::LineNotServed(line) => {
            bad_request(Cause::LineNotServed, format!("to is {}; such numbers are not sent to.", line.words()))
        }
        SendRefusal::ChannelNotOffered(channel) => {
            let detail = format!("No carrier here takes {} messages to this number.", channel.as_str());
            bad_request(Cause::ChannelUnavailable, detail)
        }
        SendRefusal::TooManySends(next) => {
            let detail = format!("The next message to this number may be sent at {}.", next.to_rfc3339());
            let millis = next.since(now).as_millis();
            if millis > 60_000 {
                return bad(Cause::SendLimitReached, detail, Some(next));
            }
            let seconds = u64::try_from(millis.div_ceil(1_000)).unwrap_or(60).max(1);
            let response = refused(StatusCode::TOO_MANY_REQUESTS, Cause::SendLimitReached, detail, Some(next));
            retry_after(response, seconds)
        }
        SendRefusal::Locked(until) => {
            let detail = format!("Too many wrong codes in a row; the number is locked until {}.", until.to_rfc3339());
            bad(Cause::NumberLocked, detail, Some(until))
        }
        SendRefusal::CeilingReached(next) => {
            let detail = format!("The account's messages to this country are used up until {}.", next.to_rfc3339());
            bad(Cause::DailyLimitReached, detail, Some(next))
        }
        SendRefusal::TooManyResends => bad_request(Cause::SendLimitReached, "It was sent often enough."),
    }
}

/// The dialect.
pub struct Unimatrix;

impl Dialect for Unimatrix {
    fn name(&self) -> &'static str {
        "unimatrix"
    }

    fn credential<'r>(&self, request: &'r Request) -> Presented<'r> {
        signature::presented(request.uri().query().unwrap_or_default())
    }

    fn request_id(&self) -> Option<HeaderName> {
        Some(REQUEST_ID)
    }

    fn refuse(&self, refusal: &Refusal, _stamp: Stamp) -> Response {
        let flaw = match refusal {
            Refusal::Unauthenticated(flaw) => Some(*flaw),
            _ => None,
        };
        let cause = match refusal {
            Refusal::Unauthenticated(Flaw::Missing) => Cause::MissingAccessKey,
            Refusal::Unauthenticated(Flaw::Wrong) => Cause::InvalidSignature,
            Refusal::Unauthenticated(Flaw::Stale) => Cause::InvalidTimestamp,
            Refusal::Unauthenticated(Flaw::Replayed) => Cause::NonceUsed,
            Refusal::Guarded { .. } => Cause::TooManyFailures,
            Refusal::OverQuota { .. } => Cause::RateLimitExceeded,
            Refusal::Forbidden(_) => Cause::Forbidden,
            Refusal::NotFound => Cause::NotFound,
            Refusal::MethodNotAllowed => Cause::MethodNotAllowed,
            Refusal::UriTooLong(_) => Cause::AddressTooLong,
            Refusal::FieldsTooLarge { .. } => Cause::HeadersTooLarge,
            Refusal::MalformedHead { .. } => Cause::MalformedHead,
            Refusal::BodyTooLarge(_) => Cause::BodyTooLarge,
            Refusal::BodyTooSlow | Refusal::BodyUnreadable => Cause::BodyIncomplete,
            Refusal::UnsupportedMediaType => Cause::UnsupportedMediaType,
            Refusal::MalformedIdempotencyKey => Cause::InvalidIdempotencyKey,
            Refusal::ReusedIdempotencyKey => Cause::IdempotencyKeyReused,
            Refusal::Unavailable { .. } => Cause::ServiceUnavailable,
            Refusal::Unanswered { .. } => Cause::ServiceUnanswered,
            Refusal::Internal => Cause::InternalError,
        };
        let message = match refusal {
            Refusal::OverQuota { retry_after } => Some(quota_sentence(*retry_after)),
            _ => None,
        };
        let detail = flaw.map_or_else(|| words(refusal), |flaw| sentence(flaw).to_owned());
        let mut response =
            Wording { status: status(refusal), cause, message, detail: Some(detail), next: None }.answer();
        if flaw.is_some() {
            response = challenge_by(response, CHALLENGE);
        }
        if *refusal == Refusal::MethodNotAllowed {
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
        }
        match wait(refusal) {
            Some(seconds) => retry_after(response, seconds),
            None => response,
        }
    }
}

const fn sentence(flaw: Flaw) -> &'static str {
    match flaw {
        Flaw::Missing => "Send the access key id as accessKeyId in the query, and sign the call.",
        Flaw::Wrong => {
            "No access key opens with this: check accessKeyId, algorithm (hmac-sha256), timestamp, nonce (8 to 64 characters) \
             and signature; an access key serves unsigned only where its operator allows it."
        }
        Flaw::Stale => "The timestamp must be within 10 minutes of the gateway's clock.",
        Flaw::Replayed => "A nonce serves once: draw another one and sign again.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_is_in_the_table_of_the_migration_page() {
        let page = include_str!("../../../docs/migrate-from-unimatrix.md");
        let rows: Vec<_> = page.lines().filter(|line| line.starts_with("| 10")).collect();
        assert_eq!(rows.len(), Cause::ALL.len());
        for cause in Cause::ALL {
            let begins = format!("| {} | {} |", *cause as u32, cause.name());
            assert_eq!(rows.iter().filter(|row| row.starts_with(&begins)).count(), 1, "{begins}");
        }
    }
}
