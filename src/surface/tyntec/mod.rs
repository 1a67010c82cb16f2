//! tyntec's 2FA API, `/2fa/v1`: fourteen operations that take everything from the query string.
//!
//! The contract's facts are its users' expectations: names in any case, `+` as a space, a code that lost its leading zeros,
//! 401 for a wrong code. What they mean is decided by the domain.

mod application;
mod entity;
mod error;
mod otp;

use http::Method;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::idempotency::Operation;
use crate::surface::otp::Api;

pub use error::Tyntec;

/// Where the dialect is spoken.
pub const PREFIX: &str = "/2fa/";

/// The routes of the dialect.
#[must_use]
pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(otp::send, otp::list))
        .routes(routes!(otp::status, otp::resend, otp::delete))
        .routes(routes!(otp::check))
        .routes(routes!(otp::events))
        .routes(routes!(application::list, application::create))
        .routes(routes!(application::read, application::edit, application::delete))
        .routes(routes!(application::set_template, application::drop_template))
}

/// Which of the routes are done once.
pub(super) fn operation(method: &Method, path: &str) -> Option<Operation> {
    let below = path.strip_prefix("/2fa/v1/otp")?;
    match (method.as_str(), below.strip_prefix('/').map(|rest| rest.split_once('/'))) {
        ("POST", None) if below.is_empty() => Some(Operation::Send),
        ("POST", Some(None)) => Some(Operation::Resend),
        ("POST", Some(Some((_, "check")))) => Some(Operation::Verify),
        ("DELETE", Some(None)) => Some(Operation::Delete),
        _ => None,
    }
}
