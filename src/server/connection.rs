//! One connection from accept to close: its first byte, the TLS handshake, and which HTTP it speaks. Knows nothing of
//! how either HTTP is served.
//!
//! hyper-util's automatic builder waits for a first byte, or for the rest of "PRI", for ever. So the first bytes are
//! read here, under deadlines, and handed on; until they come a connection has no buffers.

use std::convert::Infallible;
use std::future::Future as _;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};
use tower::Service;

use super::drain::{Gate, Signal, Stage};
use super::link::{Common, Link};
use super::listener::Seat;
use super::stats::ServerStats;
use super::tls::Tls;
use super::{http1, http2};

/// What an HTTP/2 client says first (RFC 9113 section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// In a drain a connection that has not yet spoken is given this long from its accept: its client may just be about
/// to, and a request on a fresh connection is rarely repeated when it fails.
const FRESH: Duration = Duration::from_secs(1);

/// What a peer was late with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Late {
    FirstByte,
    Handshake,
    Headers,
    Idle,
    Body,
    Write,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// By itself: by the peer, by an answer that said so, by an error.
    Over,
    /// By a deadline.
    Late(Late),
    /// By the end of a drain.
    Cut,
}

/// Serves `socket` until its end.
pub(super) async fn run<S>(socket: TcpStream, peer: SocketAddr, common: Arc<Common>, service: S, seat: Seat)
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    common.stats.open.add_one();
    let _open = Open(Arc::clone(&common.stats));
    let link = Arc::new(Link::new(Arc::clone(&common), peer));
    let mut alarm = pin!(sleep_until(link.born() + common.settings.deadlines.first_byte));
    let end = match &common.settings.tls {
        None => plain(socket, &link, service, alarm.as_mut()).await,
        // Boxed, so that the task of a plain connection has no room for what TLS needs.
        Some(tls) => Box::pin(encrypted(socket, tls, &link, service, alarm.as_mut())).await,
    };
    let stats = &common.stats;
    match end {
        End::Over => {}
        End::Late(late) => match late {
            Late::FirstByte => stats.late_first_byte.add_one(),
            Late::Handshake => stats.handshake_failures.add_one(),
            Late::Headers => stats.late_headers.add_one(),
            Late::Idle => stats.late_idle.add_one(),
            Late::Body => stats.late_body.add_one(),
            Late::Write => stats.late_write.add_one(),
        },
        End::Cut => {
            stats.cut.add_one();
            seat.ticket.cut();
        }
    }
    tracing::debug!(%peer, ?end, requests = link.requests().0, "connection closed");
}

/// Counts a connection as open until it is dropped, also when a panic drops it.
struct Open(Arc<ServerStats>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.take_one();
    }
}

async fn plain<S>(mut socket: TcpStream, link: &Arc<Link>, service: S, mut alarm: Pin<&mut Sleep>) -> End
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    let gate = &link.common.gate;
    let deadlines = &link.common.settings.deadlines;
    let until = |signal| before_first(signal, link.born(), deadlines.first_byte);
    let mut first = match wait(&mut socket, gate, alarm.as_mut(), until).await {
        Waited::Bytes(bytes) => bytes,
        other => return other.end(Late::FirstByte),
    };
    let started = Instant::now();
    let is_http2 = loop {
        match speaks_http2(&first) {
            Some(decided) => break decided,
            None => {
                let until = |signal| before_first(signal, started, deadlines.headers);
                match wait(&mut socket, gate, alarm.as_mut(), until).await {
                    Waited::Bytes(more) => {
                        let mut longer = BytesMut::from(first);
                        longer.extend_from_slice(&more);
                        first = longer.freeze();
                    }
                    other => return other.end(Late::Headers),
                }
            }
        }
    };
    if is_http2 {
        Box::pin(http2::serve(socket, first, link, service, alarm)).await
    } else {
        http1::serve(socket, first, link, service, alarm).await
    }
}

async fn encrypted<S>(socket: TcpStream, tls: &Tls, link: &Arc<Link>, service: S, mut alarm: Pin<&mut Sleep>) -> End
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    let gate = &link.common.gate;
    let deadlines = &link.common.settings.deadlines;
    let spoken = gate.attend(|cx, signal| {
        let mut space = [MaybeUninit::uninit()];
        if socket.poll_peek(cx, &mut ReadBuf::uninit(&mut space)).is_ready() {
            return Poll::Ready(Waited::Bytes(Bytes::new()));
        }
        poll_until(alarm.as_mut(), before_first(signal, link.born(), deadlines.first_byte), cx)
    });
    match spoken.await {
        Waited::Bytes(_) => {}
        other => return other.end(Late::FirstByte),
    }
    let shaken = Instant::now();
    let mut accept = tls.accept(socket);
    let handshake = gate.attend(|cx, signal| {
        if signal.stage == Stage::Closed {
            return Poll::Ready(Err(End::Cut));
        }
        if let Poll::Ready(stream) = Pin::new(&mut accept).poll(cx) {
            return Poll::Ready(stream.map_err(|error| {
                link.common.stats.handshake_failures.add_one();
                tracing::debug!(peer = %link.socket, %error, "TLS handshake failed");
                End::Over
            }));
        }
        ready!(poll_alarm(alarm.as_mut(), shaken + deadlines.handshake, cx));
        Poll::Ready(Err(End::Late(Late::Handshake)))
    });
    let mut stream = match handshake.await {
        Ok(stream) => stream,
        Err(end) => return end,
    };
    drop(accept);
    if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
        return http2::serve(stream, Bytes::new(), link, service, alarm).await;
    }
    let started = Instant::now();
    let until = |signal| before_first(signal, started, deadlines.headers);
    match wait(&mut stream, gate, alarm.as_mut(), until).await {
        Waited::Bytes(first) => http1::serve(stream, first, link, service, alarm).await,
        other => other.end(Late::Headers),
    }
}

fn speaks_http2(first: &[u8]) -> Option<bool> {
    if first.len() < PREFACE.len() && PREFACE.starts_with(first) {
        return None;
    }
    Some(first.starts_with(PREFACE))
}

/// Until when a connection without a request may wait for one.
fn before_first(signal: Signal, since: Instant, patience: Duration) -> Option<Instant> {
    match signal.stage {
        Stage::Serving | Stage::Announcing => Some(since + patience),
        Stage::Closing => Some(since + patience.min(FRESH)),
        Stage::Closed => None,
    }
}

/// What came of waiting for bytes.
pub(super) enum Waited {
    Bytes(Bytes),
    /// The peer went away.
    Closed,
    /// The deadline passed.
    Late,
    /// A drain says that there is nothing to wait for.
    Leave,
}

impl Waited {
    pub(super) const fn end(&self, late: Late) -> End {
        match self {
            Self::Late => End::Late(late),
            Self::Bytes(_) | Self::Closed | Self::Leave => End::Over,
        }
    }
}

/// Waits for bytes, for as long as `until` says; when it says nothing, the wait is over.
pub(super) async fn wait<T: AsyncRead + AsyncWrite + Unpin>(
    io: &mut T,
    gate: &Gate,
    mut alarm: Pin<&mut Sleep>,
    until: impl Fn(Signal) -> Option<Instant>,
) -> Waited {
    gate.attend(|cx, signal| {
        // On the stack of this poll only: a connection that waits holds no buffer.
        let mut space = [const { MaybeUninit::uninit() }; 2048];
        let mut buffer = ReadBuf::uninit(&mut space);
        match Pin::new(&mut *io).poll_read(cx, &mut buffer) {
            Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                return Poll::Ready(Waited::Bytes(Bytes::copy_from_slice(buffer.filled())));
            }
            Poll::Ready(_) => return Poll::Ready(Waited::Closed),
            Poll::Pending => {}
        }
        let waited = ready!(poll_until(alarm.as_mut(), until(signal), cx));
        // Let the peer know; nothing is buffered, so that one attempt is enough.
        let _ = Pin::new(&mut *io).poll_shutdown(cx);
        Poll::Ready(waited)
    })
    .await
}

fn poll_until(alarm: Pin<&mut Sleep>, until: Option<Instant>, cx: &mut Context<'_>) -> Poll<Waited> {
    let Some(until) = until else { return Poll::Ready(Waited::Leave) };
    poll_alarm(alarm, until, cx).map(|()| Waited::Late)
}

/// Polls a connection's one timer for `deadline`. A deadline that moves to later, as with each request on a
/// connection that is kept alive, costs nothing: the timer fires early and is set again then.
pub(super) fn poll_alarm(mut alarm: Pin<&mut Sleep>, deadline: Instant, cx: &mut Context<'_>) -> Poll<()> {
    if deadline < alarm.deadline() {
        alarm.as_mut().reset(deadline);
    }
    loop {
        ready!(alarm.as_mut().poll(cx));
        if Instant::now() >= deadline {
            return Poll::Ready(());
        }
        alarm.as_mut().reset(deadline);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_the_protocols_apart() {
        for (first, expected) in [
            (&b"P"[..], None),
            (b"PRI", None),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r", None),
            (PREFACE, Some(true)),
            (b"POST / HTTP/1.1", Some(false)),
            (b"PRI / HTTP/1.1", Some(false)),
            (b"\r\n", Some(false)),
        ] {
            assert_eq!(speaks_http2(first), expected, "{first:?}");
        }
        assert_eq!(speaks_http2(&[PREFACE, b"more"].concat()), Some(true));
    }

    #[tokio::test(start_paused = true)]
    async fn the_alarm_follows_a_deadline_that_moves() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut alarm = pin!(sleep_until(at(60)));
        let mut deadlines = [at(60), at(70), at(10)].into_iter();
        let mut deadline = at(0);
        std::future::poll_fn(|cx| {
            // The deadline moves while the first polls go by.
            deadline = deadlines.next().unwrap_or(deadline);
            if deadlines.len() > 0 {
                cx.waker().wake_by_ref();
            }
            poll_alarm(alarm.as_mut(), deadline, cx)
        })
        .await;
        assert_eq!(start.elapsed(), Duration::from_secs(10));
    }
}
