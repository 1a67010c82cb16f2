//! Finishes what was begun: a caller who goes away in the middle of a change (a closed connection, a stream that was reset, a
//! second press of a button) must not leave it half done. Must not know what a call does.
//!
//! A call goes on by itself from the moment its caller is gone, at most so many at a time; what is beyond them ends where it
//! stands, as it would where the process ends.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::Either;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tower::{Layer, Service};

use crate::layer::{Answer, Request, Response};

/// Calls that go on without their callers, at most: whoever resets streams as fast as he can fills no memory.
const AT_MOST: u32 = 512;

/// Where calls go on without their callers. Clones are the same room.
#[derive(Clone)]
pub struct Room(Arc<Semaphore>);

impl Room {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Semaphore::new(AT_MOST as usize)))
    }

    /// Returns when no call goes on without its caller: a process that ends first waits for them.
    pub async fn emptied(&self) {
        // An error would mean that it was closed, which nobody does.
        let _ = self.0.acquire_many(AT_MOST).await;
    }
}

impl Default for Room {
    fn default() -> Self {
        Self::new()
    }
}

/// Lets calls be finished, in a room.
#[derive(Clone)]
pub struct FinishLayer(pub Room);

impl<S> Layer<S> for FinishLayer {
    type Service = FinishService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        FinishService { inner, room: self.0.clone() }
    }
}

/// The service of [`FinishLayer`].
#[derive(Clone)]
pub struct FinishService<S> {
    inner: S,
    room: Room,
}

impl<S> Service<Request> for FinishService<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Either<S::Future, Finished>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        // What only looks has nothing to finish (RFC 9110 section 9.2.1).
        let only_looks = request.method().is_safe();
        let call = self.inner.call(request);
        if only_looks {
            return Either::Left(call);
        }
        Either::Right(Finished { call: Some(Box::pin(call)), room: self.room.clone() })
    }
}

/// A call that goes on when it is dropped.
pub struct Finished {
    /// None while it runs, so that one that panicked does not go on, and when it is over.
    call: Option<Answer>,
    room: Room,
}

impl Future for Finished {
    type Output = Result<Response, Infallible>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // Asked again after its end: there is nothing to say.
        let Some(mut call) = self.call.take() else { return Poll::Pending };
        match call.as_mut().poll(context) {
            Poll::Ready(answer) => Poll::Ready(answer),
            Poll::Pending => {
                self.call = Some(call);
                Poll::Pending
            }
        }
    }
}

impl Drop for Finished {
    fn drop(&mut self) {
        let Some(call) = self.call.take() else { return };
        if let (Ok(runtime), Ok(seat)) = (Handle::try_current(), Arc::clone(&self.room.0).try_acquire_owned()) {
            runtime.spawn(async move {
                let _nobody_hears_it = call.await;
                drop(seat);
            });
        }
    }
}
