//! The dialects: each parses into the domain's commands, calls its service and words the answers. No policy lives here.

pub mod admin;
pub mod answer;
pub mod extract;
pub mod input;
mod once;
pub mod open;
pub mod otp;
pub mod problem;
pub mod tyntec;
pub(crate) mod vocabulary;

use http::{Method, Uri};

use crate::idempotency::Operation;
use crate::layer::dialect::Dialects;

/// Which dialect speaks where.
pub const DIALECTS: Dialects = Dialects { prefixes: &[(tyntec::PREFIX, &tyntec::Tyntec)], native: &problem::Native };

/// Which paths need a key; the others are open.
#[must_use]
pub fn keyed(path: &str) -> bool {
    path.starts_with("/v1/") || path.starts_with(tyntec::PREFIX)
}

/// Which operation a request asks for, where that one is done once however often it arrives.
#[must_use]
pub fn operation(method: &Method, uri: &Uri) -> Option<Operation> {
    otp::operation(method, uri.path()).or_else(|| tyntec::operation(method, uri.path()))
}
