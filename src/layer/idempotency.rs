//! Lets a call be done once, however often it arrives: answers a repeated one with what was answered first, lets a
//! duplicate wait for the one that is on its way, and gives the call that goes on a ticket, by which its answer is kept.
//!
//! A call without an `Idempotency-Key` and without the platform's headers pays for a look at its header fields. The key
//! follows draft-ietf-httpapi-idempotency-key-header-07, taken as it is, quotation marks included.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use futures_util::future::Either;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use http_body_util::BodyExt as _;
use tokio::time::{Instant, timeout_at};
use tower::{Layer, Service};

use crate::access::authenticator::Caller;
use crate::idempotency::{
    self, Answer as KeptAnswer, Answers, Boarding, CallKey, Flights, Found, IdempotencyKey, MalformedKey, Name,
    Operation, Settled, Ticket,
};
use crate::layer::dialect::{Voice, refuse};
use crate::layer::refusal::Refusal;
use crate::layer::{Answer, Request, Response, body};
use crate::secret::Keyring;

/// The caller's own key.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// The run of a flow, of Power Automate and Logic Apps.
const RUN: HeaderName = HeaderName::from_static("x-ms-workflow-run-id");
/// The name of an action in it.
const ACTION: HeaderName = HeaderName::from_static("x-ms-workflow-operation-name");
/// On every answer that was given before.
pub const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// The longest that a duplicate waits. Platforms wait for 120 s and then come again.
const PATIENCE: Duration = Duration::from_secs(30);
/// Seconds after which a call may come again that could not be let on.
const RETRY_AFTER: u64 = 1;

/// Marks an answer that says nothing of the operation (a missing scope, a wrong media type): it is not kept.
#[derive(Clone, Copy)]
pub struct NotKept;

/// Is told of calls that were done before: for metrics.
pub trait IdempotencyObserver: Send + Sync + 'static {
    /// A call was answered with what is kept.
    fn replayed(&self);
    /// A call was refused because its key belongs to another request.
    fn reused(&self);
}

/// What a request asks for, as far as only its dialect can tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The operation.
    pub operation: Operation,
    /// The query string, without what only proves who asks: whoever signs his calls signs a repetition anew.
    pub query: String,
    /// The values of header fields that belong to what is asked for (such as a token that names a code); mostly none.
    pub fields: Vec<u8>,
    /// It does nothing before its change, which finds by itself what is kept: that need not be asked for first.
    pub at_once: bool,
}

/// Tells what a request asks for, where that is to be done once.
pub type Operations = fn(&Request) -> Option<Asked>;

/// Lets calls be done once.
#[derive(Clone)]
pub struct IdempotencyLayer(Arc<Parts>);

/// Behind one pointer, because the stack is cloned for every request.
struct Parts {
    operations: Operations,
    answers: Arc<dyn Answers>,
    keyring: Arc<Keyring>,
    flights: Flights,
    observer: Arc<dyn IdempotencyObserver>,
}

impl IdempotencyLayer {
    /// For `operations`; their answers lie in `answers`, under keys made by `keyring`.
    #[must_use]
    pub fn new(
        operations: Operations,
        answers: Arc<dyn Answers>,
        keyring: Arc<Keyring>,
        observer: Arc<dyn IdempotencyObserver>,
    ) -> Self {
        Self(Arc::new(Parts { operations, answers, keyring, flights: Flights::default(), observer }))
    }
}

impl<S> Layer<S> for IdempotencyLayer {
    type Service = IdempotencyService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        IdempotencyService { inner, layer: self.clone() }
    }
}

/// The service of [`IdempotencyLayer`].
#[derive(Clone)]
pub struct IdempotencyService<S> {
    inner: S,
    layer: IdempotencyLayer,
}

impl<S> Service<Request> for IdempotencyService<S>
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Either<S::Future, Answer>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let headers = request.headers();
        if !headers.contains_key(IDEMPOTENCY_KEY) && !headers.contains_key(RUN) {
            return Either::Left(self.inner.call(request));
        }
        let Some(asked) = (self.layer.0.operations)(&request) else {
            return Either::Left(self.inner.call(request));
        };
        let named = name(request.headers()).map(|name| name.is_some());
        match named {
            Ok(false) => Either::Left(self.inner.call(request)),
            Ok(true) => {
                let (parts, inner) = (Arc::clone(&self.layer.0), self.inner.clone());
                Either::Right(Box::pin(async move { Ok(parts.once(inner, request, asked).await) }))
            }
            Err(MalformedKey) => {
                let refusal = refuse(request.extensions(), &Refusal::MalformedIdempotencyKey);
                Either::Right(Box::pin(std::future::ready(Ok(refusal))))
            }
        }
    }
}

/// What a call is named by; none when nothing names it.
fn name(headers: &HeaderMap) -> Result<Option<Name<'_>>, MalformedKey> {
    let mut keys = headers.get_all(IDEMPOTENCY_KEY).iter();
    match (keys.next(), keys.next()) {
        (Some(key), None) => IdempotencyKey::parse(key.as_bytes()).map(|key| Some(Name::Key(key))),
        (Some(_), Some(_)) => Err(MalformedKey),
        (None, _) => {
            let word = |header| headers.get(header).map(HeaderValue::as_bytes).filter(|value| !value.is_empty());
            Ok(word(RUN).zip(word(ACTION)).map(|(run, action)| Name::Run { run, action }))
        }
    }
}

impl Parts {
    async fn once<S>(&self, mut inner: S, request: Request, asked: Asked) -> Response
    where
        S: Service<Request, Response = Response, Error = Infallible>,
    {
        let voice = Voice::of(request.extensions());
        let (head, body) = request.into_parts();
        let body = match body::read(body).await {
            Ok(body) => body,
            Err(refusal) => return voice.refuse(&refusal),
        };
        let caller = head.extensions.get::<Arc<Caller>>().map(|caller| caller.connection.get());
        let (Some(connection), Ok(Some(name))) = (caller, name(&head.headers)) else {
            // No caller below the authentication: wired wrongly. Fail closed.
            return voice.refuse(&Refusal::Internal);
        };
        let whole = idempotency::Request {
            method: head.method.as_str().as_bytes(),
            path: head.uri.path().as_bytes(),
            query: asked.query.as_bytes(),
            media_type: head.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default(),
            fields: &asked.fields,
            body: &body,
        };
        let call = CallKey::of(&self.keyring, connection, asked.operation, name, &whole);
        let end = Instant::now() + PATIENCE;
        let _flight = loop {
            match self.flights.board(call.key) {
                Boarding::First(flight) if asked.at_once => break flight,
                Boarding::First(flight) => match self.before(&call, voice).await {
                    Some(answer) => return answer,
                    None => break flight,
                },
                Boarding::Taken(other) => {
                    if timeout_at(end, other.landed()).await.is_err() {
                        return unavailable(voice);
                    }
                    if let Some(answer) = self.before(&call, voice).await {
                        return answer;
                    }
                }
                Boarding::Full => return unavailable(voice),
            }
        };
        let ticket = Arc::new(Ticket::new(call));
        let mut request = Request::from_parts(head, Body::from(body));
        request.extensions_mut().insert(Arc::clone(&ticket));
        let response = match inner.call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        // A failure says nothing of what was done before, and is no answer to keep.
        let is_open = ticket.settled().is_none() && !response.status().is_server_error();
        let response = if is_open && (asked.at_once || is_kept(&response)) {
            match self.end(&ticket, response).await {
                Ok(response) => response,
                Err(idempotency::Unavailable) => return unavailable(voice),
            }
        } else {
            response
        };
        self.judged(&ticket, response, voice)
    }

    /// What the call is answered without being run.
    async fn before(&self, call: &CallKey, voice: Voice) -> Option<Response> {
        match self.answers.find(call).await {
            Ok(Found::Nothing) => None,
            Ok(Found::Answer(answer)) => {
                self.observer.replayed();
                Some(replay(&answer))
            }
            Ok(Found::Reused) => {
                self.observer.reused();
                Some(voice.refuse(&Refusal::ReusedIdempotencyKey))
            }
            // Whether it was done is not known: it is not done.
            Err(idempotency::Unavailable) => Some(unavailable(voice)),
        }
    }

    /// Keeps what no change told of, a refusal, unless the call was answered before.
    async fn end(&self, ticket: &Ticket, response: Response) -> Result<Response, idempotency::Unavailable> {
        if !is_kept(&response) {
            self.answers.end(ticket, None).await?;
            return Ok(response);
        }
        let (head, body) = response.into_parts();
        let Ok(body) = body.collect().await else { return Ok(Response::from_parts(head, Body::empty())) };
        let body = body.to_bytes();
        let media_type = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let answer =
            KeptAnswer { status: head.status.as_u16(), media_type: media_type.to_owned().into(), body: body.clone() };
        self.answers.end(ticket, Some(answer)).await?;
        Ok(Response::from_parts(head, Body::from(body)))
    }

    /// The answer to a call that was run: its own, unless it found inside its change that it was done before.
    fn judged(&self, ticket: &Ticket, response: Response, voice: Voice) -> Response {
        let mut other = match ticket.settled() {
            None | Some(Settled::Kept) => return response,
            Some(Settled::Replayed(answer)) => {
                self.observer.replayed();
                replay(answer)
            }
            Some(Settled::Reused) => {
                self.observer.reused();
                voice.refuse(&Refusal::ReusedIdempotencyKey)
            }
        };
        // The route that it reached, for the metrics.
        *other.extensions_mut() = response.into_parts().0.extensions;
        other
    }
}

/// 2xx and 4xx but 429: what a repetition would be told again, or must be.
fn is_kept(response: &Response) -> bool {
    let status = response.status();
    let fits = status.is_success() || status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS;
    fits && response.extensions().get::<NotKept>().is_none()
}

fn unavailable(voice: Voice) -> Response {
    voice.refuse(&Refusal::Unavailable { retry_after: RETRY_AFTER })
}

fn replay(answer: &KeptAnswer) -> Response {
    let mut response = Response::new(Body::from(answer.body.clone()));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    if let Ok(media_type) = HeaderValue::from_str(&answer.media_type)
        && !media_type.is_empty()
    {
        headers.insert(CONTENT_TYPE, media_type);
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(REPLAYED, HeaderValue::from_static("true"));
    response
}
