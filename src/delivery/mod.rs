//! From the outbox to the phone, and back: the provider port, the courier that drives it, and the desk for receipts.
//!
//! - `provider`, `receipt`: the ports to carriers, there and back
//! - `courier`, `submission`: which messages are worked on, and one message's way
//! - `routes`, `breaker`: who is given it
//! - `rules`: what becomes of it, pure
//! - `desk`, `slip`: what carriers say afterwards, and by which name; `words`: what of it may be shown
//! - `sandbox`: a provider without a carrier; `smpp`: carriers by SMPP

pub mod breaker;
pub mod courier;
pub mod desk;
pub mod provider;
pub mod receipt;
pub mod routes;
pub mod rules;
pub mod sandbox;
pub mod slip;
pub mod smpp;
mod submission;
pub mod words;
