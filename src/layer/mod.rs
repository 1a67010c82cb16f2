//! One tower layer a file. The order in which they stand is read in `stack.rs`. None of them knows what an OTP is.

pub mod auth;
pub mod body;
pub mod dialect;
pub mod finish;
pub mod guard;
pub mod idempotency;
pub mod limits;
pub mod path;
pub mod quota;
pub mod refusal;
pub mod rescue;
pub mod route;
pub mod trace;

use std::convert::Infallible;
use std::pin::Pin;

use axum::body::Body;

/// What every service of the stack takes.
pub type Request = http::Request<Body>;
/// What every service of the stack answers.
pub type Response = http::Response<Body>;
/// A boxed answer on its way: for the rare paths that wait.
pub type Answer = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;
