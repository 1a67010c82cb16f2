//! Faults of the machine: kills, failed writes, a full disk, damaged files. Clients keep a history of what they asked and
//! what they were told; after each fault it is held against a model. No acknowledgement may turn out to be untrue.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "helpers of tests, which clippy.toml exempts only inside test functions"
)]
#![allow(clippy::disallowed_methods, reason = "a real process on a real clock")]

mod crash;
mod full;
mod history;
mod inject;
mod load;
mod model;
mod queued;
pub(crate) mod random;
mod sync;
mod torn;
pub(crate) mod tracer;
mod verifications;
