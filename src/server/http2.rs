//! HTTP/2 on one connection: hyper speaks, and here it is decided when it has to stop. Knows nothing of what is said.
//!
//! hyper pings a silent peer and closes on one that does not answer. But a peer may answer pings and never ask for
//! anything, or not finish a head, or ask and never open its window for the answers. The first ends as on HTTP/1, but
//! politely; the second as there. Against the third, answers are counted by the period (of [`Deadlines::write`](super::Deadlines::write)) in which they
//! began: none may be under way for a whole one, so that each is taken within one to two of them.

use std::convert::Infallible;
use std::future::Future as _;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Sleep};
use tower::Service;

use super::bridge::Bridge;
use super::connection::{End, Late, poll_alarm};
use super::drain::Stage;
use super::link::Link;
use super::wire::{LINGER, Wire};

/// How long a peer without requests may take to part after GOAWAY.
const PARTING: Duration = Duration::from_secs(2);

/// Serves HTTP/2 over `io` until the end of the connection; `first` was read already.
pub(super) async fn serve<T, S>(io: T, first: Bytes, link: &Arc<Link>, service: S, mut alarm: Pin<&mut Sleep>) -> End
where
    T: AsyncRead + AsyncWrite + Unpin,
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    let wire = TokioIo::new(Wire::http2(io, first, Arc::clone(link)));
    let bridge = Bridge::new(Arc::clone(link), service);
    let mut connection = pin!(link.common.http2.serve_connection(wire, bridge));
    let mut watch = Watch::new(link);
    link.common
        .gate
        .attend(|cx, signal| {
            if signal.stage == Stage::Closed {
                return Poll::Ready(End::Cut);
            }
            loop {
                if signal.stage > Stage::Serving && watch.part(None) {
                    connection.as_mut().graceful_shutdown();
                }
                if let Poll::Ready(result) = connection.as_mut().poll(cx) {
                    if let Err(error) = result {
                        tracing::debug!(peer = %link.socket, %error, "HTTP/2 connection failed");
                    }
                    return Poll::Ready(watch.parted.map_or(End::Over, End::Late));
                }
                watch.note(link);
                // The timer is always set: answers end in other tasks, of which this one hears only by chance.
                let (deadline, due) = watch.deadline(link);
                if poll_alarm(alarm.as_mut(), deadline, cx).is_pending() {
                    return Poll::Pending;
                }
                match due {
                    Due::End(end) => return Poll::Ready(end),
                    Due::Part(late) => {
                        if watch.part(Some(late)) {
                            connection.as_mut().graceful_shutdown();
                        }
                    }
                    Due::Period => {
                        if watch.turn(link) {
                            return Poll::Ready(End::Late(Late::Write));
                        }
                    }
                }
            }
        })
        .await
}

/// What is to be done at a deadline.
enum Due {
    End(End),
    /// Say goodbye.
    Part(Late),
    /// Look for answers that are stuck.
    Period,
}

/// What the connection's task remembers between polls.
struct Watch {
    requests: (u32, u32),
    /// Since when the requests are what they are.
    since: Instant,
    period: Instant,
    parting: Option<Instant>,
    parted: Option<Late>,
}

impl Watch {
    fn new(link: &Link) -> Self {
        let now = Instant::now();
        Self { requests: link.requests(), since: now, period: now, parting: None, parted: None }
    }

    fn note(&mut self, link: &Link) {
        let requests = link.requests();
        if requests != self.requests {
            self.requests = requests;
            self.since = Instant::now();
        }
    }

    /// Begins the parting; false if it has begun.
    fn part(&mut self, late: Option<Late>) -> bool {
        let first = self.parting.is_none();
        if first {
            self.parting = Some(Instant::now());
            self.parted = late;
        }
        first
    }

    fn turn(&mut self, link: &Link) -> bool {
        self.period = Instant::now();
        link.turn_period()
    }

    fn deadline(&self, link: &Link) -> (Instant, Due) {
        let deadlines = &link.common.settings.deadlines;
        if let Some(since) = link.leaving_since() {
            return (since + LINGER, Due::End(self.parted.map_or(End::Over, End::Late)));
        }
        if let Some(since) = link.blocked_since() {
            return (since + deadlines.write, Due::End(End::Late(Late::Write)));
        }
        if let Some(since) = link.head_since() {
            return (since + deadlines.headers, Due::End(End::Late(Late::Headers)));
        }
        let (begun, finished) = self.requests;
        let period = (self.period + deadlines.write, Due::Period);
        if begun != finished {
            return period;
        }
        let quiet = match self.parting {
            Some(parting) => (parting.max(self.since) + PARTING, Due::End(self.parted.map_or(End::Over, End::Late))),
            None if begun == 0 => (self.since + deadlines.headers, Due::Part(Late::Headers)),
            None => (self.since + link.common.idle(), Due::Part(Late::Idle)),
        };
        if quiet.0 < period.0 { quiet } else { period }
    }
}
