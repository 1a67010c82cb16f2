//! The byte stream that hyper reads and writes: the socket, plus what was read before hyper came, minus what hyper
//! must not see. It tells the [`Link`] how things stand. Knows nothing of requests beyond their boundaries.
//!
//! When the framing finds a fault, the wire withholds the rest of the stream and gives hyper a few bytes instead
//! (`substitute`) that bring the request to where the bridge refuses it, or that hyper itself refuses with the right
//! status. So the answer comes in its turn behind the answers of pipelined requests, without a second HTTP writer.
//!
//! Shutting down lingers: a socket that is closed with unread bytes in it sends a reset, which can destroy the
//! answer on its way (RFC 9112 section 9.6). So after the last byte is out the rest is read and thrown away for
//! [`LINGER`] at most; the connection's task keeps the time.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::frames::Frames;
use super::framing::{Cut, Framing, Position};
use super::link::Link;
use super::substitute::substitute;

/// How long a closed connection is read from at most.
pub(super) const LINGER: Duration = Duration::from_secs(1);
/// How much of it.
const LINGER_BYTES: usize = 1024 * 1024;

/// A socket under observation.
pub(super) struct Wire<T> {
    io: T,
    link: Arc<Link>,
    /// Bytes that come before those of the socket.
    first: Bytes,
    bounds: Bounds,
    /// After a fault nothing comes behind `first`.
    fault: Option<Position>,
    shut: bool,
    discarded: usize,
}

impl<T> Wire<T> {
    pub(super) fn http1(io: T, first: Bytes, link: Arc<Link>) -> Self {
        let bounds = Bounds::Messages(Framing::new(link.common.framing()));
        Self { io, link, first, bounds, fault: None, shut: false, discarded: 0 }
    }

    pub(super) const fn http2(io: T, first: Bytes, link: Arc<Link>) -> Self {
        Self { io, link, first, bounds: Bounds::Frames(Frames::new()), fault: None, shut: false, discarded: 0 }
    }

    /// The socket, and the bytes that were not yet taken.
    pub(super) fn into_parts(self) -> (T, Bytes) {
        (self.io, self.first)
    }

    /// Follows the bytes of `buffer` from `start` on, and takes away those that must not pass.
    fn follow(&mut self, buffer: &mut ReadBuf<'_>, start: usize) {
        let (_, fresh) = buffer.filled().split_at(start);
        let (passed, substitute, position) = match &mut self.bounds {
            Bounds::Unwatched => return,
            Bounds::Messages(framing) => {
                let before = framing.heads();
                let outcome = framing.scan(fresh);
                self.link.read(framing.heads().wrapping_sub(before), framing.position());
                let Err(Cut { passed, fault }) = outcome else { return };
                tracing::debug!(peer = %self.link.socket, ?fault, "request refused");
                self.link.cut(fault);
                (passed, substitute(fault, framing.faulty_field()), framing.position())
            }
            Bounds::Frames(frames) => {
                let outcome = frames.scan(fresh);
                self.link.read(0, frames.position());
                let Err(passed) = outcome else { return };
                tracing::debug!(peer = %self.link.socket, "too many idle frames");
                (passed, Bytes::from_static(&MISPLACED_PING), frames.position())
            }
        };
        self.link.common.stats.refused_framing.add_one();
        buffer.set_filled(start + passed);
        self.first = substitute;
        self.fault = Some(position);
        self.bounds = Bounds::Unwatched;
    }
}

/// What the bytes are followed with.
enum Bounds {
    /// HTTP/1.
    Messages(Framing),
    /// HTTP/2.
    Frames(Frames),
    /// Nothing, behind a fault.
    Unwatched,
}

/// A PING on a stream, which is an error of the connection (RFC 9113 section 6.7): h2 says goodbye.
const MISPLACED_PING: [u8; 17] = [0, 0, 8, 6, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];

impl<T: AsyncRead + Unpin> AsyncRead for Wire<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let me = &mut *self;
        let start = buffer.filled().len();
        loop {
            if me.first.has_remaining() {
                let (piece, _) = me.first.split_at(me.first.len().min(buffer.remaining()));
                buffer.put_slice(piece);
                me.first.advance(buffer.filled().len() - start);
            } else {
                match me.fault {
                    None => ready!(Pin::new(&mut me.io).poll_read(cx, buffer))?,
                    // A body ends here, incomplete.
                    Some(Position::Body) => {}
                    // Not the end: hyper would take it for the peer's, and leave without a word.
                    Some(_) => return Poll::Pending,
                }
            }
            if buffer.filled().len() == start {
                me.link.read_closed();
                return Poll::Ready(Ok(()));
            }
            me.follow(buffer, start);
            // When all that came was withheld, the substitute is next: nothing read would mean the end.
            if buffer.filled().len() > start {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Wire<T> {
    fn watch<R>(&self, written: Poll<io::Result<R>>) -> Poll<io::Result<R>> {
        if written.is_pending() {
            self.link.blocked();
        }
        written
    }

    /// Reads what still comes, until the end, the limit or, if nothing was missing, the first pause.
    fn linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut space = [const { MaybeUninit::uninit() }; 4096];
        while self.discarded < LINGER_BYTES {
            let mut buffer = ReadBuf::uninit(&mut space);
            match Pin::new(&mut self.io).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => self.discarded += buffer.filled().len(),
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => {
                    let complete = matches!(&self.bounds, Bounds::Messages(at) if at.position() == Position::Boundary);
                    return if complete && self.discarded == 0 { Poll::Ready(()) } else { Poll::Pending };
                }
            }
        }
        Poll::Ready(())
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Wire<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.link.wrote();
        let written = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.watch(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.link.wrote();
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, slices);
        self.watch(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.io).poll_flush(cx);
        if flushed.is_ready() {
            self.link.flushed();
        }
        self.watch(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.link.leaving();
        if !self.shut {
            ready!(Pin::new(&mut self.io).poll_shutdown(cx))?;
            self.shut = true;
        }
        self.linger(cx).map(Ok)
    }
}
