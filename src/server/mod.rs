//! Sockets to requests: accepts connections, holds them to their deadlines, and calls a tower service with requests.
//! Knows nothing of OTPs, keys, quotas or dialects; the public and the admin listener are two [`Server`]s.
//!
//! A connection's way:
//! `listener` takes it when a permit is free → `connection` waits for its first byte, does the TLS handshake (`tls`)
//! and tells HTTP/1 from HTTP/2 → `http1` or `http2` lets hyper speak, over a `wire` that watches the boundaries of
//! messages (`framing`) or `frames`, and the time → `bridge` turns hyper's request into the tower service's, after
//! the checks of `strict`, with a [`Peer`] in its extensions and a `body` that has a deadline. What the parts of a
//! connection have to know of each other stands in its `link`.
//! A [`Drain`] ends it all in order; [`ServerStats`] counts.
//!
//! What is refused here:
//!
//! | status | when | by |
//! |---|---|---|
//! | 400 | malformed request line or field; bare LF in a request line | hyper |
//! | 400 | ambiguous length: two framing fields, bare LF in a header section | `framing`, or hyper |
//! | 400 | Host missing, doubled, malformed; coding other than `chunked`; CONNECT | `strict` |
//! | 414 | target over [`Limits::target_bytes`] | `framing` and `strict` |
//! | 431 | fields over [`Limits::header_bytes`] or [`Limits::header_fields`] | `framing` and `strict` |
//!
//! On HTTP/1 each of these ends the connection and says so. hyper's own answers have no body, since hyper makes them before
//! anybody sees the request; so has that of h2 to a head that is beyond all limits together. The others are a
//! [`ServerRefusal`]: the service words it where [`Settings::hands_refusals`] says so, and else it is one line of plain text,
//! and the request never reaches the service. Whoever is late is closed on without an answer, save in a body: that is the service's to
//! answer (408, see [`BodyTimeout`]), since it holds the request.

mod body;
mod bridge;
mod connection;
mod drain;
mod frames;
mod framing;
mod http1;
mod http2;
mod link;
mod listener;
mod peer;
mod refusal;
mod settings;
mod stats;
mod strict;
mod substitute;
mod tls;
mod wire;

pub use body::BodyTimeout;
pub use drain::{Drain, Stage};
pub use listener::{BindError, Listener, Server};
pub use peer::{Network, NetworkError, Peer};
pub use refusal::ServerRefusal;
pub use settings::{Deadlines, Limits, Settings};
pub use stats::{Counter, ServerStats};
pub use tls::{Tls, TlsError};
