//! Picks the dialect of a request by its path, before anything can be refused: every refusal is worded by it.

use std::task::{Context, Poll};

use tower::{Layer, Service};

use crate::layer::refusal::{Dialect, Refusal};
use crate::layer::trace::Stamp;
use crate::layer::{Request, Response};

/// Which dialect speaks on which path.
#[derive(Clone, Copy)]
pub struct Dialects {
    /// The dialects that speak on one path: path and dialect.
    pub paths: &'static [(&'static str, &'static dyn Dialect)],
    /// The dialects that speak below one: path prefix and dialect, the first that fits wins.
    pub prefixes: &'static [(&'static str, &'static dyn Dialect)],
    /// Where no prefix fits.
    pub native: &'static dyn Dialect,
}

impl Dialects {
    /// The dialect of a path.
    #[must_use]
    pub fn of(&self, path: &str) -> &'static dyn Dialect {
        let exact = self.paths.iter().find(|(whole, _)| path == *whole);
        let fitting = exact.or_else(|| self.prefixes.iter().find(|(prefix, _)| path.starts_with(prefix)));
        fitting.map_or(self.native, |(_, dialect)| *dialect)
    }
}

/// The dialect of a request, kept in its extensions.
#[derive(Clone, Copy)]
pub struct Spoken(pub &'static dyn Dialect);

/// What is needed to word a refusal after the request has gone on.
#[derive(Clone, Copy)]
pub struct Voice {
    spoken: Option<Spoken>,
    stamp: Stamp,
}

impl Voice {
    /// The voice of the request that `extensions` belong to.
    #[must_use]
    pub fn of(extensions: &http::Extensions) -> Self {
        Self { spoken: extensions.get().copied(), stamp: Stamp::of(extensions) }
    }

    /// Words a refusal.
    #[must_use]
    pub fn refuse(&self, refusal: &Refusal) -> Response {
        match self.spoken {
            Some(spoken) => spoken.0.refuse(refusal, self.stamp),
            None => {
                let mut response = Response::default();
                *response.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;
                response
            }
        }
    }
}

/// Words a refusal in the dialect of the request that `extensions` belong to.
#[must_use]
pub fn refuse(extensions: &http::Extensions, refusal: &Refusal) -> Response {
    Voice::of(extensions).refuse(refusal)
}

/// Puts [`Spoken`] into the request.
#[derive(Clone, Copy)]
pub struct DialectLayer(pub Dialects);

impl<S> Layer<S> for DialectLayer {
    type Service = DialectService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        DialectService { inner, dialects: self.0 }
    }
}

/// The service of [`DialectLayer`].
#[derive(Clone)]
pub struct DialectService<S> {
    inner: S,
    dialects: Dialects,
}

impl<S: Service<Request>> Service<Request> for DialectService<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let dialect = self.dialects.of(request.uri().path());
        let dialect = dialect.tuned(&request).unwrap_or(dialect);
        request.extensions_mut().insert(Spoken(dialect));
        self.inner.call(request)
    }
}
