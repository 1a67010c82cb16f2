//! The outermost layer: gives every request an id and a span, and tells an observer how it ended.
//!
//! The span carries method, route template and dialect; never a path, a query string or a header.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::extract::MatchedPath;
use http::{HeaderName, HeaderValue};
use pin_project_lite::pin_project;
use tokio::time::Instant;
use tower::{Layer, Service};
use tracing::Span;

use crate::clock::{Clock, UnixMillis};
use crate::layer::dialect::Dialects;
use crate::layer::refusal::Dialect;
use crate::layer::{Request, Response};
use crate::secret::{Entropy, SystemEntropy};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The id of a request: 24 hexadecimal digits, the first 12 random for each process. In every answer as `x-request-id`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestId([u8; 12]);

impl RequestId {
    /// The 24 digits.
    #[must_use]
    pub fn to_text(self) -> [u8; 24] {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; 24];
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.0) {
            for (digit, nibble) in pair.iter_mut().zip([byte >> 4, byte & 15]) {
                *digit = DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0');
            }
        }
        text
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(std::str::from_utf8(&self.to_text()).unwrap_or_default())
    }
}

/// What every answer to a request may carry: its id, and when it came in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// Its id.
    pub id: RequestId,
    /// When it came in.
    pub at: UnixMillis,
}

impl Stamp {
    /// The stamp that the trace layer put into a request.
    #[must_use]
    pub fn of(extensions: &http::Extensions) -> Self {
        extensions.get::<Self>().copied().unwrap_or_default()
    }
}

/// Is told how each request ended: for metrics.
pub trait Observer: Send + Sync + 'static {
    /// A request of `dialect` was answered with `status` after `elapsed`. `route` is the template of its path; none when
    /// it was refused before it reached a route.
    fn answered(&self, dialect: &'static str, route: Option<&str>, status: u16, elapsed: Duration);
}

/// Gives ids and spans.
#[derive(Clone)]
pub struct TraceLayer(Arc<Parts>);

/// Behind one pointer, because the stack is cloned for every request.
struct Parts {
    dialects: Dialects,
    observer: Arc<dyn Observer>,
    clock: Arc<dyn Clock>,
    process: [u8; 6],
    next: AtomicU64,
}

impl TraceLayer {
    /// Stamps by `clock` and tells `observer`.
    #[must_use]
    pub fn new(dialects: Dialects, clock: Arc<dyn Clock>, observer: Arc<dyn Observer>) -> Self {
        let mut process = [0; 6];
        SystemEntropy.fill(&mut process);
        Self(Arc::new(Parts { dialects, observer, clock, process, next: AtomicU64::new(1) }))
    }
}

impl Parts {
    fn next_id(&self) -> RequestId {
        let number = self.next.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        let mut id = [0; 12];
        for (byte, source) in id.iter_mut().zip(self.process.iter().chain(number.iter().skip(2))) {
            *byte = *source;
        }
        RequestId(id)
    }
}

impl<S> Layer<S> for TraceLayer {
    type Service = TraceService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        TraceService { inner, layer: self.clone() }
    }
}

/// The service of [`TraceLayer`].
#[derive(Clone)]
pub struct TraceService<S> {
    inner: S,
    layer: TraceLayer,
}

impl<S> Service<Request> for TraceService<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = TraceFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let parts = &self.layer.0;
        let id = parts.next_id();
        let dialect = parts.dialects.of(request.uri().path());
        // `route` is filled in by the router, which knows the template: the path itself may be a capability.
        // At the level of its events: a log without them does not pay for spans.
        let span = tracing::debug_span!(
            "request", id = %id, method = request.method().as_str(), dialect = dialect.name(),
            route = tracing::field::Empty, connection = tracing::field::Empty,
        );
        request.extensions_mut().insert(Stamp { id, at: parts.clock.now() });
        let inner = {
            let _entered = span.enter();
            self.inner.call(request)
        };
        let parts = Arc::clone(parts);
        TraceFuture { inner, span, id, dialect, started: Instant::now(), parts }
    }
}

pin_project! {
    /// The future of [`TraceService`].
    pub struct TraceFuture<F> {
        #[pin]
        inner: F,
        span: Span,
        id: RequestId,
        dialect: &'static dyn Dialect,
        started: Instant,
        parts: Arc<Parts>,
    }
}

impl<F: Future<Output = Result<Response, Infallible>>> Future for TraceFuture<F> {
    type Output = Result<Response, Infallible>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let _entered = this.span.enter();
        let mut response = match ready!(this.inner.poll(context)) {
            Ok(response) => response,
            Err(never) => match never {},
        };
        let elapsed = this.started.elapsed();
        let status = response.status().as_u16();
        if let Ok(value) = HeaderValue::from_bytes(&this.id.to_text()) {
            if let Some(own) = this.dialect.request_id() {
                response.headers_mut().insert(own, value.clone());
            }
            response.headers_mut().insert(REQUEST_ID, value);
        }
        let route = response.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
        this.parts.observer.answered(this.dialect.name(), route, status, elapsed);
        tracing::debug!(status, duration_us = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX), "answered");
        Poll::Ready(Ok(response))
    }
}
