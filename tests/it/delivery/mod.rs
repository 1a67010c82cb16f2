//! Messages on their way: carriers over HTTP.

mod http;
mod http_misbehaving;
