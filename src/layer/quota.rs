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
use crate::layer::dialect::{Voice, refuse};
use crate::layer::refusal::Refusal;
use crate::layer::{Answer, Request, Response};
use crate::quota::charge::{self, Charge, Counted};
use crate::quota::{ConnectionKey, Decision, Policy, Quota};

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");
/// The policy of nearly every connection, written once.
const DEFAULT_POLICY: HeaderValue = HeaderValue::from_static("\"connection\";q=100;w=60");

/// A store that was to count a call did not answer.
const UNAVAILABLE: Refusal = Refusal::Unavailable { retry_after: 1 };

/// Is told of every decision: for metrics.
pub trait QuotaObserver: Send + Sync + 'static {
    /// A call was admitted or refused.
    fn decided(&self, admitted: bool);
}

/// Tells by method and path which calls may be counted by the step that does them, because nothing that they do before lasts where they are not
/// admitted.
pub type Carried = fn(&Method, &str) -> bool;

/// Counts calls.
#[derive(Clone)]
pub struct QuotaLayer(Arc<Parts>);

/// Behind one pointer, because the stack is cloned for every request.
struct Parts {
    quota: Arc<dyn Quota>,
    observer: Arc<dyn QuotaObserver>,
    carried: Carried,
}

impl QuotaLayer {
    /// Counts them in `quota`; where that would have to be waited for, `carried` ones are counted by what they do.
    #[must_use]
    pub fn new(quota: Arc<dyn Quota>, observer: Arc<dyn QuotaObserver>, carried: Carried) -> Self {
        Self(Arc::new(Parts { quota, observer, carried }))
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
        let charge = Charge { connection: ConnectionKey(connection.get()), policy };
        match self.layer.0.quota.check_at_once(charge.connection, &policy) {
            Some(decision) => {
                self.layer.0.observer.decided(decision.is_admitted());
                match decision.retry_after_seconds() {
                    None => {
                        QuotaFuture::Admitted { inner: self.inner.call(request), headers: Some((policy, decision)) }
                    }
                    Some(wait) => {
                        QuotaFuture::ready(over_quota(Voice::of(request.extensions()), &policy, &decision, wait))
                    }
                }
            }
            None => {
                let (layer, inner) = (Arc::clone(&self.layer.0), self.inner.clone());
                let answer: Answer = if (layer.carried)(request.method(), request.uri().path()) {
                    Box::pin(within(layer, inner, request, charge))
                } else {
                    Box::pin(before(layer, inner, request, charge))
                };
                QuotaFuture::Waiting { answer }
            }
        }
    }
}

/// A call that is counted before it is done.
async fn before<S>(layer: Arc<Parts>, mut inner: S, request: Request, charge: Charge) -> Result<Response, Infallible>
where
    S: Service<Request, Response = Response, Error = Infallible>,
{
    let Ok(decision) = layer.quota.check(charge.connection, &charge.policy).get().await else {
        return Ok(refuse(request.extensions(), &UNAVAILABLE));
    };
    layer.observer.decided(decision.is_admitted());
    if let Some(wait) = decision.retry_after_seconds() {
        return Ok(over_quota(Voice::of(request.extensions()), &charge.policy, &decision, wait));
    }
    let mut response = inner.call(request).await?;
    tell(&mut response, &charge.policy, &decision);
    Ok(response)
}

/// A call that is counted by what it does; one that changed nothing, afterwards.
async fn within<S>(layer: Arc<Parts>, mut inner: S, request: Request, charge: Charge) -> Result<Response, Infallible>
where
    S: Service<Request, Response = Response, Error = Infallible>,
{
    let voice = Voice::of(request.extensions());
    let (response, counted) = charge::with(charge, inner.call(request)).await;
    let mut response = response?;
    // Nobody is told of anything but a failure before he was counted.
    let failed = |response: Response| {
        if response.status().is_server_error() { response } else { voice.refuse(&UNAVAILABLE) }
    };
    let decision = match counted {
        Counted::Decided(decision) => decision,
        Counted::Unknown => return Ok(failed(response)),
        Counted::Not => match layer.quota.check(charge.connection, &charge.policy).get().await {
            Ok(decision) => decision,
            Err(_) => return Ok(failed(response)),
        },
    };
    layer.observer.decided(decision.is_admitted());
    if let Some(wait) = decision.retry_after_seconds() {
        return Ok(over_quota(voice, &charge.policy, &decision, wait));
    }
    tell(&mut response, &charge.policy, &decision);
    Ok(response)
}

fn over_quota(voice: Voice, policy: &Policy, decision: &Decision, wait: u16) -> Response {
    let mut response = voice.refuse(&Refusal::OverQuota { retry_after: wait.into() });
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
