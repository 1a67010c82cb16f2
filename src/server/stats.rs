//! What the server counts: plain atomics that a metrics page may read; knows no metrics library.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of one listener, all since its start except [`open`](Self::open). Reading them costs nothing.
#[derive(Debug, Default)]
pub struct ServerStats {
    /// Connections accepted.
    pub accepted: Counter,
    /// Connections open now.
    pub open: Counter,
    /// Times the accept loop found every permit taken and had to wait.
    pub permit_waits: Counter,
    /// Failed accepts, by lack of descriptors or memory.
    pub accept_errors: Counter,
    /// TLS handshakes that failed, were abandoned, or ran into their deadline.
    pub handshake_failures: Counter,
    /// Connections closed because their first byte did not come.
    pub late_first_byte: Counter,
    /// Connections closed because a request head was not complete in time.
    pub late_headers: Counter,
    /// Connections closed because no further request came (the ordinary end of keep-alive).
    pub late_idle: Counter,
    /// Request bodies that were not complete in time.
    pub late_body: Counter,
    /// Connections closed because the peer did not read its answers.
    pub late_write: Counter,
    /// HTTP/1 requests refused because their end was ambiguous (400) or their head too long (414, 431), and HTTP/2
    /// connections ended because of too many frames that ask for nothing.
    pub refused_framing: Counter,
    /// Requests refused by the checks on the parsed head, as a missing Host.
    pub refused_strict: Counter,
    /// Connections cut at the end of a drain.
    pub cut: Counter,
}

/// A number that many tasks change.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// The present value.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn add_one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn take_one(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
