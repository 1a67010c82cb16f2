//! Messages on their way: carriers over HTTP.

mod http;
mod http_canary;
mod http_config;
mod http_escaping;
mod http_misbehaving;
mod http_receipts;
