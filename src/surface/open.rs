//! The open paths: health, the documents, and the reference page, which needs no network.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::routing::get;
use bytes::Bytes;
use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_SECURITY_POLICY};
use http::{HeaderValue, StatusCode};
use serde::Serialize;

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
    pub document: Bytes,
    /// The reference page.
    pub page: Bytes,
}

#[derive(Serialize)]
struct Health {
    status: &'static str,
}

/// The routes of the open paths.
pub fn routes(open: Open) -> Router {
    let Open { readiness, document, page } = open;
    Router::new()
        .route("/health/live", get(|| std::future::ready(json(StatusCode::OK, &Health { status: "live" }))))
        .route("/health/ready", get(move || std::future::ready(ready(&readiness))))
        .route("/openapi.json", get(move || std::future::ready(shared(document.clone()))))
        .route("/docs", get(move || std::future::ready(html(page.clone()))))
}

fn ready(readiness: &Readiness) -> Response {
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

/// A page of our own: no script, no request to anywhere else.
#[must_use]
pub fn html(page: impl Into<axum::body::Body>) -> Response {
    let mut response = bytes_of(StatusCode::OK, HeaderValue::from_static("text/html; charset=utf-8"), page);
    let policy =
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    response
}
