//! Carriers that are reached over HTTP, as data: how each is asked, what its answers mean, and how its receipts are read.
//!
//! - `description`: what an operator writes of a carrier, and what the presets are written in
//! - `preset`: the carriers that are described already
//! - `template`, `place`: texts with placeholders, each value escaped for the place it stands in
//! - `values`: what a message puts in for them
//! - `compile`: a description, checked, every fault with its place
//! - `request`, `authentication`: a message → the request that submits it
//! - `answer`: the carrier's answer → taken, refused, to be tried again, or unknown
//! - `report`, `signature`: the carrier's receipts → reports, once they are proved to be its own
//! - `reader`: which carrier a receipt's address belongs to
//!
//! Must not know sockets, stores or the configuration's layers. Nothing of what a carrier sends is trusted or repeated, but
//! for its own ids and error codes, which are bounded.

mod address;
pub mod answer;
pub mod authentication;
pub mod compile;
pub mod description;
pub mod place;
pub mod preset;
pub mod reader;
pub mod report;
pub mod request;
pub mod signature;
pub mod template;
pub mod values;

pub use compile::{Carrier, Fault, compile};
pub use description::Description;
pub use reader::ReceiptReader;
