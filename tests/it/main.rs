//! One integration binary over real sockets and real files.

mod store;
