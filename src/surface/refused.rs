//! What calls of the native interface are refused with, for the documents: what many operations have in common, each sentence
//! once. An operation names a group, and says by itself what only it does. Must not know how a refusal is made.

use std::collections::BTreeMap;

use utoipa::IntoResponses;
use utoipa::openapi::{Content, Ref, RefOr, Response, ResponseBuilder};

type Responses = BTreeMap<String, RefOr<Response>>;

const NO_KEY: (&str, &str) = ("401", "No valid API key");

/// Every call with a key.
pub(in crate::surface) struct Keyed;
/// A call that makes a code and has it sent.
pub(in crate::surface) struct Sends;
/// A call to an address that is a secret.
pub(in crate::surface) struct Capability;

impl IntoResponses for Keyed {
    fn responses() -> Responses {
        refusals(&[NO_KEY, ("429", "Over quota")])
    }
}

impl IntoResponses for Sends {
    fn responses() -> Responses {
        refusals(&[
            ("400", "A parameter is wrong"),
            NO_KEY,
            ("403", "Country not served, daily ceiling reached, or scope missing"),
            ("404", "No such application"),
            ("409", "The number is locked, or had enough messages for more than a minute"),
            ("422", "The idempotency key came with another request before"),
            ("429", "Over quota, or the number had enough messages for less than a minute"),
        ])
    }
}

impl IntoResponses for Capability {
    fn responses() -> Responses {
        refusals(&[
            ("429", "Too many addresses that never were"),
            ("503", "Temporarily unavailable; the code says whether it may have been done"),
        ])
    }
}

fn refusals(all: &[(&str, &str)]) -> Responses {
    let refusal = |(status, words): &(&str, &str)| {
        let problem = Content::new(Some(Ref::from_schema_name("Problem")));
        let response = ResponseBuilder::new().description(*words).content("application/problem+json", problem);
        ((*status).to_owned(), response.build().into())
    };
    all.iter().map(refusal).collect()
}
