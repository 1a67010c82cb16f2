//! One integration binary over real sockets and real files.

#[cfg(test)]
mod quota;
