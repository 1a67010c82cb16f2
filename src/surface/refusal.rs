//! What every dialect says of a refusal, each in its own frame: its status, its wait, its words. Must not know a dialect.

use http::StatusCode;

use crate::access::scope::Scope;
use crate::idempotency::MalformedKey;
use crate::layer::refusal::Refusal;
use crate::otp::store::StoreError;

/// The header, as it is written.
pub const IDEMPOTENCY_KEY: &str = "Idempotency-Key";

/// The sentence that Azure API Management writes; clients in the wild read the number out of it.
#[must_use]
pub fn quota_sentence(seconds: u64) -> String {
    format!("Rate limit is exceeded. Try again in {seconds} seconds.")
}

/// What a scope lets its holder do, for the 403.
#[must_use]
pub fn scope_sentence(scope: Scope) -> String {
    format!("This needs an API key with the scope {}; make one with: otpgate key create --scopes …", scope.name())
}

/// A refusal in words: shared by all dialects, each in its own frame.
#[must_use]
pub fn words(refusal: &Refusal) -> String {
    match refusal {
        Refusal::Unauthenticated(_) => "Send a valid API key in the header apikey.".to_owned(),
        Refusal::Guarded { retry_after } => {
            format!("Too many failed authentications from this address. Try again in {retry_after} seconds.")
        }
        Refusal::OverQuota { retry_after } => quota_sentence(*retry_after),
        Refusal::Forbidden(scope) => scope_sentence(*scope),
        Refusal::NotFound => "No operation has this path; /openapi.json lists all of them.".to_owned(),
        Refusal::MethodNotAllowed => "The header Allow names the methods of this path.".to_owned(),
        Refusal::UriTooLong(limit) => format!("The path and query may have at most {limit} bytes."),
        Refusal::FieldsTooLarge { fields, bytes } => {
            format!("The header fields may be at most {fields} and have at most {bytes} bytes.")
        }
        Refusal::MalformedHead { name, detail } => format!("{name} {detail}."),
        Refusal::BodyTooLarge(limit) => format!("The body may have at most {limit} bytes."),
        Refusal::BodyTooSlow => "The body did not arrive in time.".to_owned(),
        Refusal::BodyUnreadable => "The body broke off or is not framed by the rules of HTTP.".to_owned(),
        Refusal::UnsupportedMediaType => "Send the body as JSON, with Content-Type: application/json.".to_owned(),
        Refusal::MalformedIdempotencyKey => format!("{IDEMPOTENCY_KEY} must be {MalformedKey}"),
        Refusal::ReusedIdempotencyKey => {
            format!("This {IDEMPOTENCY_KEY} came with another request before; use a new one for a new request.")
        }
        Refusal::Unavailable { .. } => {
            "The store refuses writes or does not answer; nothing was done. Try again.".to_owned()
        }
        Refusal::Unanswered { .. } => format!(
            "The store did not answer; it may have been done. Send the same request with the same {IDEMPOTENCY_KEY} again: it \
             is done once. Without one a message may go out twice, and a right code that is used up is right no more: ask for \
             the status first."
        ),
        Refusal::Internal => "The fault is the gateway's; its log has this request's id.".to_owned(),
    }
}

/// What a call is refused with because of its store: it says whether anything may have been done.
#[must_use]
pub const fn store_refusal(error: StoreError, retry_after: u64) -> Refusal {
    match error {
        StoreError::Full | StoreError::Unavailable | StoreError::NotAdmitted => Refusal::Unavailable { retry_after },
        StoreError::Unanswered | StoreError::Failed => Refusal::Unanswered { retry_after },
    }
}

/// The HTTP status of a refusal, in every dialect that does not say otherwise.
#[must_use]
pub const fn status(refusal: &Refusal) -> StatusCode {
    match refusal {
        Refusal::Unauthenticated(_) => StatusCode::UNAUTHORIZED,
        Refusal::Guarded { .. } | Refusal::OverQuota { .. } => StatusCode::TOO_MANY_REQUESTS,
        Refusal::Forbidden(_) => StatusCode::FORBIDDEN,
        Refusal::NotFound => StatusCode::NOT_FOUND,
        Refusal::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        Refusal::UriTooLong(_) => StatusCode::URI_TOO_LONG,
        Refusal::FieldsTooLarge { .. } => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        Refusal::MalformedHead { .. } => StatusCode::BAD_REQUEST,
        Refusal::BodyTooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
        Refusal::BodyTooSlow => StatusCode::REQUEST_TIMEOUT,
        Refusal::BodyUnreadable => StatusCode::BAD_REQUEST,
        Refusal::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Refusal::MalformedIdempotencyKey => StatusCode::BAD_REQUEST,
        Refusal::ReusedIdempotencyKey => StatusCode::UNPROCESSABLE_ENTITY,
        Refusal::Unavailable { .. } | Refusal::Unanswered { .. } => StatusCode::SERVICE_UNAVAILABLE,
        Refusal::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The wait that a refusal names, in whole seconds.
#[must_use]
pub const fn wait(refusal: &Refusal) -> Option<u64> {
    match refusal {
        Refusal::Guarded { retry_after }
        | Refusal::OverQuota { retry_after }
        | Refusal::Unavailable { retry_after }
        | Refusal::Unanswered { retry_after } => Some(*retry_after),
        _ => None,
    }
}
