//! Refuses what is too large before it is read: the address, and a body that announces its length. (Header fields are
//! bounded below, by the server; a body without a length is bounded above, while it is read.) What the server refused comes
//! here to be worded: of such a request there may be only a part, and nothing above may see it.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};

use futures_util::future::Either;
use http::header::CONTENT_LENGTH;
use tower::{Layer, Service};

use crate::layer::dialect::refuse;
use crate::layer::refusal::Refusal;
use crate::layer::{Request, Response};
use crate::server::ServerRefusal;

/// The longest address in bytes: RFC 9110 section 4.1 asks for at least 8,000.
pub const URI_BYTES: usize = 8_192;
/// The largest body in bytes, where a path has no limit of its own.
pub const BODY_BYTES: usize = 16 * 1024;

/// Refuses what is too large.
#[derive(Clone, Copy)]
pub struct LimitsLayer {
    /// The largest body of a path, in bytes.
    pub body_bytes: fn(&str) -> usize,
}

impl<S> Layer<S> for LimitsLayer {
    type Service = LimitsService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        LimitsService { inner, body_bytes: self.body_bytes }
    }
}

/// The service of [`LimitsLayer`].
#[derive(Clone)]
pub struct LimitsService<S> {
    inner: S,
    body_bytes: fn(&str) -> usize,
}

impl<S> Service<Request> for LimitsService<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Either<S::Future, Ready<Result<Response, Infallible>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        match fault(&request, self.body_bytes) {
            None => Either::Left(self.inner.call(request)),
            Some(refusal) => Either::Right(ready(Ok(refuse(request.extensions(), &refusal)))),
        }
    }
}

fn fault(request: &Request, body_bytes: fn(&str) -> usize) -> Option<Refusal> {
    if let Some(refusal) = request.extensions().get::<ServerRefusal>() {
        return Some(refused_below(*refusal));
    }
    let uri = request.uri();
    let length = uri.path().len() + uri.query().map_or(0, |query| query.len() + 1);
    if length > URI_BYTES {
        return Some(Refusal::UriTooLong(URI_BYTES));
    }
    let announced = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let limit = body_bytes(uri.path());
    announced
        .filter(|length| usize::try_from(*length).unwrap_or(usize::MAX) > limit)
        .map(|_| Refusal::BodyTooLarge(limit))
}

/// The refusal that the server left to be worded.
const fn refused_below(refusal: ServerRefusal) -> Refusal {
    match refusal {
        // The server lets more pass than is allowed here.
        ServerRefusal::TargetTooLong => Refusal::UriTooLong(URI_BYTES),
        ServerRefusal::FieldsTooLarge { fields, bytes } => Refusal::FieldsTooLarge { fields, bytes },
        ServerRefusal::Malformed { name, detail } => Refusal::MalformedHead { name, detail },
    }
}
