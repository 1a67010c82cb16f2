//! Unimatrix' API, `POST /?action=…`: two actions on one path, told apart by the query, their parameters in a JSON body.
//!
//! A code is checked by its number and intent, not by an id; what that means is decided by the domain.

mod error;
mod otp;
mod signature;

use http::Method;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::idempotency::Operation;
use crate::layer::Request;
use crate::layer::dialect::refuse;
use crate::layer::idempotency::Asked;
use crate::layer::refusal::Refusal;
use crate::surface::otp::Api;
use crate::surface::unimatrix::signature::Pairs;

pub use error::Unimatrix;

/// Where the dialect is spoken: exactly there.
pub const PATH: &str = "/";

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Send,
    Verify,
}

impl Action {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "otp.send" => Some(Self::Send),
            "otp.verify" => Some(Self::Verify),
            _ => None,
        }
    }
}

/// The routes of the dialect.
#[must_use]
pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(otp::call))
}

/// Every other method of the path. It needs no key: whoever looks at the root of a host has not failed to authenticate.
pub fn other_methods() -> axum::Router {
    let refused = |request: Request| std::future::ready(refuse(request.extensions(), &Refusal::MethodNotAllowed));
    axum::Router::new().route(PATH, axum::routing::any(refused))
}

/// Whether a request needs a key.
#[must_use]
pub(super) fn keyed(method: &Method, path: &str) -> bool {
    path == PATH && *method == Method::POST
}

/// What a request asks for, where it is one of the dialect.
pub(super) fn asked(request: &Request) -> Option<Asked> {
    if !keyed(request.method(), request.uri().path()) {
        return None;
    }
    let pairs = Pairs::of(request.uri().query().unwrap_or_default()).ok()?;
    let operation = match pairs.one("action").ok().flatten().and_then(Action::parse)? {
        Action::Send => Operation::Send,
        Action::Verify => Operation::Verify,
    };
    Some(Asked { operation, query: pairs.without_proof(), fields: Vec::new(), at_once: true })
}
