//! Lets every path be read as text. A segment whose percent-encoding is no UTF-8 names nothing that exists; it goes on as one
//! that names nothing either, so that it is missed like any other name: by the same handler, in the same words, and charged
//! where a miss is charged. Must not know a route.

use std::task::{Context, Poll};

use http::Uri;
use http::uri::PathAndQuery;
use percent_encoding::percent_decode_str;
use tower::{Layer, Service};

use crate::layer::Request;

/// U+FFFD, the character for what is no text: no id, token or name here has it.
const NOTHING: &str = "%EF%BF%BD";

/// Makes paths text.
#[derive(Clone, Copy)]
pub struct PathLayer;

impl<S> Layer<S> for PathLayer {
    type Service = PathService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        PathService { inner }
    }
}

/// The service of [`PathLayer`].
#[derive(Clone)]
pub struct PathService<S> {
    inner: S,
}

impl<S: Service<Request>> Service<Request> for PathService<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        if let Some(readable) = readable(request.uri()) {
            *request.uri_mut() = readable;
        }
        self.inner.call(request)
    }
}

/// The same address with a path that is text; none where it is text already, which is always.
fn readable(uri: &Uri) -> Option<Uri> {
    if is_text(uri.path()) {
        return None;
    }
    let segments: Vec<&str> =
        uri.path().split('/').map(|segment| if is_text(segment) { segment } else { NOTHING }).collect();
    let mut target = segments.join("/");
    if let Some(query) = uri.query() {
        target.push('?');
        target.push_str(query);
    }
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(target).ok()?);
    Uri::from_parts(parts).ok()
}

fn is_text(path: &str) -> bool {
    !path.contains('%') || percent_decode_str(path).decode_utf8().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_no_text_is_replaced() {
        let read = |text: &str| readable(&text.parse().unwrap()).map(|uri| uri.to_string());
        for text in ["/", "/v1/otp/abc", "/v1/otp/%C3%A9%2F%00", "/v1/otp/100%", "/v1?number=%ff", "*"] {
            assert_eq!(read(text), None, "{text}");
        }
        for (text, expected) in [
            ("/v1/otp/%ff", "/v1/otp/%EF%BF%BD"),
            ("/v1/otp/a%ffb/verify?x=%fe&y", "/v1/otp/%EF%BF%BD/verify?x=%fe&y"),
            ("/v1/%C3%A9/%c3/%2F", "/v1/%C3%A9/%EF%BF%BD/%2F"),
            ("/%ED%A0%80", "/%EF%BF%BD"),
            ("http://a.example/%c0%af", "http://a.example/%EF%BF%BD"),
        ] {
            assert_eq!(read(text).as_deref(), Some(expected), "{text}");
        }
    }
}
