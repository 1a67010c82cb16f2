//! otpgate: a self-hosted, connector-compatible API gateway for one-time passwords.

#![deny(unsafe_code)]
#![cfg_attr(test, allow(missing_docs, reason = "tests document themselves by their names"))]

pub mod abuse;
pub mod access;
pub mod app;
pub mod carrier;
pub mod certificate;
pub mod cli;
pub mod clock;
pub mod config;
pub mod deadline;
pub mod delivery;
pub mod events;
pub mod footprint;
pub mod idempotency;
pub mod identity;
pub mod layer;
pub mod openapi;
pub mod otp;
pub mod outbound;
pub mod quota;
pub mod secret;
pub mod server;
pub mod stack;
pub mod store;
pub mod surface;
pub mod telemetry;
pub mod verification;
