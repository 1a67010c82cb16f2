//! The two bodies: a request's, which has a deadline, and an answer's, which notes its end. Knows no size limits.

use std::convert::Infallible;
use std::error::Error;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::header::EXPECT;
use http::{Version, request};
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Sleep, sleep, timeout};

use super::link::{Errand, Link};

/// The error of a request body that did not come in time ([`Deadlines::body`](super::Deadlines::body)).
///
/// Whoever reads the body gets it wrapped by axum; [`BodyTimeout::caused`] finds it. The answer should be 408.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the request body did not arrive in time")]
pub struct BodyTimeout(());

impl BodyTimeout {
    /// Whether `error` or anything that it came from is a body that was late.
    #[must_use]
    pub fn caused(error: &(dyn Error + 'static)) -> bool {
        let mut cause = Some(error);
        while let Some(error) = cause {
            if error.is::<Self>() {
                return true;
            }
            cause = error.source();
        }
        false
    }
}

/// How much of an unread body is read for the sake of the connection, and for how long.
const LEFT_BYTES: u64 = 64 * 1024;
const LEFT_TIME: Duration = Duration::from_secs(1);

pin_project_lite::pin_project! {
    /// A request body under its deadline. The time runs from the first moment that somebody waits for a part of it,
    /// so that a body that came with its head costs no timer, and a service that is slow to read harms no client.
    ///
    /// Dropped before its end, it leaves the rest with the link (see [`read_rest`]).
    pub(super) struct TimedBody {
        inner: Option<Incoming>,
        link: Arc<Link>,
        unread: Unread,
        #[pin]
        timer: Option<Sleep>,
    }

    impl PinnedDrop for TimedBody {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            match this.inner.take() {
                Some(inner) if inner.is_end_stream() => {}
                Some(inner) => match this.unread {
                    Unread::Dropped => {}
                    Unread::HeldBack => this.link.body_failed(),
                    Unread::Left => this.link.leave_body(inner),
                },
                None => {}
            }
        }
    }
}

/// What becomes of what nobody read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unread {
    /// HTTP/2 ends the stream; the connection does not care.
    Dropped,
    /// The client waits for 100 (Continue), and reading would send it; so the connection has to end.
    HeldBack,
    /// It is read for the sake of the next request.
    Left,
}

impl TimedBody {
    /// The body to hand on; the empty one without an allocation.
    pub(super) fn wrap(inner: Incoming, head: &request::Parts, link: &Arc<Link>) -> Body {
        if inner.is_end_stream() {
            return Body::empty();
        }
        let unread = match head.version {
            Version::HTTP_2 => Unread::Dropped,
            _ if head.headers.contains_key(EXPECT) => Unread::HeldBack,
            _ => Unread::Left,
        };
        Body::new(Self { inner: Some(inner), link: Arc::clone(link), unread, timer: None })
    }
}

impl http_body::Body for TimedBody {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let mut this = self.project();
        let Some(inner) = this.inner.as_mut() else { return Poll::Ready(None) };
        if *this.unread == Unread::HeldBack {
            *this.unread = Unread::Left;
        }
        if let Poll::Ready(frame) = Pin::new(inner).poll_frame(cx) {
            if let Some(Err(_)) = &frame {
                *this.inner = None;
                this.link.body_failed();
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        if this.timer.is_none() {
            this.timer.set(Some(sleep(this.link.common.settings.deadlines.body)));
        }
        let Some(timer) = this.timer.as_mut().as_pin_mut() else { return Poll::Pending };
        ready!(timer.poll(cx));
        *this.inner = None;
        this.link.body_failed();
        this.link.common.stats.late_body.add_one();
        Poll::Ready(Some(Err(BodyTimeout(()).into())))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map(http_body::Body::size_hint).unwrap_or_default()
    }
}

/// Reads what a service left of a request's body, so that the next request can be found behind it: a client that is
/// refused for its key or its quota need not connect anew. True if the end was reached; bodies that are long or slow
/// are not worth it.
pub(super) async fn read_rest(mut body: Incoming) -> bool {
    if body.size_hint().lower() > LEFT_BYTES {
        return false;
    }
    let read = async {
        let mut left = LEFT_BYTES;
        loop {
            let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await else { return true };
            let Ok(frame) = frame else { return false };
            let length = frame.data_ref().map_or(0, Bytes::len);
            let Some(rest) = u64::try_from(length).ok().and_then(|length| left.checked_sub(length)) else {
                return false;
            };
            left = rest;
        }
    };
    timeout(LEFT_TIME, read).await.unwrap_or(false)
}

/// An answer's body, which ends the errand when it is over or dropped.
pub(super) struct AnswerBody {
    inner: Body,
    _errand: Errand,
}

impl AnswerBody {
    pub(super) const fn new(inner: Body, errand: Errand) -> Self {
        Self { inner, _errand: errand }
    }
}

impl http_body::Body for AnswerBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.inner).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// The service never fails; its errors are answers.
pub(super) type Answered = Result<http::Response<AnswerBody>, Infallible>;
