//! From the outbox to the carriers and back.

mod courier;
mod office;
mod receipts;
