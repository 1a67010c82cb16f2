//! hyper's service over the tower service: a request is checked, gets its peer and its timed body, and is handed on; a
//! refused one only where the service words refusals. Knows nothing of bytes. It allocates for a body that is not empty
//! and for the extension, and nothing else.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::Body;
use http::header::{CONNECTION, CONTENT_TYPE};
use http::{HeaderValue, Request, Response, Version};
use hyper::body::Incoming;
use tower::Service;
use tower::util::Oneshot;

use super::body::{AnswerBody, Answered, TimedBody, read_rest};
use super::drain::Stage;
use super::link::{Errand, Link};
use super::peer::Peer;
use super::refusal::ServerRefusal;
use super::strict;

/// The service of one connection.
#[derive(Clone)]
pub(super) struct Bridge<S> {
    link: Arc<Link>,
    service: S,
}

impl<S> Bridge<S> {
    pub(super) const fn new(link: Arc<Link>, service: S) -> Self {
        Self { link, service }
    }

    pub(super) fn into_service(self) -> S {
        self.service
    }
}

impl<S> hyper::service::Service<Request<Incoming>> for Bridge<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone,
{
    type Response = Response<AnswerBody>;
    type Error = Infallible;
    type Future = Answer<S>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let link = &self.link;
        let common = &link.common;
        let version = request.version();
        let (begun, finished) = link.requests();
        // On HTTP/1 the wire counts the heads that it sees to their end, and they come here one after the other.
        // One that it did not see was cut short by it. That must never be served: what hyper has of it ends where the wire
        // made it end.
        let cut = version != Version::HTTP_2 && begun == finished;
        if version == Version::HTTP_2 || cut {
            link.begin(1);
        }
        let errand = Some(Errand::new(Arc::clone(link)));
        let (mut head, body) = request.into_parts();
        let refusal = if cut {
            Some(link.refusal_of_cut())
        } else {
            strict::check(&head, &common.settings.limits).inspect_err(|_| common.stats.refused_strict.add_one()).err()
        };
        if let Some(refusal) = refusal {
            tracing::debug!(peer = %link.socket, reason = %refusal, "request refused");
            if !common.settings.hands_refusals {
                return Answer { state: State::Refused { refusal }, errand, version, closes: true };
            }
            head.extensions.insert(refusal);
        }
        let peer = Peer::find(link.socket, &head.headers, &common.settings.trusted_proxies);
        head.extensions.insert(peer);
        // What else came with a refused request is nobody's to read; the connection ends with the answer.
        let closes = refusal.is_some();
        let body = if closes { Body::empty() } else { TimedBody::wrap(body, &head, link) };
        let future = Oneshot::new(self.service.clone(), Request::from_parts(head, body));
        Answer { state: State::Serving { future }, errand, version, closes }
    }
}

pin_project_lite::pin_project! {
    /// The answer to one request.
    pub(super) struct Answer<S: Service<Request<Body>>> {
        #[pin]
        state: State<S>,
        errand: Option<Errand>,
        version: Version,
        // Whether it is the connection's last, whatever becomes of the request. On HTTP/1.
        closes: bool,
    }
}

pin_project_lite::pin_project! {
    #[project = StateProject]
    enum State<S: Service<Request<Body>>> {
        Refused { refusal: ServerRefusal },
        Serving { #[pin] future: Oneshot<S, Request<Body>> },
        // The answer waits for the rest of the request. Rare, hence the boxes.
        Reading { rest: Pin<Box<dyn Future<Output = bool> + Send>>, response: Option<Box<Response<Body>>> },
    }
}

impl<S> Future for Answer<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    type Output = Answered;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let is_http2 = *this.version == Version::HTTP_2;
        let Some(link) = this.errand.as_ref().map(|errand| Arc::clone(&errand.link)) else { return Poll::Pending };
        let (mut response, close) = match this.state.as_mut().project() {
            StateProject::Refused { refusal } => (refused(*refusal), false),
            StateProject::Serving { future } => {
                let Ok(response) = ready!(future.poll(cx));
                match link.take_body() {
                    None => (response, link.is_unread()),
                    Some(body) => {
                        let mut rest: Pin<Box<dyn Future<Output = bool> + Send>> = Box::pin(read_rest(body));
                        match rest.as_mut().poll(cx) {
                            Poll::Ready(complete) => (response, !complete || link.is_unread()),
                            Poll::Pending => {
                                this.state.set(State::Reading { rest, response: Some(Box::new(response)) });
                                return Poll::Pending;
                            }
                        }
                    }
                }
            }
            StateProject::Reading { rest, response } => {
                let complete = ready!(rest.as_mut().poll(cx));
                let Some(response) = response.take() else { return Poll::Pending };
                (*response, !complete || link.is_unread())
            }
        };
        let Some(mut errand) = this.errand.take() else { return Poll::Pending };
        if !is_http2 && (close || *this.closes || link.common.gate.now().stage > Stage::Serving) {
            // hyper ends the connection after an answer that says so.
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        errand.answering();
        Poll::Ready(Ok(response.map(|body| AnswerBody::new(body, errand))))
    }
}

fn refused(refusal: ServerRefusal) -> Response<Body> {
    let mut response = Response::new(Body::from(format!("{refusal}\n")));
    *response.status_mut() = refusal.status();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response
}
