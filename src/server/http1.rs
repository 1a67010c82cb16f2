//! HTTP/1 on one connection: hyper speaks while there is something to say, and is taken down while there is not.
//! Knows nothing of what is said.
//!
//! hyper keeps two buffers of 8 KiB for a connection as long as it lives. A connection that waits for its next
//! request needs neither, so hyper's part is dropped and the socket alone is kept, until the next byte comes
//! (`park`). A connection whose requests follow each other quickly is left in peace for [`HOT`] after an answer.

use std::convert::Infallible;
use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::{Request, Response};
use hyper::server::conn::http1::Connection;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Sleep};
use tower::Service;

use super::bridge::Bridge;
use super::connection::{End, Late, Waited, poll_alarm, wait};
use super::drain::{Signal, Stage};
use super::framing::Position;
use super::link::Link;
use super::wire::{LINGER, Wire};

/// How long a busy connection stays with hyper after an answer, and how soon after being parked the next request has
/// to come for a connection to count as busy.
const HOT: Duration = Duration::from_secs(2);

/// What a conversation came to.
enum Turn {
    /// All requests are answered, and nothing of the next one is here.
    Quiet,
    Ended(End),
}

/// Serves HTTP/1 over `io` until the end of the connection; `first` was read already.
pub(super) async fn serve<T, S>(
    mut io: T,
    mut first: Bytes,
    link: &Arc<Link>,
    mut service: S,
    mut alarm: Pin<&mut Sleep>,
) -> End
where
    T: AsyncRead + AsyncWrite + Unpin,
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    let mut patience = Duration::ZERO;
    loop {
        let wire = TokioIo::new(Wire::http1(io, first, Arc::clone(link)));
        let bridge = Bridge::new(Arc::clone(link), service);
        let mut connection = link.common.http1.serve_connection(wire, bridge);
        match converse(&mut connection, link, alarm.as_mut(), patience).await {
            Turn::Quiet => {}
            Turn::Ended(end) => return end,
        }
        let parts = connection.into_parts();
        let (socket, left) = parts.io.into_inner().into_parts();
        io = socket;
        service = parts.service.into_service();
        if !parts.read_buf.is_empty() || !left.is_empty() {
            tracing::error!(peer = %link.socket, "a quiet connection had bytes left");
            return End::Over;
        }
        let parked = Instant::now();
        let until = |signal: Signal| (signal.stage < Stage::Closing).then(|| parked + link.common.idle());
        match wait(&mut io, &link.common.gate, alarm.as_mut(), until).await {
            Waited::Bytes(bytes) => first = bytes,
            other => return other.end(Late::Idle),
        }
        patience = if parked.elapsed() < HOT { HOT } else { Duration::ZERO };
    }
}

/// Lets hyper speak until the connection is over, late, cut, or has been quiet for `patience`.
async fn converse<T, S>(
    connection: &mut Connection<TokioIo<Wire<T>>, Bridge<S>>,
    link: &Arc<Link>,
    mut alarm: Pin<&mut Sleep>,
    patience: Duration,
) -> Turn
where
    T: AsyncRead + AsyncWrite + Unpin,
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    let mut rest = Rest { finished: link.requests().1, since: Instant::now() };
    let mut leaving = false;
    link.common
        .gate
        .attend(|cx, signal| {
            if signal.stage == Stage::Closed {
                return Poll::Ready(Turn::Ended(End::Cut));
            }
            loop {
                if let Poll::Ready(result) = Pin::new(&mut *connection).poll(cx) {
                    if let Err(error) = result {
                        tracing::debug!(peer = %link.socket, %error, "HTTP/1 connection failed");
                    }
                    return Poll::Ready(Turn::Ended(End::Over));
                }
                if leaving || signal.stage < Stage::Closing {
                    break;
                }
                // Not before hyper has looked: it would leave without reading what is there.
                leaving = true;
                Pin::new(&mut *connection).graceful_shutdown();
            }
            rest.note(link);
            if !leaving && link.is_quiet() && (patience.is_zero() || rest.since.elapsed() >= patience) {
                return Poll::Ready(Turn::Quiet);
            }
            match rest.deadline(link, patience) {
                Some((deadline, turn)) => poll_alarm(alarm.as_mut(), deadline, cx).map(|()| turn),
                None => Poll::Pending,
            }
        })
        .await
}

/// Since when no answer was finished.
struct Rest {
    finished: u32,
    since: Instant,
}

impl Rest {
    fn note(&mut self, link: &Link) {
        let (_, finished) = link.requests();
        if finished != self.finished {
            self.finished = finished;
            self.since = Instant::now();
        }
    }

    /// The deadline that holds now, and what it means when it passes; none while the service has the request.
    fn deadline(&self, link: &Link, patience: Duration) -> Option<(Instant, Turn)> {
        let deadlines = &link.common.settings.deadlines;
        let late = |since: Instant, patience, late| Some((since + patience, Turn::Ended(End::Late(late))));
        if let Some(since) = link.leaving_since() {
            return Some((since + LINGER, Turn::Ended(End::Over)));
        }
        if let Some(since) = link.blocked_since() {
            return late(since, deadlines.write, Late::Write);
        }
        if link.is_serving() {
            return None;
        }
        let (begun, finished) = link.requests();
        // Complete heads are handed to the service at once; should hyper ever see one as incomplete, it is held to
        // the same time.
        if link.is_at(Position::Head) || begun != finished {
            // A head that came behind another request waited for it.
            let since = link.head_since().map_or(self.since, |since| since.max(self.since));
            return late(since, deadlines.headers, Late::Headers);
        }
        if link.is_at(Position::Body) {
            // Answered without reading the body; hyper is closing.
            return late(self.since, deadlines.body, Late::Body);
        }
        let idle = link.common.idle();
        if patience < idle && link.is_quiet() {
            return Some((self.since + patience, Turn::Quiet));
        }
        late(self.since, idle, Late::Idle)
    }
}
