//! From the outbox to the phone: the provider port, the courier that drives it, the sandbox, and carriers' protocols.

pub mod courier;
pub mod provider;
pub mod receipt;
pub mod sandbox;
pub mod smpp;
