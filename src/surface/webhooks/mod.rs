//! Webhooks, `/v1/webhooks`: the trigger of the connector. Subscribing needs a key; the address that ends a subscription is
//! a capability: whoever knows it may use it, with or without a key.

mod entity;
mod handlers;

use std::sync::Arc;

use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::events::dispatch::Post;
use crate::events::subscriptions::Subscriptions;
use crate::layer::guard::Guard;
use crate::otp::catalogue::Catalogue;

pub use entity::{OtpChange, VerificationChange, Worder};

/// Below this every path is a capability.
pub const CAPABILITIES: &str = "/v1/webhooks/";

/// What the handlers call, shared: every request clones it.
pub type Hooks = Arc<Parts>;

/// The parts of [`Hooks`].
pub struct Parts {
    /// The domain.
    pub subscriptions: Subscriptions,
    /// For the application of a filter.
    pub catalogue: Arc<Catalogue>,
    /// Judges addresses.
    pub post: Arc<dyn Post>,
    /// Is charged for tokens that were never handed out.
    pub guard: Guard,
    /// What absolute addresses begin with, without a slash at the end.
    pub base_url: String,
}

/// No operation answers an event, so they are described on their own.
#[derive(OpenApi)]
#[openapi(components(schemas(OtpChange, VerificationChange)))]
struct Described;

/// The routes that need a key.
#[must_use]
pub fn keyed() -> OpenApiRouter<Hooks> {
    OpenApiRouter::with_openapi(Described::openapi()).routes(routes!(handlers::subscribe))
}

/// The routes that need none.
#[must_use]
pub fn capabilities() -> OpenApiRouter<Hooks> {
    OpenApiRouter::new().routes(routes!(handlers::unsubscribe))
}
