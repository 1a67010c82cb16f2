//! The open paths: health, the documents, and the reference page, which needs no network.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE,
    CACHE_CONTROL, CONTENT_SECURITY_POLICY,
};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::layer::Response;
use crate::surface::answer::{JSON, bytes_of, json};

/// Whether the gateway can do its work; turned off by a drain and by a failed store.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<AtomicBool>);

impl Readiness {
    /// Sets it.
    pub fn set(&self, ready: bool) {
        self.0.store(ready, Ordering::Release);
    }

    /// Reads it.
    #[must_use]
    pub fn get(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// What the open paths show.
#[derive(Clone)]
pub struct Open {
    /// Whether the gateway is ready.
    pub readiness: Readiness,
    /// The OpenAPI 3.1 document.
    pub document: Document,
    /// The connector's definition, for import by address.
    pub connector: Document,
    /// The reference page.
    pub page: Document,
}

/// A document that is made when it is first asked for: a gateway that nobody asks does not carry it.
#[derive(Clone)]
pub struct Document(Arc<LazyLock<Option<Bytes>, Make>>);

type Make = Box<dyn FnOnce() -> Option<Bytes> + Send>;

impl Document {
    /// Made by `make`; none is answered as a fault of ours.
    #[must_use]
    pub fn new(make: impl FnOnce() -> Option<Bytes> + Send + 'static) -> Self {
        Self(Arc::new(LazyLock::new(Box::new(make))))
    }

    fn answer(&self, word: impl FnOnce(Bytes) -> Response) -> Response {
        match &**self.0 {
            Some(bytes) => word(bytes.clone()),
            None => crate::surface::answer::empty(StatusCode::INTERNAL_SERVER_ERROR),
        }
    }
}

/// How the gateway is.
#[derive(Serialize, ToSchema)]
struct Health {
    /// live, ready or not ready.
    #[schema(example = "ready")]
    status: &'static str,
}

/// The routes of the open paths.
pub fn routes(open: Open) -> Router {
    let Open { readiness, document, connector, page } = open;
    Router::from(health())
        .with_state(readiness)
        .route("/openapi.json", get(move || std::future::ready(document.answer(shared))))
        .route(
            "/connector/apiDefinition.swagger.json",
            get(move || std::future::ready(connector.answer(shared))).options(preflight),
        )
        .route("/docs", get(move || std::future::ready(page.answer(html))))
}

/// The routes that a probe asks, with their description.
#[must_use]
pub fn health() -> OpenApiRouter<Readiness> {
    OpenApiRouter::new().routes(routes!(live)).routes(routes!(ready))
}

/// Ask whether the gateway lives
///
/// It does as long as it answers.
#[utoipa::path(
    get, path = "/health/live", operation_id = "Live", tag = "health",
    responses((status = 200, description = "It lives", body = Health))
)]
async fn live() -> Response {
    json(StatusCode::OK, &Health { status: "live" })
}

/// Ask whether the gateway can do its work
///
/// It cannot while it drains, and once its store has failed.
#[utoipa::path(
    get, path = "/health/ready", operation_id = "Ready", tag = "health",
    responses(
        (status = 200, description = "It is ready", body = Health),
        (status = 503, description = "It is not ready", body = Health),
    )
)]
async fn ready(State(readiness): State<Readiness>) -> Response {
    if readiness.get() {
        json(StatusCode::OK, &Health { status: "ready" })
    } else {
        json(StatusCode::SERVICE_UNAVAILABLE, &Health { status: "not ready" })
    }
}

/// A public document: any page may read it.
fn shared(document: Bytes) -> Response {
    let mut response = bytes_of(StatusCode::OK, JSON, document);
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// A browser asks first where its client adds header fields of its own (Fetch standard, CORS-preflight).
async fn preflight() -> Response {
    let mut response = crate::surface::answer::empty(StatusCode::NO_CONTENT);
    let headers = response.headers_mut();
    for (name, value) in [
        (ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD"),
        // The wildcard does not cover the field that it is mostly about.
        (ACCESS_CONTROL_ALLOW_HEADERS, "*, authorization"),
        (ACCESS_CONTROL_MAX_AGE, "86400"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// A page of our own: no script, no request to anywhere else.
#[must_use]
pub fn html(page: impl Into<axum::body::Body>) -> Response {
    let mut response = bytes_of(StatusCode::OK, HeaderValue::from_static("text/html; charset=utf-8"), page);
    let policy =
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    response
}
