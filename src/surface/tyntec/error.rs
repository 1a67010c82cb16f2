//! Errors as tyntec words them: `message`, `code` (a string of digits), `timestamp`, `id`. One code a cause, documented here.
//!
//! 1006, 1008 and 1017 are tyntec's own; the others continue its numbers.

use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::clock::UnixMillis;
use crate::layer::refusal::{Dialect, Presented, Refusal, api_key_header};
use crate::layer::trace::Stamp;
use crate::layer::{Request, Response};
use crate::otp::catalogue::CatalogueError;
use crate::otp::command::SendRefusal;
use crate::surface::answer::{challenge, json, retry_after};
use crate::surface::extract::Call;
use crate::surface::fault::Fault;
use crate::surface::refusal::{status, store_refusal, wait, words};

/// An error of the dialect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct TyntecError {
    /// What is wrong, and what would be right.
    message: String,
    /// One code a cause.
    #[schema(example = "1006")]
    code: String,
    /// When, in milliseconds since 1970.
    #[schema(format = "int64")]
    timestamp: u64,
    /// The id of the request, as in `x-request-id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    id: Option<String>,
    /// When the next message to this number may be sent (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next_send_at: Option<String>,
}

/// The causes that are no fault of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// 1101: no valid API key.
    Unauthenticated = 1101,
    /// 1102: too many failed authentications from this address.
    Guarded = 1102,
    /// 1103: the quota is used up.
    OverQuota = 1103,
    /// 1104: the key lacks a scope.
    Forbidden = 1104,
    /// 1201: no such OTP.
    UnknownOtp = 1201,
    /// 1202: no such application, or it was deleted.
    UnknownApplication = 1202,
    /// 1203: the OTP is final.
    NotActive = 1203,
    /// 1204: the default application stays.
    DefaultApplication = 1204,
    /// 1205: the account has enough applications.
    TooManyApplications = 1205,
    /// 1206: the application has no such template.
    UnknownTemplate = 1206,
    /// 1207: the application has enough templates.
    TooManyTemplates = 1207,
    /// 1301: the country is not served.
    CountryNotServed = 1301,
    /// 1302: the number had enough messages for now.
    SendLimit = 1302,
    /// 1303: the number is locked.
    NumberLocked = 1303,
    /// 1304: today's messages to the country are used up.
    DailyCeiling = 1304,
    /// 1305: the OTP was resent often enough.
    ResendLimit = 1305,
    /// 1306: the number is of a kind that is not sent to.
    LineNotServed = 1306,
    /// 1307: no carrier takes messages to the number on this channel.
    ChannelNotOffered = 1307,
    /// 1308: the text or the code needs an amount and a payee, which this dialect cannot name.
    ContextNeeded = 1308,
    /// 1401: no such path.
    NotFound = 1401,
    /// 1402: the path knows other methods.
    MethodNotAllowed = 1402,
    /// 1403: too large, too slow, or not what HTTP allows.
    Transport = 1403,
    /// 1404: the `Idempotency-Key` is not one, or belongs to another request.
    IdempotencyKey = 1404,
    /// 1500: a fault of the gateway.
    Internal = 1500,
    /// 1501: temporarily unavailable; nothing was done.
    Unavailable = 1501,
    /// 1502: the store did not answer; it may have been done.
    Unanswered = 1502,
}

/// The code of a faulty parameter.
fn parameter_code(fault: &Fault) -> u32 {
    match fault.name() {
        "number" => 1002,
        "country" => 1003,
        "via" => 1004,
        "applicationId" => 1005,
        "pinLength" => 1006,
        "attempts" => 1007,
        "expire" => 1008,
        "text" => 1009,
        "language" => 1010,
        "otpCode" => 1011,
        "sender" => 1012,
        "caller" => 1013,
        "referenceId" => 1014,
        "name" if fault.detail.contains("reserved") => 1017,
        "name" => 1015,
        "channel" => 1016,
        name if name == "template" || name.starts_with("template/") => 1018,
        "alphaNumeric" | "deleteCaller" => 1019,
        _ => 1000,
    }
}

fn body(status: StatusCode, code: u32, message: String, stamp: Stamp, next: Option<UnixMillis>) -> Response {
    let error = TyntecError {
        message,
        code: code.to_string(),
        timestamp: stamp.at.0,
        id: Some(stamp.id.to_string()),
        next_send_at: next.map(UnixMillis::to_rfc3339),
    };
    json(status, &error)
}

fn stamp(call: &Call) -> Stamp {
    Stamp::of(&call.head.extensions)
}

/// A 400 for faulty parameters; its code is that of the first.
pub(super) fn invalid(call: &Call, faults: &[Fault]) -> Response {
    let named: Vec<_> = faults.iter().map(|fault| format!("{} {}", fault.name(), fault.detail)).collect();
    let code = faults.first().map_or(1000, parameter_code);
    body(StatusCode::BAD_REQUEST, code, named.join("; "), stamp(call), None)
}

/// An error with its words.
pub(super) fn error(call: &Call, status: StatusCode, cause: Cause, message: &str) -> Response {
    body(status, cause as u32, message.to_owned(), stamp(call), None)
}

/// The 404 of an id that names no OTP of the account.
pub(super) fn unknown_otp(call: &Call) -> Response {
    error(call, StatusCode::NOT_FOUND, Cause::UnknownOtp, "No one-time password of this account has this id.")
}

/// The 404 of an application that is not there.
pub(super) fn unknown_application(call: &Call) -> Response {
    error(call, StatusCode::NOT_FOUND, Cause::UnknownApplication, "No application of this account has this id.")
}

/// The 400 of a check of a code that is bound to a payment, which this dialect cannot name.
pub(super) fn needs_context(call: &Call) -> Response {
    let message = "The code was sent for an amount and a payee; check it at /v1/otp/{otpID}/verify, which names them.";
    error(call, StatusCode::BAD_REQUEST, Cause::ContextNeeded, message)
}

/// A send that may not leave. 429 only where a retry within a minute succeeds; else 400, which no platform retries.
pub(super) fn send_refused(call: &Call, refusal: &SendRefusal, now: UnixMillis) -> Response {
    let id = stamp(call);
    let bad = |cause: Cause, message: String, next| body(StatusCode::BAD_REQUEST, cause as u32, message, id, next);
    match *refusal {
        SendRefusal::UnknownApplication => body(
            StatusCode::BAD_REQUEST,
            1005,
            "applicationId names no application of this account".to_owned(),
            id,
            None,
        ),
        SendRefusal::CountryNotServed => {
            bad(Cause::CountryNotServed, "Messages to the number's country are not offered.".to_owned(), None)
        }
        SendRefusal::ContextNeeded => {
            let message = "The application's text names {{AMOUNT}} or {{PAYEE}}; send at /v1/otp, with a context.";
            bad(Cause::ContextNeeded, message.to_owned(), None)
        }
        SendRefusal::LineNotServed(line) => {
            bad(Cause::LineNotServed, format!("number is {}; such numbers are not sent to.", line.words()), None)
        }
        SendRefusal::ChannelNotOffered(channel) => {
            let message = format!("No carrier here takes {} messages to this number.", channel.as_str());
            bad(Cause::ChannelNotOffered, message, None)
        }
        SendRefusal::TooManySends(next) => {
            let message = format!("The next message to this number may be sent at {}.", next.to_rfc3339());
            let millis = next.since(now).as_millis();
            if millis > 60_000 {
                return bad(Cause::SendLimit, message, Some(next));
            }
            let seconds = u64::try_from(millis.div_ceil(1_000)).unwrap_or(60).max(1);
            let response = body(StatusCode::TOO_MANY_REQUESTS, Cause::SendLimit as u32, message, id, Some(next));
            retry_after(response, seconds)
        }
        SendRefusal::Locked(until) => {
            let message = format!("Too many wrong codes in a row; the number is locked until {}.", until.to_rfc3339());
            bad(Cause::NumberLocked, message, Some(until))
        }
        SendRefusal::CeilingReached(next) => {
            let message = format!("The account's messages to this country are used up until {}.", next.to_rfc3339());
            bad(Cause::DailyCeiling, message, Some(next))
        }
        SendRefusal::TooManyResends => {
            bad(Cause::ResendLimit, "It was resent often enough; send a new one.".to_owned(), None)
        }
    }
}

/// An application that was not written.
pub(super) fn catalogue_refused(call: &Call, refusal: CatalogueError) -> Response {
    match refusal {
        CatalogueError::Unknown => unknown_application(call),
        CatalogueError::TooMany => {
            let message = "An account has at most 1000 applications; delete one.";
            error(call, StatusCode::BAD_REQUEST, Cause::TooManyApplications, message)
        }
        CatalogueError::Default => {
            let message = "The default application cannot be deleted or renamed.";
            error(call, StatusCode::BAD_REQUEST, Cause::DefaultApplication, message)
        }
        CatalogueError::TooManyTemplates => {
            let message = "An application has at most 400 templates; drop one.";
            error(call, StatusCode::BAD_REQUEST, Cause::TooManyTemplates, message)
        }
        CatalogueError::Store(error) => call.refuse(&store_refusal(error, 1)),
    }
}

/// The dialect.
pub struct Tyntec;

impl Dialect for Tyntec {
    fn name(&self) -> &'static str {
        "tyntec"
    }

    fn credential<'r>(&self, request: &'r Request) -> Presented<'r> {
        api_key_header(request)
    }

    fn refuse(&self, refusal: &Refusal, stamp: Stamp) -> Response {
        let cause = match refusal {
            Refusal::Unauthenticated(_) => Cause::Unauthenticated,
            Refusal::Guarded { .. } => Cause::Guarded,
            Refusal::OverQuota { .. } => Cause::OverQuota,
            Refusal::Forbidden(_) => Cause::Forbidden,
            Refusal::NotFound => Cause::NotFound,
            Refusal::MethodNotAllowed => Cause::MethodNotAllowed,
            Refusal::UriTooLong(_)
            | Refusal::FieldsTooLarge { .. }
            | Refusal::MalformedHead { .. }
            | Refusal::BodyTooLarge(_)
            | Refusal::BodyTooSlow
            | Refusal::BodyUnreadable
            | Refusal::UnsupportedMediaType => Cause::Transport,
            Refusal::MalformedIdempotencyKey | Refusal::ReusedIdempotencyKey => Cause::IdempotencyKey,
            Refusal::Unavailable { .. } => Cause::Unavailable,
            Refusal::Unanswered { .. } => Cause::Unanswered,
            Refusal::Internal => Cause::Internal,
        };
        let response = body(status(refusal), cause as u32, words(refusal), stamp, None);
        let response = if matches!(refusal, Refusal::Unauthenticated(_)) { challenge(response) } else { response };
        match wait(refusal) {
            Some(seconds) => retry_after(response, seconds),
            None => response,
        }
    }
}
