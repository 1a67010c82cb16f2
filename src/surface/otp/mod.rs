//! The native interface `/v1`: JSON in, JSON out, 200 for every success; a wrong code is an answer, not an error.

mod application;
mod context;
mod edit;
mod entity;
mod handlers;
mod message;
mod page;
mod send;

use std::sync::Arc;

use http::Method;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::clock::Clock;
use crate::idempotency::Operation;
use crate::otp::catalogue::Catalogue;
use crate::otp::service::OtpService;
use crate::quota::Quota;

pub(super) use context::{ContextBody, read_context};
pub(crate) use edit::Edit;
pub use entity::{ConnectionEntity, OtpEntity, QuotaEntity, VerdictEntity};
pub(super) use handlers::{answer, invalid, read_body, refused, unavailable};
pub(crate) use send::{read_resend, read_send};

/// What the handlers call, shared: every request clones it.
pub type Api = Arc<Parts>;

/// The parts of [`Api`].
pub struct Parts {
    /// The domain.
    pub otps: Arc<OtpService>,
    /// Its applications.
    pub catalogue: Arc<Catalogue>,
    /// For `GET /v1/connection`.
    pub quota: Arc<dyn Quota>,
    /// The present.
    pub clock: Arc<dyn Clock>,
}

/// The routes of the native interface.
#[must_use]
pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(handlers::send_otp))
        .routes(routes!(handlers::status_otp, handlers::delete_otp))
        .routes(routes!(handlers::resend_otp))
        .routes(routes!(handlers::verify_otp))
        .routes(routes!(handlers::connection))
        .routes(routes!(application::list, application::create))
        .routes(routes!(application::read, application::edit, application::delete))
}

/// Which of the routes are done once.
pub(crate) fn operation(method: &Method, path: &str) -> Option<Operation> {
    let below = path.strip_prefix("/v1/otp")?;
    match (method.as_str(), below.strip_prefix('/').map(|rest| rest.split_once('/'))) {
        ("POST", None) if below.is_empty() => Some(Operation::Send),
        ("POST", Some(Some((_, "resend")))) => Some(Operation::Resend),
        ("POST", Some(Some((_, "verify")))) => Some(Operation::Verify),
        ("DELETE", Some(None)) => Some(Operation::Delete),
        _ => None,
    }
}
