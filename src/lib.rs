//! otpgate: a self-hosted, connector-compatible API gateway for one-time passwords.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(missing_docs, reason = "tests document themselves by their names"))]

pub mod abuse;
pub mod access;
pub mod clock;
pub mod otp;
pub mod quota;
pub mod secret;
pub mod server;
pub mod store;
