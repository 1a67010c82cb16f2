//! From the outbox to the phone: the provider port, the courier that drives it, and the sandbox.

pub mod courier;
pub mod provider;
pub mod receipt;
pub mod sandbox;
