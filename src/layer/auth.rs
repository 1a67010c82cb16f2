//! Authentication: puts the caller into the request, or hands the request to the guard.
//!
//! A key that was looked up before passes without waiting and without an allocation. Other credentials wait: what proves
//! them is spent before the call goes on.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use tower::{Layer, Service};

use crate::access::authenticator::{AuthenticationError, Authenticator, Caller, Cause};
use crate::access::credential::Credential;
use crate::layer::dialect::{Spoken, refuse};
use crate::layer::guard::Guard;
use crate::layer::refusal::{Presented, Refusal};
use crate::layer::{Answer, Request, Response};
use crate::secret::Secret;

/// Seconds after which a caller may ask again when the store does not answer.
pub const STORE_RETRY_AFTER: u64 = 1;

/// Is told of refused authentications: for metrics.
pub trait AuthObserver: Send + Sync + 'static {
    /// One was refused.
    fn refused(&self, cause: Cause);
}

/// Authenticates.
#[derive(Clone)]
pub struct AuthLayer(Arc<Parts>);

/// Behind one pointer, because the stack is cloned for every request.
struct Parts {
    authenticator: Arc<Authenticator>,
    guard: Guard,
    observer: Arc<dyn AuthObserver>,
}

impl AuthLayer {
    /// Looks keys up in `authenticator`; refused requests go to `guard`.
    #[must_use]
    pub fn new(authenticator: Arc<Authenticator>, guard: Guard, observer: Arc<dyn AuthObserver>) -> Self {
        Self(Arc::new(Parts { authenticator, guard, observer }))
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
        let spoken = request.extensions().get::<Spoken>().copied();
        let presented = spoken.map_or(Presented::Nothing, |spoken| spoken.0.credential(&request));
        let recalled = match presented {
            Presented::ApiKey(key) => self.layer.0.authenticator.recall(key),
            Presented::Nothing => Err(AuthenticationError::Refused(Cause::Missing)),
            Presented::Malformed => Err(AuthenticationError::Refused(Cause::Malformed)),
            Presented::Credential(credential) => {
                let parts = Arc::clone(&self.layer.0);
                let answer = Box::pin(prove(parts, self.inner.clone(), credential, request));
                return AuthFuture::Waiting { answer };
            }
        };
        match recalled {
            Ok(Some(caller)) => AuthFuture::Inner { inner: self.inner.call(admit(request, caller)) },
            Ok(None) => {
                let parts = Arc::clone(&self.layer.0);
                AuthFuture::Waiting { answer: Box::pin(look_up(parts, self.inner.clone(), request)) }
            }
            Err(error) => {
                let parts = Arc::clone(&self.layer.0);
                AuthFuture::Waiting { answer: Box::pin(async move { Ok(refused(&parts, error, request).await) }) }
            }
        }
    }
}

async fn look_up<S>(parts: Arc<Parts>, mut inner: S, request: Request) -> Result<Response, Infallible>
where
    S: Service<Request, Response = Response, Error = Infallible>,
{
    let spoken = request.extensions().get::<Spoken>().copied();
    // Taken out of the request, which moves on; wiped when this is over.
    let key = match spoken.map_or(Presented::Nothing, |spoken| spoken.0.credential(&request)) {
        Presented::ApiKey(key) => Secret::new(key.to_owned()),
        _ => Secret::default(),
    };
    match parts.authenticator.authenticate(key.expose()).await {
        Ok(caller) => inner.call(admit(request, caller)).await,
        Err(error) => Ok(refused(&parts, error, request).await),
    }
}

async fn prove<S>(
    parts: Arc<Parts>,
    mut inner: S,
    credential: Box<Credential>,
    request: Request,
) -> Result<Response, Infallible>
where
    S: Service<Request, Response = Response, Error = Infallible>,
{
    match parts.authenticator.prove(&credential).await {
        Ok(caller) => inner.call(admit(request, caller)).await,
        Err(error) => Ok(refused(&parts, error, request).await),
    }
}

async fn refused(parts: &Parts, error: AuthenticationError, request: Request) -> Response {
    match error {
        AuthenticationError::Refused(cause) => {
            parts.observer.refused(cause);
            parts.guard.refuse_with(request, Refusal::Unauthenticated(cause.into())).await
        }
        AuthenticationError::Store(_) => {
            refuse(request.extensions(), &Refusal::Unavailable { retry_after: STORE_RETRY_AFTER })
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
