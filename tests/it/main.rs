//! One integration binary over real sockets and real files.

mod architecture;
mod config;
mod edge;
mod gateway;
mod openapi;
mod quota;
mod store;
mod support;
