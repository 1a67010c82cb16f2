//! Turns a panic below into an answer in the caller's dialect: one broken request ends itself and nothing else.

use std::any::Any;
use std::convert::Infallible;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::FutureExt as _;
use futures_util::future::CatchUnwind;
use pin_project_lite::pin_project;
use tower::{Layer, Service};

use crate::layer::dialect::Spoken;
use crate::layer::refusal::Refusal;
use crate::layer::trace::{RequestId, Stamp};
use crate::layer::{Request, Response};

/// Catches panics.
#[derive(Clone, Copy)]
pub struct RescueLayer;

impl<S> Layer<S> for RescueLayer {
    type Service = RescueService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        RescueService { inner }
    }
}

/// The service of [`RescueLayer`].
#[derive(Clone)]
pub struct RescueService<S> {
    inner: S,
}

impl<S> Service<Request> for RescueService<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = RescueFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let spoken = request.extensions().get::<Spoken>().copied();
        let stamp = Stamp::of(request.extensions());
        let inner = std::panic::catch_unwind(AssertUnwindSafe(|| self.inner.call(request)));
        let inner = inner.map_err(|panic| report(&*panic, stamp.id)).ok();
        RescueFuture { inner: inner.map(|inner| AssertUnwindSafe(inner).catch_unwind()), spoken, stamp }
    }
}

pin_project! {
    /// The future of [`RescueService`].
    pub struct RescueFuture<F> {
        #[pin]
        inner: Option<CatchUnwind<AssertUnwindSafe<F>>>,
        spoken: Option<Spoken>,
        stamp: Stamp,
    }
}

impl<F: Future<Output = Result<Response, Infallible>>> Future for RescueFuture<F> {
    type Output = Result<Response, Infallible>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Some(inner) = this.inner.as_pin_mut() {
            match ready!(inner.poll(context)) {
                Ok(answer) => return Poll::Ready(answer),
                Err(panic) => report(&*panic, this.stamp.id),
            }
        }
        let mut response = Response::default();
        *response.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;
        let response = this.spoken.map_or(response, |spoken| spoken.0.refuse(&Refusal::Internal, *this.stamp));
        Poll::Ready(Ok(response))
    }
}

/// The text of a panic may hold what a caller sent, so only the fact is logged; the place is printed by the panic hook.
fn report(_panic: &(dyn Any + Send), id: RequestId) {
    tracing::error!(%id, "a request panicked; it was answered with an internal error");
}
