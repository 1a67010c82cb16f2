//! The dialects: each parses into the domain's commands, calls its service and words the answers. No policy lives here.

pub mod admin;
pub mod answer;
pub mod extract;
pub mod input;
pub mod open;
pub mod otp;
pub mod problem;
pub mod tyntec;
pub(crate) mod vocabulary;
pub mod webhooks;

use crate::layer::dialect::Dialects;

/// Which dialect speaks where.
pub const DIALECTS: Dialects = Dialects { prefixes: &[(tyntec::PREFIX, &tyntec::Tyntec)], native: &problem::Native };

/// Which paths need a key; the others are open, or capabilities.
#[must_use]
pub fn keyed(path: &str) -> bool {
    let native = path.starts_with("/v1/") && !path.starts_with(webhooks::CAPABILITIES);
    native || path.starts_with(tyntec::PREFIX)
}
