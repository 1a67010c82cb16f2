//! API key authentication: puts the caller into the request, or hands the request to the guard.
//!
//! A key that was looked up before passes without waiting and without an allocation.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use tower::{Layer, Service};

use crate::access::authenticator::{AuthenticationError, Authenticator, Caller, Cause};
use crate::layer::dialect::{Spoken, refuse};
use crate::layer::guard::Guard;
use crate::layer::refusal::{Presented, Refusal};
use crate::layer::{Answer, Request, Response};

/// Seconds after which a caller may ask again when the store does not answer.
pub const STORE_RETRY_AFTER: u64 = 1;

/// Is told of refused authentications: for metrics.
pub trait AuthObserver: Send + Sync + 'static {
    /// One was refused.
    fn refused(&self, cause: Cause);
}

/// Authenticates.
#[derive(Clone)]
pub struct AuthLayer {
    authenticator: Arc<Authenticator>,
    guard: Guard,
    observer: Arc<dyn AuthObserver>,
}

impl AuthLayer {
    /// Looks keys up in `authenticator`; refused requests go to `guard`.
    #[must_use]
    pub const fn new(authenticator: Arc<Authenticator>, guard: Guard, observer: Arc<dyn AuthObserver>) -> Self {
        Self { authenticator, guard, observer }
    }
}

impl<S> Layer<S> for AuthLayer {
    type Service = AuthService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        AuthService { inner, layer: self.clone() }
    }
}

/// The service of [`AuthLayer`].
#[derive(Clone)]
pub struct AuthService<S> {
    inner: S,
    layer: AuthLayer,
}

impl<S> Service<Request> for AuthService<S>
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response;
    type Error = Infallible;
    type Future = AuthFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let (head, body) = request.into_parts();
        let spoken = head.extensions.get::<Spoken>().copied();
        let presented = spoken.map_or(Presented::Nothing, |spoken| spoken.0.credential(&head));
        let recalled = match presented {
            Presented::Nothing => Err(AuthenticationError::Refused(Cause::Missing)),
            Presented::ApiKey(key) => self.layer.authenticator.recall(key),
        };
        match recalled {
            Ok(Some(caller)) => {
                let request = admit(Request::from_parts(head, body), caller);
                AuthFuture::Inner { inner: self.inner.call(request) }
            }
            Ok(None) => {
                let (layer, mut inner) = (self.layer.clone(), self.inner.clone());
                AuthFuture::Waiting {
                    answer: Box::pin(async move {
                        let Presented::ApiKey(key) =
                            spoken.map_or(Presented::Nothing, |spoken| spoken.0.credential(&head))
                        else {
                            return Ok(layer.guard.refuse(Request::from_parts(head, body)).await);
                        };
                        match layer.authenticator.authenticate(key).await {
                            Ok(caller) => inner.call(admit(Request::from_parts(head, body), caller)).await,
                            Err(AuthenticationError::Refused(cause)) => {
                                layer.observer.refused(cause);
                                Ok(layer.guard.refuse(Request::from_parts(head, body)).await)
                            }
                            Err(AuthenticationError::Store(_)) => {
                                let refusal = Refusal::Unavailable { retry_after: STORE_RETRY_AFTER };
                                Ok(refuse(&head.extensions, &refusal))
                            }
                        }
                    }),
                }
            }
            Err(error) => {
                if let AuthenticationError::Refused(cause) = error {
                    self.layer.observer.refused(cause);
                }
                let guard = self.layer.guard.clone();
                let request = Request::from_parts(head, body);
                AuthFuture::Waiting { answer: Box::pin(async move { Ok(guard.refuse(request).await) }) }
            }
        }
    }
}

fn admit(mut request: Request, caller: Arc<Caller>) -> Request {
    tracing::Span::current().record("connection", tracing::field::display(caller.connection));
    request.extensions_mut().insert(caller);
    request
}

pin_project! {
    /// The future of [`AuthService`].
    #[project = AuthProjection]
    #[expect(missing_docs, reason = "the macro takes no comments on the fields of variants")]
    pub enum AuthFuture<F> {
        /// The key was remembered.
        Inner {
            #[pin]
            inner: F,
        },
        /// It has to be looked up, or was refused.
        Waiting {
            answer: Answer,
        },
    }
}

impl<F: Future<Output = Result<Response, Infallible>>> Future for AuthFuture<F> {
    type Output = Result<Response, Infallible>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            AuthProjection::Inner { inner } => inner.poll(context),
            AuthProjection::Waiting { answer } => answer.as_mut().poll(context),
        }
    }
}
