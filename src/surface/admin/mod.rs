//! The admin listener: metrics, the sandbox's messages as JSON and as a page. Loopback by default; elsewhere it wants a token.
//!
//! Where there is no token, whoever is on the machine may look, but no web page in a browser there: a page that has its own name
//! lead to the loopback (DNS rebinding) would be of the same origin as what it reads. So the listener has to be called by an
//! address or as `localhost`, and what a browser fetches for another site is refused.

mod messages;

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::routing::get;
use futures_util::future::Either;
use http::uri::Authority;
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

    /// Nothing, or the refusal.
    fn refuses(&self, request: &Request) -> Option<Response> {
        let Some(token) = &self.token else { return (!is_of_this_machine(request)).then(foreign) };
        if presents(request, token) {
            return None;
        }
        let mut response = challenge(crate::surface::answer::empty(StatusCode::UNAUTHORIZED));
        response
            .headers_mut()
            .insert(http::header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"otpgate admin\""));
        Some(response)
    }
}

fn presents(request: &Request, token: &Secret) -> bool {
    let header = request.headers().get(http::header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let presented = header.and_then(|value| value.strip_prefix("Bearer "));
    presented.is_some_and(|presented| equal(presented.as_bytes(), token.expose().as_bytes()))
}

/// Whether it names no site, and comes of none: its authority is an address or `localhost`, and a browser says of it that it is
/// of the same origin, typed in, or a link that was followed (Fetch Metadata).
fn is_of_this_machine(request: &Request) -> bool {
    let headers = request.headers();
    let named = || headers.get(http::header::HOST)?.to_str().ok()?.parse::<Authority>().ok();
    let authority = request.uri().authority().cloned().or_else(named);
    let is_local = authority.is_some_and(|authority| {
        let host = authority.host();
        let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        address.parse::<IpAddr>().is_ok() || host.eq_ignore_ascii_case("localhost")
    });
    let says = |name: &str| headers.get(name).map(HeaderValue::as_bytes);
    let is_own = match says("sec-fetch-site") {
        None | Some(b"none" | b"same-origin") => true,
        Some(_) => says("sec-fetch-mode") == Some(b"navigate") && says("sec-fetch-dest") == Some(b"document"),
    };
    is_local && is_own
}

fn foreign() -> Response {
    let text = "This listener has no token, so it answers on this machine only, and no web page: call it by its address or as \
                localhost, such as http://127.0.0.1:8081/, or set admin_token.\n";
    bytes_of(StatusCode::FORBIDDEN, HeaderValue::from_static("text/plain; charset=utf-8"), text)
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
        match self.refuses(&request) {
            None => Either::Left(self.inner.call(request)),
            Some(response) => Either::Right(std::future::ready(Ok(response))),
        }
    }
}
