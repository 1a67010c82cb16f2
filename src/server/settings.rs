//! The limits and deadlines of a listener, with the defaults that it ships with; knows no file format.

use std::time::Duration;

use super::peer::Network;
use super::tls::Tls;

/// What a [`Server`](super::Server) has to be told; the default is a plain listener that trusts no proxy.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Sizes and counts.
    pub limits: Limits,
    /// Times.
    pub deadlines: Deadlines,
    /// Networks whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<Network>,
    /// The certificate; without one the listener speaks plain HTTP.
    pub tls: Option<Tls>,
    /// Whether the service words what the server refuses: then it gets such requests, each with a
    /// [`ServerRefusal`](super::ServerRefusal) that it has to look for first. Otherwise they are answered here, with one
    /// line of plain text, and never reach it.
    pub hands_refusals: bool,
}

/// Sizes and counts that a listener allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time; further ones wait in the kernel's queue (4,096 long). Default 10,000, at least 1.
    pub connections: usize,
    /// Bytes of a request line, or of an HTTP/2 path, that still reach the service. Default 16,384: RFC 9110
    /// section 4.1 wants 8,000 supported, and the layers above are to answer 414 to what is over their own limit.
    pub target_bytes: usize,
    /// Bytes of a header section, or of a trailer section. Default 16,384.
    pub header_bytes: usize,
    /// Fields in a header section. Default 100; other values cost an allocation a request.
    pub header_fields: usize,
    /// HTTP/2: streams at a time on a connection. Default 100.
    pub h2_streams: u32,
    /// HTTP/2: bytes of a body that may be under way on a stream. Default 65,536.
    pub h2_stream_window: u32,
    /// HTTP/2: bytes of all bodies that may be under way on a connection. Default 1,048,576.
    pub h2_connection_window: u32,
    /// HTTP/2: streams that were reset by the peer before they were handled, at a time; one more ends the
    /// connection (CVE-2023-44487). Default 20.
    pub h2_pending_resets: usize,
    /// HTTP/2: streams that had to be reset because of the peer's errors, in all; one more ends the connection
    /// (CVE-2025-8671). Default 64.
    pub h2_error_resets: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            target_bytes: 16 * 1024,
            header_bytes: 16 * 1024,
            header_fields: 100,
            h2_streams: 100,
            h2_stream_window: 64 * 1024,
            h2_connection_window: 1024 * 1024,
            h2_pending_resets: 20,
            h2_error_resets: 64,
        }
    }
}

/// How long a peer may take for what it has to do. None of these bounds the service itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// From accept to the first byte. Default 5 s.
    pub first_byte: Duration,
    /// From the first byte to the end of the TLS handshake. Default 10 s.
    pub handshake: Duration,
    /// From the first byte of a request head to its last; on HTTP/2 from the start to the first request. Default 10 s.
    pub headers: Duration,
    /// Between an answer and the next request. Default 60 s.
    pub idle: Duration,
    /// The same while permits or descriptors are short, so that the silent make room. Default 1 s.
    pub idle_when_full: Duration,
    /// For a request's whole body, from the moment the service first has to wait for it. Default 10 s.
    pub body: Duration,
    /// From the moment the peer stops taking an answer until it has taken all of it. Default 30 s.
    pub write: Duration,
    /// HTTP/2: how often a silent peer is pinged. Default 20 s.
    pub ping_every: Duration,
    /// HTTP/2: how long the answer to a ping may take. Default 10 s.
    pub ping_answer: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            first_byte: Duration::from_secs(5),
            handshake: Duration::from_secs(10),
            headers: Duration::from_secs(10),
            idle: Duration::from_secs(60),
            idle_when_full: Duration::from_secs(1),
            body: Duration::from_secs(10),
            write: Duration::from_secs(30),
            ping_every: Duration::from_secs(20),
            ping_answer: Duration::from_secs(10),
        }
    }
}
