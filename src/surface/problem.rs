//! The native dialect: RFC 9457 problem documents with a stable `type`, a `code`, and a place for every fault.

use http::{HeaderValue, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use crate::clock::UnixMillis;
use crate::idempotency::MalformedKey;
use crate::layer::refusal::{Dialect, Presented, Refusal, api_key_header};
use crate::layer::trace::Stamp;
use crate::layer::{Request, Response};
use crate::surface::answer::{challenge, retry_after, typed};
use crate::surface::fault::{Fault, Place};
use crate::surface::refusal::{IDEMPOTENCY_KEY, quota_sentence, status, wait, words};
use crate::surface::vocabulary;

/// The media type of RFC 9457.
pub const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");
/// The registered type of an exhausted quota (draft-ietf-httpapi-ratelimit-headers-11).
const QUOTA_EXCEEDED: &str = "https://iana.org/assignments/http-problem-types#quota-exceeded";

/// What is wrong, one code a cause. Codes and types are stable: clients may branch on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProblemCode {
    /// 400: parameters or members are wrong; `errors` names each.
    InvalidRequest,
    /// 401: no API key, or none that is valid.
    Unauthenticated,
    /// 403: the key lacks a scope.
    Forbidden,
    /// 403: messages to the number's country are not offered.
    CountryNotServed,
    /// 403: the number is of a kind that is not sent to, such as premium-rate.
    LineNotServed,
    /// 403: no carrier takes messages to the number on this channel.
    ChannelNotOffered,
    /// 403: today's messages to the country are used up.
    DailyCeiling,
    /// 403: a carrier's receipt is not signed as its carrier signs.
    SignatureInvalid,
    /// 404: no such path.
    NotFound,
    /// 404: no such OTP.
    OtpNotFound,
    /// 404: no such application.
    ApplicationNotFound,
    /// There is no such verification, or it is another account's.
    VerificationNotFound,
    /// 405: the path knows other methods.
    MethodNotAllowed,
    /// 408: the body did not arrive in time.
    BodyTooSlow,
    /// 409: the OTP is final.
    OtpNotActive,
    /// 409: the OTP was resent as often as it may be.
    ResendLimit,
    /// 409, or 429 when it clears within a minute: the number had enough messages for now.
    SendLimit,
    /// 409: the number is locked after too many wrong codes.
    NumberLocked,
    /// 409: the default application stays.
    DefaultApplication,
    /// 409: the account has as many applications as it may have.
    TooManyApplications,
    /// 409: the account has as many subscriptions as it may have.
    TooManySubscriptions,
    /// 413: the body is too large.
    BodyTooLarge,
    /// 414: the address is too long.
    UriTooLong,
    /// 415: the body is not JSON.
    UnsupportedMediaType,
    /// 422: the `Idempotency-Key` belongs to another request.
    IdempotencyKeyReused,
    /// 429: the connection's quota is used up.
    QuotaExceeded,
    /// 429: too many failed authentications from this address.
    TooManyFailures,
    /// 431: the header fields are too many, or too large together.
    HeadersTooLarge,
    /// 500: a fault of the gateway.
    Internal,
    /// 503: the store refuses or does not answer; nothing was done.
    Unavailable,
    /// 503: the store was asked and did not answer; it may have been done.
    Unanswered,
}

impl ProblemCode {
    /// The code as it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::CountryNotServed => "country_not_served",
            Self::LineNotServed => "line_not_served",
            Self::ChannelNotOffered => "channel_not_offered",
            Self::DailyCeiling => "daily_ceiling",
            Self::SignatureInvalid => "signature_invalid",
            Self::NotFound => "not_found",
            Self::OtpNotFound => "otp_not_found",
            Self::ApplicationNotFound => "application_not_found",
            Self::VerificationNotFound => "verification_not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::BodyTooSlow => "body_too_slow",
            Self::OtpNotActive => "otp_not_active",
            Self::ResendLimit => "resend_limit",
            Self::SendLimit => "send_limit",
            Self::NumberLocked => "number_locked",
            Self::DefaultApplication => "default_application",
            Self::TooManyApplications => "too_many_applications",
            Self::TooManySubscriptions => "too_many_subscriptions",
            Self::BodyTooLarge => "body_too_large",
            Self::UriTooLong => "uri_too_long",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::IdempotencyKeyReused => "idempotency_key_reused",
            Self::QuotaExceeded => "quota_exceeded",
            Self::TooManyFailures => "too_many_failures",
            Self::HeadersTooLarge => "headers_too_large",
            Self::Internal => "internal",
            Self::Unavailable => "unavailable",
            Self::Unanswered => "unanswered",
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::InvalidRequest => "The request is not valid",
            Self::Unauthenticated => "A valid API key is required",
            Self::Forbidden => "The API key may not do this",
            Self::CountryNotServed => "The country is not served",
            Self::LineNotServed => "Numbers of this kind are not sent to",
            Self::ChannelNotOffered => "The channel is not offered for this number",
            Self::DailyCeiling => "Today's messages to this country are used up",
            Self::SignatureInvalid => "The signature is not valid",
            Self::NotFound => "There is nothing here",
            Self::OtpNotFound => "There is no such one-time password",
            Self::ApplicationNotFound => "There is no such application",
            Self::VerificationNotFound => "There is no such verification",
            Self::MethodNotAllowed => "The method is not allowed here",
            Self::BodyTooSlow => "The body did not arrive in time",
            Self::OtpNotActive => "The one-time password is no longer active",
            Self::ResendLimit => "The one-time password was resent often enough",
            Self::SendLimit => "The number had enough messages for now",
            Self::NumberLocked => "The number is locked",
            Self::DefaultApplication => "The default application stays",
            Self::TooManyApplications => "The account has enough applications",
            Self::TooManySubscriptions => "The account has enough subscriptions",
            Self::BodyTooLarge => "The body is too large",
            Self::UriTooLong => "The address is too long",
            Self::UnsupportedMediaType => "The body must be JSON",
            Self::IdempotencyKeyReused => "The idempotency key belongs to another request",
            Self::QuotaExceeded => "The quota is exceeded",
            Self::TooManyFailures => "Too many failed authentications",
            Self::HeadersTooLarge => "The header fields are too large",
            Self::Internal => "Internal error",
            Self::Unavailable => "Temporarily unavailable",
            Self::Unanswered => "It may have been done",
        }
    }
}

/// One fault of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ProblemFault {
    /// JSON pointer (RFC 6901) into the body; empty for the whole of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pointer: Option<String>,
    /// Name of a query parameter, or of a header field.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    parameter: Option<String>,
    /// What would be right.
    detail: String,
}

impl From<Fault> for ProblemFault {
    fn from(fault: Fault) -> Self {
        let (pointer, parameter) = match fault.at {
            Place::Pointer(pointer) => (Some(pointer), None),
            Place::Parameter(name) => (None, Some(name)),
        };
        Self { pointer, parameter, detail: fault.detail }
    }
}

/// A problem document (RFC 9457).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// A stable address that names the problem.
    #[serde(rename = "type")]
    #[schema(example = "urn:otpgate:problem:invalid_request")]
    kind: String,
    /// The problem in a few words.
    title: &'static str,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599, example = 400)]
    status: u16,
    /// The problem's stable code.
    code: ProblemCode,
    /// What is wrong here, and what would be right.
    detail: String,
    /// Each fault with its place.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<ProblemFault>,
    /// When the next message to this number may be sent (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = "date-time")]
    next_send_at: Option<String>,
    /// Where the one-time password stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = vocabulary::status)]
    otp_status: Option<&'static str>,
    /// The status again, as Azure API Management writes it when a quota is exceeded.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    status_code: Option<u16>,
    /// The sentence that Azure API Management writes when a quota is exceeded.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    message: Option<String>,
    /// The id of the request, as in `x-request-id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    request_id: Option<String>,
    #[serde(skip)]
    retry_after: Option<u64>,
}

impl Problem {
    /// A problem with these words.
    #[must_use]
    pub fn new(status: StatusCode, code: ProblemCode, detail: impl Into<String>) -> Self {
        let kind = match code {
            ProblemCode::QuotaExceeded => QUOTA_EXCEEDED.to_owned(),
            code => format!("urn:otpgate:problem:{}", code.as_str()),
        };
        Self {
            kind,
            title: code.title(),
            status: status.as_u16(),
            code,
            detail: detail.into(),
            errors: Vec::new(),
            next_send_at: None,
            otp_status: None,
            status_code: None,
            message: None,
            request_id: None,
            retry_after: None,
        }
    }

    /// A 400 that names each fault.
    #[must_use]
    pub fn invalid(faults: Vec<Fault>) -> Self {
        let named: Vec<_> = faults.iter().map(|fault| format!("{} {}", fault.name(), fault.detail)).collect();
        let mut problem = Self::new(StatusCode::BAD_REQUEST, ProblemCode::InvalidRequest, named.join("; "));
        problem.errors = faults.into_iter().map(ProblemFault::from).collect();
        problem
    }

    /// Adds the instant from which on a message may be sent.
    #[must_use]
    pub fn next_send_at(mut self, at: UnixMillis) -> Self {
        self.next_send_at = Some(at.to_rfc3339());
        self
    }

    /// Adds where the OTP stands.
    #[must_use]
    pub const fn otp_status(mut self, status: &'static str) -> Self {
        self.otp_status = Some(status);
        self
    }

    /// Adds `Retry-After`.
    #[must_use]
    pub const fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// The answer to the request of `stamp`.
    #[must_use]
    pub fn answer(mut self, stamp: Stamp) -> Response {
        self.request_id = Some(stamp.id.to_string());
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let response = typed(status, PROBLEM_JSON, &self);
        let response = if status == StatusCode::UNAUTHORIZED { challenge(response) } else { response };
        match self.retry_after {
            Some(seconds) => retry_after(response, seconds),
            None => response,
        }
    }
}

/// The native dialect.
pub struct Native;

impl Dialect for Native {
    fn name(&self) -> &'static str {
        "native"
    }

    fn credential<'r>(&self, request: &'r Request) -> Presented<'r> {
        api_key_header(request)
    }

    fn refuse(&self, refusal: &Refusal, stamp: Stamp) -> Response {
        let code = match refusal {
            Refusal::Unauthenticated(_) => ProblemCode::Unauthenticated,
            Refusal::Guarded { .. } => ProblemCode::TooManyFailures,
            Refusal::OverQuota { .. } => ProblemCode::QuotaExceeded,
            Refusal::Forbidden(_) => ProblemCode::Forbidden,
            Refusal::NotFound => ProblemCode::NotFound,
            Refusal::MethodNotAllowed => ProblemCode::MethodNotAllowed,
            Refusal::UriTooLong(_) => ProblemCode::UriTooLong,
            Refusal::FieldsTooLarge { .. } => ProblemCode::HeadersTooLarge,
            Refusal::MalformedHead { name, detail } => {
                let at = Place::Parameter((*name).to_owned());
                return Problem::invalid(vec![Fault { at, detail: (*detail).to_owned() }]).answer(stamp);
            }
            Refusal::BodyTooLarge(_) => ProblemCode::BodyTooLarge,
            Refusal::BodyTooSlow => ProblemCode::BodyTooSlow,
            Refusal::BodyUnreadable => ProblemCode::InvalidRequest,
            Refusal::UnsupportedMediaType => ProblemCode::UnsupportedMediaType,
            Refusal::MalformedIdempotencyKey => {
                let at = Place::Parameter(IDEMPOTENCY_KEY.to_owned());
                return Problem::invalid(vec![Fault { at, detail: format!("must be {MalformedKey}") }]).answer(stamp);
            }
            Refusal::ReusedIdempotencyKey => ProblemCode::IdempotencyKeyReused,
            Refusal::Unavailable { .. } => ProblemCode::Unavailable,
            Refusal::Unanswered { .. } => ProblemCode::Unanswered,
            Refusal::Internal => ProblemCode::Internal,
        };
        let mut problem = Problem::new(status(refusal), code, words(refusal));
        problem.retry_after = wait(refusal);
        if let Refusal::OverQuota { retry_after } = refusal {
            problem.status_code = Some(problem.status);
            problem.message = Some(quota_sentence(*retry_after));
        }
        problem.answer(stamp)
    }
}
