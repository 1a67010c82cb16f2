//! The dialects: each parses into the domain's commands, calls its service and words the answers. No policy lives here.

pub mod admin;
pub mod answer;
pub mod extract;
pub mod fault;
pub mod input;
mod once;
pub mod oneaccess;
pub mod open;
pub mod otp;
pub mod page;
pub mod problem;
pub mod receipts;
pub mod refusal;
mod refused;
pub mod tyntec;
pub mod unimatrix;
pub mod verifications;
pub(crate) mod vocabulary;
pub mod webhooks;
mod written;

use http::Method;

use crate::layer::Request;
use crate::layer::dialect::Dialects;
use crate::layer::idempotency::Asked;
use crate::layer::limits::BODY_BYTES;

/// Which dialect speaks where.
pub const DIALECTS: Dialects = Dialects {
    paths: &[(unimatrix::PATH, &unimatrix::Unimatrix)],
    prefixes: &[
        (tyntec::PREFIX, &tyntec::Tyntec),
        (oneaccess::PREFIX, &oneaccess::ONE_ACCESS),
        (page::CAPABILITIES, &page::PAGES),
    ],
    native: &problem::Native,
};

/// Which requests need a key; the others are open, or capabilities.
#[must_use]
pub fn keyed(method: &Method, path: &str) -> bool {
    let capabilities = [webhooks::CAPABILITIES, receipts::CAPABILITIES, verifications::CAPABILITIES];
    let capability = capabilities.iter().any(|prefix| path.starts_with(prefix));
    let native = path.starts_with("/v1/") && !capability;
    let prefixed = path.starts_with(tyntec::PREFIX) || path.starts_with(oneaccess::PREFIX);
    native || prefixed || unimatrix::keyed(method, path)
}

/// Which calls a shared store may count in the step that does them, or in the first of their steps: those of codes, and those that
/// open a verification. What they do before it is admitted is taken back where it is not.
#[must_use]
pub fn carried(method: &Method, path: &str) -> bool {
    let code = otp::operation(method, path).or_else(|| tyntec::operation(method, path));
    let known = verifications::operation(method, path).or_else(|| oneaccess::operation(method, path));
    code.or(known).is_some() || unimatrix::keyed(method, path)
}

/// The largest body of a path, in bytes.
#[must_use]
pub fn body_bytes(path: &str) -> usize {
    match path {
        _ if path.starts_with(receipts::CAPABILITIES) => receipts::BODY_BYTES,
        _ if path.starts_with(page::CAPABILITIES) => page::BODY_BYTES,
        _ => BODY_BYTES,
    }
}

/// What a request asks for, where that is done once however often it arrives.
#[must_use]
pub fn asked(request: &Request) -> Option<Asked> {
    let (method, path) = (request.method(), request.uri().path());
    let query = || request.uri().query().unwrap_or_default().to_owned();
    if let Some(operation) = oneaccess::operation(method, path) {
        return Some(Asked { operation, query: query(), fields: oneaccess::fields(request), at_once: true });
    }
    if let Some(operation) = otp::operation(method, path).or_else(|| tyntec::operation(method, path)) {
        return Some(Asked { operation, query: query(), fields: Vec::new(), at_once: true });
    }
    if let Some(operation) = verifications::operation(method, path) {
        return Some(Asked { operation, query: query(), fields: Vec::new(), at_once: false });
    }
    unimatrix::asked(request)
}
