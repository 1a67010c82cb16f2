//! otpgate: a self-hosted, connector-compatible API gateway for one-time passwords.

#![cfg_attr(test, allow(missing_docs, reason = "tests document themselves by their names"))]

pub mod abuse;
pub mod access;
pub mod cli;
pub mod clock;
pub mod config;
pub mod otp;
pub mod quota;
pub mod secret;
pub mod server;
pub mod telemetry;
