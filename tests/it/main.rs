//! One integration binary over real sockets and real files.

mod architecture;
mod config;
mod edge;
mod fault;
mod gateway;
mod quota;
mod store;
mod support;
