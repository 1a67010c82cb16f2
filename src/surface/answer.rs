//! Answers in JSON, compact, never cached; and those that are kept to be given again.

use std::borrow::Cow;

use axum::body::Body;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, StatusCode};
use serde::Serialize;

use crate::idempotency::Answer;
use crate::layer::Response;

/// The media type of every answer but problems and pages.
pub const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// `value` as JSON.
#[must_use]
pub fn json<T: Serialize + ?Sized>(status: StatusCode, value: &T) -> Response {
    typed(status, JSON, value)
}

/// `value` as JSON of another media type.
#[must_use]
pub fn typed<T: Serialize + ?Sized>(status: StatusCode, media_type: HeaderValue, value: &T) -> Response {
    match serde_json::to_vec(value) {
        Ok(bytes) => bytes_of(status, media_type, bytes),
        Err(error) => {
            tracing::error!(%error, "an answer could not be written as JSON");
            empty(StatusCode::INTERNAL_SERVER_ERROR)
        }
    }
}

/// `value` as JSON, in the form that can be kept.
#[must_use]
pub fn kept_json<T: Serialize + ?Sized>(status: StatusCode, value: &T) -> Answer {
    // The entities are texts, numbers and truth values: writing them cannot fail.
    let body = serde_json::to_vec(value).unwrap_or_default();
    Answer { status: status.as_u16(), media_type: Cow::Borrowed("application/json"), body: body.into() }
}

/// The answer, given.
#[must_use]
pub fn given(answer: Answer) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let media_type = match answer.media_type {
        Cow::Borrowed("") => return empty(status),
        Cow::Borrowed(name) => HeaderValue::from_static(name),
        Cow::Owned(name) => HeaderValue::try_from(name).unwrap_or(JSON),
    };
    bytes_of(status, media_type, answer.body)
}

/// Bytes of a media type.
#[must_use]
pub fn bytes_of(status: StatusCode, media_type: HeaderValue, bytes: impl Into<Body>) -> Response {
    let mut response = Response::new(bytes.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, media_type);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// No body.
#[must_use]
pub fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Adds `Retry-After` in whole seconds (RFC 9110 section 10.2.3).
#[must_use]
pub fn retry_after(response: Response, seconds: u64) -> Response {
    with(response, RETRY_AFTER, &seconds.to_string())
}

/// Adds the challenge of RFC 9110 section 11.6.1, which a 401 must have.
#[must_use]
pub fn challenge(response: Response) -> Response {
    with(response, WWW_AUTHENTICATE, "ApiKey realm=\"otpgate\", header=\"apikey\"")
}

/// Adds another challenge than [`challenge`]: for dialects that take no API key.
#[must_use]
pub fn challenge_by(mut response: Response, value: HeaderValue) -> Response {
    response.headers_mut().insert(WWW_AUTHENTICATE, value);
    response
}

fn with(mut response: Response, name: HeaderName, value: &str) -> Response {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
    response
}
