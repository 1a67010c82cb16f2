//! From the outbox to the carriers and back.

mod chaos;
mod courier;
mod http;
mod http_canary;
mod http_config;
mod http_escaping;
mod http_journey;
mod http_misbehaving;
mod http_receipts;
mod office;
mod receipts;
