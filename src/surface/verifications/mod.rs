//! Verifications, `/v1/verifications`: open one, see where it stands, end it; and the step of a flow that waits for one. The
//! address that ends the wait is a capability, as is that of the person's page.

mod entity;
mod handlers;
mod read;
mod wait;

use std::sync::Arc;

use http::Method;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::events::dispatch::Post;
use crate::idempotency::Operation;
use crate::layer::guard::Guard;
use crate::verification::service::Verifications;

pub use entity::{VerificationEntity, VerificationOutcome, Worder};

/// Below this every path is a capability.
pub const CAPABILITIES: &str = "/v1/verifications/wait/";
/// Where they lie.
const VERIFICATIONS: &str = "/v1/verifications";

/// What the handlers call, shared: every request clones it.
pub type Api = Arc<Parts>;

/// The parts of [`Api`].
pub struct Parts {
    /// The domain.
    pub verifications: Arc<Verifications>,
    /// Judges addresses.
    pub post: Arc<dyn Post>,
    /// Is charged for tokens that were never handed out.
    pub guard: Guard,
    /// What absolute addresses begin with, without a slash at the end.
    pub base_url: String,
}

/// No operation answers an outcome, so it is described on its own.
#[derive(OpenApi)]
#[openapi(components(schemas(VerificationOutcome)))]
struct Described;

/// The routes that need a key.
#[must_use]
pub fn keyed() -> OpenApiRouter<Api> {
    OpenApiRouter::with_openapi(Described::openapi())
        .routes(routes!(handlers::open))
        .routes(routes!(handlers::read, handlers::cancel))
        .routes(routes!(wait::open_and_wait))
}

/// The routes that need none.
#[must_use]
pub fn capabilities() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(wait::unsubscribe))
}

/// Which of the routes are done once.
pub(crate) fn operation(method: &Method, path: &str) -> Option<Operation> {
    let below = path.strip_prefix(VERIFICATIONS)?;
    (method == Method::POST && matches!(below, "" | "/wait")).then_some(Operation::Open)
}
