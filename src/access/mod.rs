//! Who is calling: API keys, connections, scopes. Knows no HTTP and no OTP.
//!
//! A *connection* is what a key opens: an account, its scopes, its quota. A rotation changes the key, never the connection.

pub mod authenticator;
pub mod connection;
pub mod credential;
pub mod key;
pub mod nonce;
pub mod scope;
pub mod store;
