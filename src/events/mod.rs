//! Webhooks: who is told what becomes of an OTP, and how it gets there.
//!
//! ```text
//! a transition leaves news in its OTP -> fanout: a row for each subscription that matches, in the same commit
//! queue (a port) -> dispatch: claims, signs, posts, settles -> delivered | put off | dead letter
//! ```
//!
//! Knows no HTTP server, no URL, no SQL: addresses are texts that the [`dispatch::Post`] port judges and posts to.

pub mod backoff;
pub mod callback;
pub mod dispatch;
pub mod fanout;
pub mod inside;
pub mod queue;
pub mod settler;
pub mod signing;
pub mod store;
pub mod subscription;
pub mod subscriptions;
