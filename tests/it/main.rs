//! One integration binary over real sockets and real files.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test ends by panicking, prints its seed, and looks at the real clock"
)]

mod access;
mod architecture;
mod captcha;
mod config;
mod connector;
mod counting;
mod delivery;
mod dispatch;
mod edge;
mod fault;
mod finish;
mod gateway;
mod idempotency;
mod openapi;
mod operator;
mod quota;
mod replicas;
mod smpp;
mod store;
mod support;
mod verification;
