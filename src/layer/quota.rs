//! The exact quota of the caller's connection, and the header fields that tell what is left of it.
//!
//! Field names and values: draft-ietf-httpapi-ratelimit-headers-11 and RFC 9110 section 10.2.3. A refused call is not counted.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use http::{HeaderName, HeaderValue, Method};
use pin_project_lite::pin_project;
use tower::{Layer, Service};

use crate::access::authenticator::Caller;
use crate::layer::dialect::refuse;
use crate::layer::refusal::Refusal;
use crate::layer::{Answer, Request, Response};
use crate::quota::{ConnectionKey, Decision, Policy, Quota};

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");
/// The policy of nearly every connection, written once.
const DEFAULT_POLICY: HeaderValue = HeaderValue::from_static("\"connection\";q=100;w=60");

/// Is told of every decision: for metrics.
pub trait QuotaObserver: Send + Sync + 'static {
    /// A call was admitted or refused.
    fn decided(&self, admitted: bool);
}

/// Is told the path of a call that may change something, while its quota is asked for elsewhere: what it names can be asked for
/// in the same turn.
pub type Ahead = Arc<dyn Fn(&str) + Send + Sync>;

/// Counts calls.
#[derive(Clone)]
pub struct QuotaLayer(Arc<Parts>);

/// Behind one pointer, because the stack is cloned for every request.
struct Parts {
    quota: Arc<dyn Quota>,
    observer: Arc<dyn QuotaObserver>,
    ahead: Option<Ahead>,
}

impl QuotaLayer {
    /// Counts them in `quota`; where that has to be waited for, `ahead` hears what is coming.
    #[must_use]
    pub fn new(quota: Arc<dyn Quota>, observer: Arc<dyn QuotaObserver>, ahead: Option<Ahead>) -> Self {
        Self(Arc::new(Parts { quota, observer, ahead }))
    }
}

impl<S> Layer<S> for QuotaLayer {
    type Service = QuotaService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        QuotaService { inner, layer: self.clone() }
    }
}

/// The service of [`QuotaLayer`].
#[derive(Clone)]
pub struct QuotaService<S> {
    inner: S,
    layer: QuotaLayer,
}

impl<S> Service<Request> for QuotaService<S>
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response;
    type Error = Infallible;
    type Future = QuotaFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let caller = request.extensions().get::<Arc<Caller>>();
        let Some((connection, allowance)) = caller.map(|caller| (caller.connection, caller.allowance)) else {
            // No caller below the authentication: wired wrongly. Fail closed.
            return QuotaFuture::ready(refuse(request.extensions(), &Refusal::Internal));
        };
        let Some(policy) = allowance.policy().copied() else {
            return QuotaFuture::Admitted { inner: self.inner.call(request), headers: None };
        };
        let key = ConnectionKey(connection.get());
        match self.layer.0.quota.check_at_once(key, &policy) {
            Some(decision) => {
                self.layer.0.observer.decided(decision.is_admitted());
                let headers = Some((policy, decision));
                match decision.retry_after_seconds() {
                    None => QuotaFuture::Admitted { inner: self.inner.call(request), headers },
                    Some(wait) => QuotaFuture::ready(over_quota(&request, &policy, &decision, wait)),
                }
            }
            None => {
                if let Some(ahead) = self.layer.0.ahead.as_ref().filter(|_| request.method() != Method::GET) {
                    ahead(request.uri().path());
                }
                let (layer, mut inner) = (Arc::clone(&self.layer.0), self.inner.clone());
                QuotaFuture::Waiting {
                    answer: Box::pin(async move {
                        let Ok(decision) = layer.quota.check(key, &policy).get().await else {
                            return Ok(refuse(request.extensions(), &Refusal::Unavailable { retry_after: 1 }));
                        };
                        layer.observer.decided(decision.is_admitted());
                        if let Some(wait) = decision.retry_after_seconds() {
                            return Ok(over_quota(&request, &policy, &decision, wait));
                        }
                        let mut response = inner.call(request).await?;
                        tell(&mut response, &policy, &decision);
                        Ok(response)
                    }),
                }
            }
        }
    }
}

fn over_quota(request: &Request, policy: &Policy, decision: &Decision, wait: u16) -> Response {
    let mut response = refuse(request.extensions(), &Refusal::OverQuota { retry_after: wait.into() });
    tell(&mut response, policy, decision);
    response
}

/// Writes `RateLimit-Policy` and `RateLimit`.
fn tell(response: &mut Response, policy: &Policy, decision: &Decision) {
    let headers = response.headers_mut();
    let name = if *policy == Policy::DEFAULT {
        Some(DEFAULT_POLICY)
    } else {
        value(format_args!("\"connection\";q={};w={}", policy.calls(), policy.period_seconds()))
    };
    if let Some(name) = name {
        headers.insert(POLICY, name);
    }
    let left = value(format_args!("\"connection\";r={};t={}", decision.remaining(), decision.resets_in_seconds()));
    if let Some(left) = left {
        headers.insert(LIMIT, left);
    }
}

fn value(text: std::fmt::Arguments<'_>) -> Option<HeaderValue> {
    let mut bytes = BytesMut::with_capacity(40);
    bytes.write_fmt(text).ok()?;
    HeaderValue::from_maybe_shared(bytes.freeze()).ok()
}

pin_project! {
    /// The future of [`QuotaService`].
    #[project = QuotaProjection]
    #[expect(missing_docs, reason = "the macro takes no comments on the fields of variants")]
    pub enum QuotaFuture<F> {
        /// The call goes on; the header fields join its answer.
        Admitted {
            #[pin]
            inner: F,
            headers: Option<(Policy, Decision)>,
        },
        /// The call was refused.
        Refused {
            response: Option<Response>,
        },
        /// A shared store is being asked.
        Waiting {
            answer: Answer,
        },
    }
}

impl<F> QuotaFuture<F> {
    const fn ready(response: Response) -> Self {
        Self::Refused { response: Some(response) }
    }
}

impl<F: Future<Output = Result<Response, Infallible>>> Future for QuotaFuture<F> {
    type Output = Result<Response, Infallible>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            QuotaProjection::Admitted { inner, headers } => {
                let mut response = ready!(inner.poll(context))?;
                if let Some((policy, decision)) = headers {
                    tell(&mut response, policy, decision);
                }
                Poll::Ready(Ok(response))
            }
            QuotaProjection::Refused { response } => Poll::Ready(Ok(response.take().unwrap_or_default())),
            QuotaProjection::Waiting { answer } => answer.as_mut().poll(context),
        }
    }
}
