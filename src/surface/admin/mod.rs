//! The admin listener: metrics, the sandbox's messages as JSON and as a page. Loopback by default; elsewhere it wants a token.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use askama::Template;
use axum::Router;
use axum::routing::get;
use futures_util::future::Either;
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use tower::Service;

use crate::delivery::sandbox::{Sandbox, Shown};
use crate::layer::{Request, Response};
use crate::otp::channel::Channel;
use crate::otp::segment::Extent;
use crate::secret::{Secret, equal};
use crate::surface::answer::{bytes_of, challenge, json};
use crate::surface::input::Input;
use crate::surface::open::html;

/// Messages on the page.
const PAGE: usize = 50;
/// Messages in one JSON answer.
const LIST: usize = 1_000;

/// What the admin listener shows.
#[derive(Clone)]
pub struct Admin {
    /// Writes the metrics.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// The sandbox, while it is in use.
    pub sandbox: Option<Arc<Sandbox>>,
}

/// A message of the sandbox.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MessageEntity {
    otp_id: String,
    number: String,
    channel: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    sender: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    caller: Option<String>,
    text: String,
    /// Of a text message: what it takes.
    #[serde(flatten)]
    extent: Option<ExtentEntity>,
    code: String,
    created_at: String,
}

/// What a text message takes.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ExtentEntity {
    alphabet: &'static str,
    units: usize,
    segments: usize,
}

impl From<&Shown> for MessageEntity {
    fn from(shown: &Shown) -> Self {
        let message = &shown.message;
        let extent = (message.channel == Channel::Sms).then(|| Extent::of(&message.text));
        Self {
            otp_id: message.id.otp.to_string(),
            number: message.number.as_str().to_owned(),
            channel: message.channel.as_str(),
            sender: message.sender.as_ref().map(|sender| sender.as_str().to_owned()),
            caller: message.caller.as_ref().map(|caller| caller.as_str().to_owned()),
            text: message.text.to_string(),
            extent: extent.map(|Extent { alphabet, units, segments }| ExtentEntity {
                alphabet: alphabet.as_str(),
                units,
                segments,
            }),
            code: message.code.expose().to_owned(),
            created_at: shown.created.to_rfc3339(),
        }
    }
}

/// The page that shows the sandbox's messages.
#[derive(Template)]
#[template(path = "sandbox.html")]
struct SandboxPage {
    messages: Vec<MessageEntity>,
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
        .route("/", get(move || std::future::ready(page(&for_page))))
        .route("/sandbox/messages", get(move |request: Request| std::future::ready(messages(&sandbox, &request))))
}

fn page(sandbox: &Sandbox) -> Response {
    let messages = sandbox.messages(None, PAGE).iter().map(MessageEntity::from).collect();
    match (SandboxPage { messages }).render() {
        Ok(text) => html(text),
        Err(error) => {
            tracing::error!(%error, "the sandbox page could not be written");
            crate::surface::answer::empty(StatusCode::INTERNAL_SERVER_ERROR)
        }
    }
}

fn messages(sandbox: &Sandbox, request: &Request) -> Response {
    let mut input = Input::query(request.uri().query().unwrap_or_default());
    // A `+` that was not encoded arrives as a space.
    let number = input.text("number").map(|number| number.trim().to_owned());
    let number = number.map(|number| if number.starts_with('+') { number } else { format!("+{number}") });
    let shown = sandbox.messages(number.as_deref(), LIST);
    let entities: Vec<_> = shown.iter().map(MessageEntity::from).collect();
    json(StatusCode::OK, &entities)
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
