//! What the parts of one connection tell each other: the wire and the bridge note what happened, the connection's
//! task reads it after each poll and knows which deadline holds. Words in memory; no timer, no lock.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::drain::Gate;
use super::framing::{Fault, FramingLimits, Position};
use super::refusal::ServerRefusal;
use super::settings::Settings;
use super::stats::ServerStats;

/// HTTP/2: how much larger than all that is allowed together a head may be before h2 refuses it by itself, without a word.
const H2_HEADROOM: usize = 32 * 1024;

/// What all connections of a listener share.
pub(super) struct Common {
    pub(super) settings: Settings,
    pub(super) stats: Arc<ServerStats>,
    pub(super) gate: Arc<Gate>,
    pub(super) http1: http1::Builder,
    pub(super) http2: http2::Builder<TokioExecutor>,
}

impl Common {
    pub(super) fn new(settings: Settings, gate: Arc<Gate>) -> Self {
        let limits = settings.limits;
        let mut http1 = http1::Builder::new();
        // The deadlines are ours (see http1.rs). The buffer holds whatever the framing lets pass, and its substitutes.
        http1.header_read_timeout(None);
        http1.max_buf_size((limits.target_bytes + limits.header_bytes + 2048).max(8192));
        if limits.header_fields != 100 {
            http1.max_headers(limits.header_fields);
        }
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        http2
            .timer(TokioTimer::new())
            .keep_alive_interval(settings.deadlines.ping_every)
            .keep_alive_timeout(settings.deadlines.ping_answer)
            .max_concurrent_streams(limits.h2_streams)
            .initial_stream_window_size(limits.h2_stream_window)
            .initial_connection_window_size(limits.h2_connection_window)
            .max_pending_accept_reset_streams(limits.h2_pending_resets)
            .max_local_error_reset_streams(limits.h2_error_resets)
            .max_header_list_size(
                u32::try_from(limits.target_bytes + limits.header_bytes + H2_HEADROOM).unwrap_or(u32::MAX),
            )
            .max_send_buf_size(64 * 1024);
        Self { settings, stats: Arc::default(), gate, http1, http2 }
    }

    pub(super) const fn framing(&self) -> FramingLimits {
        let limits = &self.settings.limits;
        // The method, the version and the spaces come on top.
        FramingLimits {
            request_line: limits.target_bytes + 64,
            fields: limits.header_bytes,
            field_count: limits.header_fields,
        }
    }

    /// How many connections there may be at a time.
    pub(super) fn connections(&self) -> usize {
        self.settings.limits.connections.clamp(1, Semaphore::MAX_PERMITS)
    }

    /// How long an idle connection may stay, as things are now.
    pub(super) fn idle(&self) -> Duration {
        let deadlines = &self.settings.deadlines;
        if self.gate.now().pressed { deadlines.idle_when_full.min(deadlines.idle) } else { deadlines.idle }
    }
}

/// One connection's notes. Instants are kept as milliseconds since its start, plus one; zero stands for none.
pub(super) struct Link {
    pub(super) common: Arc<Common>,
    pub(super) socket: SocketAddr,
    born: Instant,
    begun: AtomicU32,
    called: AtomicU32,
    finished: AtomicU32,
    position: AtomicU8,
    head_since: AtomicU64,
    unflushed: AtomicBool,
    blocked_since: AtomicU64,
    leaving_since: AtomicU64,
    read_closed: AtomicBool,
    body_failed: AtomicBool,
    /// What the framing found, on HTTP/1: behind it nothing passes any more.
    fault: OnceLock<Fault>,
    /// A request body that the service did not read to its end, on HTTP/1.
    left: Mutex<Option<Incoming>>,
    /// Answers under way by the period in which they began, even and odd; and the period.
    under_way: [AtomicU32; 2],
    period: AtomicU8,
}

impl Link {
    pub(super) fn new(common: Arc<Common>, socket: SocketAddr) -> Self {
        Self {
            common,
            socket,
            born: Instant::now(),
            begun: AtomicU32::new(0),
            called: AtomicU32::new(0),
            finished: AtomicU32::new(0),
            position: AtomicU8::new(0),
            head_since: AtomicU64::new(0),
            unflushed: AtomicBool::new(false),
            blocked_since: AtomicU64::new(0),
            leaving_since: AtomicU64::new(0),
            read_closed: AtomicBool::new(false),
            body_failed: AtomicBool::new(false),
            fault: OnceLock::new(),
            left: Mutex::new(None),
            under_way: [const { AtomicU32::new(0) }; 2],
            period: AtomicU8::new(0),
        }
    }

    pub(super) const fn born(&self) -> Instant {
        self.born
    }

    /// Notes what the wire saw: `heads` more request heads are complete, and the bytes stand at `position`.
    pub(super) fn read(&self, heads: u32, position: Position) {
        if heads > 0 {
            self.begin(heads);
        }
        if heads > 0 || position != Position::Head {
            self.head_since.store(0, Ordering::Relaxed);
        }
        self.position.store(position as u8, Ordering::Relaxed);
        if position == Position::Head {
            self.stamp(&self.head_since);
        }
    }

    pub(super) fn begin(&self, requests: u32) {
        self.begun.fetch_add(requests, Ordering::Relaxed);
    }

    pub(super) fn read_closed(&self) {
        self.read_closed.store(true, Ordering::Relaxed);
    }

    pub(super) fn body_failed(&self) {
        self.body_failed.store(true, Ordering::Relaxed);
    }

    /// Notes that the wire cut what comes because of `fault`.
    pub(super) fn cut(&self, fault: Fault) {
        // There is one on a connection at most.
        let _ = self.fault.set(fault);
    }

    /// What a head that was cut is refused with.
    pub(super) fn refusal_of_cut(&self) -> ServerRefusal {
        ServerRefusal::of_cut(self.fault.get().copied(), &self.common.settings.limits)
    }

    pub(super) fn leave_body(&self, body: Incoming) {
        *self.left.lock() = Some(body);
    }

    pub(super) fn take_body(&self) -> Option<Incoming> {
        self.left.lock().take()
    }

    pub(super) fn wrote(&self) {
        self.unflushed.store(true, Ordering::Relaxed);
    }

    pub(super) fn flushed(&self) {
        self.unflushed.store(false, Ordering::Relaxed);
        self.blocked_since.store(0, Ordering::Relaxed);
    }

    pub(super) fn blocked(&self) {
        self.stamp(&self.blocked_since);
    }

    /// Notes that this side ends the connection.
    pub(super) fn leaving(&self) {
        self.stamp(&self.leaving_since);
    }

    /// Whether, on HTTP/1, an answer now would leave a part of its request's body unread, so that no further request
    /// can be found behind it.
    pub(super) fn is_unread(&self) -> bool {
        let (begun, finished) = self.requests();
        let last = begun.wrapping_sub(finished) == 1;
        self.body_failed.load(Ordering::Relaxed) || (last && self.is_at(Position::Body))
    }

    /// Requests that were begun, and of these the ones whose answer is over.
    pub(super) fn requests(&self) -> (u32, u32) {
        (self.begun.load(Ordering::Relaxed), self.finished.load(Ordering::Relaxed))
    }

    /// Whether the service has a request, or its answer is being taken.
    pub(super) fn is_serving(&self) -> bool {
        self.called.load(Ordering::Relaxed) != self.finished.load(Ordering::Relaxed)
    }

    pub(super) fn blocked_since(&self) -> Option<Instant> {
        self.instant(&self.blocked_since)
    }

    pub(super) fn leaving_since(&self) -> Option<Instant> {
        self.instant(&self.leaving_since)
    }

    pub(super) fn head_since(&self) -> Option<Instant> {
        self.instant(&self.head_since)
    }

    pub(super) fn is_at(&self, position: Position) -> bool {
        self.position.load(Ordering::Relaxed) == position as u8
    }

    /// Whether nothing is under way in either direction and more requests may come: hyper holds nothing either.
    pub(super) fn is_quiet(&self) -> bool {
        let (begun, finished) = self.requests();
        begun == finished
            && self.is_at(Position::Boundary)
            && !self.unflushed.load(Ordering::Relaxed)
            && !self.read_closed.load(Ordering::Relaxed)
            && self.leaving_since.load(Ordering::Relaxed) == 0
    }

    /// Begins a new period; true if an answer from before the period that ends now is still under way.
    pub(super) fn turn_period(&self) -> bool {
        let next = 1 - self.period.load(Ordering::Relaxed).min(1);
        self.period.store(next, Ordering::Relaxed);
        self.of_period(next).load(Ordering::Relaxed) > 0
    }

    fn of_period(&self, period: u8) -> &AtomicU32 {
        let [even, odd] = &self.under_way;
        if period == 0 { even } else { odd }
    }

    fn stamp(&self, slot: &AtomicU64) {
        if slot.load(Ordering::Relaxed) == 0 {
            let millis = u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX);
            slot.store(millis.saturating_add(1), Ordering::Relaxed);
        }
    }

    fn instant(&self, slot: &AtomicU64) -> Option<Instant> {
        let millis = slot.load(Ordering::Relaxed).checked_sub(1)?;
        Some(self.born + Duration::from_millis(millis))
    }
}

/// A request that was handed to the service; dropped when its answer is over, or will never be.
pub(super) struct Errand {
    pub(super) link: Arc<Link>,
    answering: Option<u8>,
}

impl Errand {
    pub(super) fn new(link: Arc<Link>) -> Self {
        link.called.fetch_add(1, Ordering::Relaxed);
        Self { link, answering: None }
    }

    /// Notes that the answer's head is there: from now on the peer has to take it.
    pub(super) fn answering(&mut self) {
        let period = self.link.period.load(Ordering::Relaxed);
        self.link.of_period(period).fetch_add(1, Ordering::Relaxed);
        self.answering = Some(period);
    }
}

impl Drop for Errand {
    fn drop(&mut self) {
        if let Some(period) = self.answering {
            self.link.of_period(period).fetch_sub(1, Ordering::Relaxed);
        }
        self.link.finished.fetch_add(1, Ordering::Relaxed);
    }
}
