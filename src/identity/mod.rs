//! What a dialect for sign-in needs beside one-time passwords: a puzzle before a message leaves, a pair of keys for each
//! client, and the sessions that a right code opens.
//!
//! - `captcha`: slider puzzles; `captcha/draw` draws them
//! - `rsa`, `pair`: keys, kept sealed and made once
//! - `signature`: what a client encrypts to act for a session
//! - `session`: tokens that are told once and kept as keyed hashes
//! - `worker`: the threads that draw and decrypt
//! - `store`: the port that keeps what has to outlast a restart
//!
//! Must not know HTTP, SQL or the words of a dialect.

pub mod captcha;
pub mod pair;
pub mod rsa;
pub mod session;
pub mod signature;
pub mod store;
pub mod worker;
