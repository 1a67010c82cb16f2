//! Calls to others. Over HTTP: one small client on hyper, with deadlines, bounded answers and no redirects, which can be
//! held to public addresses. To message centres: sockets.
//!
//! - `address`: which addresses are public
//! - `connect`: name → checked address → socket → TLS
//! - `client`: one request, one answer, in bounded time
//! - `webhook`: posts events with it
//! - `centre`: sockets to a carrier's message centre
//!
//! Knows nothing of what it carries; the ports that it fills belong to who uses it.

pub mod address;
pub mod centre;
pub mod client;
mod connect;
pub mod webhook;

pub use centre::CentreDialer;
pub use client::{Answer, Client, SendError};
pub use connect::Reach;
pub use webhook::Callbacks;
