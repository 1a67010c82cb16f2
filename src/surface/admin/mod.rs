//! The admin listener: metrics, the sandbox's messages as JSON and as a page. Loopback by default; elsewhere it wants a token.

mod messages;

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::routing::get;
use futures_util::future::Either;
use http::{HeaderValue, StatusCode};
use tower::Service;

use crate::delivery::sandbox::Sandbox;
use crate::layer::{Request, Response};
use crate::secret::{Secret, equal};
use crate::surface::answer::{bytes_of, challenge};

/// What the admin listener shows.
#[derive(Clone)]
pub struct Admin {
    /// Writes the metrics.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// The sandbox, while it is in use.
    pub sandbox: Option<Arc<Sandbox>>,
}

/// The routes of the admin listener.
pub fn routes(admin: Admin) -> Router {
    let metrics = admin.metrics;
    let router = Router::new().route(
        "/metrics",
        get(move || {
            let text = metrics();
            let media_type = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
            std::future::ready(bytes_of(StatusCode::OK, media_type, text))
        }),
    );
    let Some(sandbox) = admin.sandbox else { return router };
    let for_page = Arc::clone(&sandbox);
    router
        .route("/", get(move || std::future::ready(messages::page(&for_page))))
        .route("/sandbox/messages", get(move |request: Request| std::future::ready(messages::list(&sandbox, &request))))
}

/// Asks for the token, where one is set: `Authorization: Bearer …`.
#[derive(Clone)]
pub struct TokenGate {
    inner: Router,
    token: Option<Arc<Secret>>,
}

impl TokenGate {
    /// Over `inner`.
    #[must_use]
    pub fn new(inner: Router, token: Option<Secret>) -> Self {
        Self { inner, token: token.map(Arc::new) }
    }

    fn admits(&self, request: &Request) -> bool {
        let Some(token) = &self.token else { return true };
        let header = request.headers().get(http::header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let presented = header.and_then(|value| value.strip_prefix("Bearer "));
        presented.is_some_and(|presented| equal(presented.as_bytes(), token.expose().as_bytes()))
    }
}

impl Service<Request> for TokenGate {
    type Response = Response;
    type Error = Infallible;
    type Future =
        Either<axum::routing::future::RouteFuture<Infallible>, std::future::Ready<Result<Response, Infallible>>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        if self.admits(&request) {
            Either::Left(self.inner.call(request))
        } else {
            let mut response = challenge(crate::surface::answer::empty(StatusCode::UNAUTHORIZED));
            response
                .headers_mut()
                .insert(http::header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"otpgate admin\""));
            Either::Right(std::future::ready(Ok(response)))
        }
    }
}
