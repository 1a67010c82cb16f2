//! What the layers may refuse, and the trait by which a dialect words it. One refusal, one variant, one answer a dialect.

use http::HeaderName;

use crate::access::authenticator::Cause;
use crate::access::credential::Credential;
use crate::access::scope::Scope;
use crate::layer::trace::Stamp;
use crate::layer::{Request, Response};

/// Why a layer, the router or an extractor refused a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No credential, or none that opens anything.
    Unauthenticated(Flaw),
    /// Too many failed authentications from this address.
    Guarded {
        /// Whole seconds, at least 1.
        retry_after: u64,
    },
    /// The connection's quota is used up.
    OverQuota {
        /// Whole seconds, 1 to the period: the exact wait, rounded up.
        retry_after: u64,
    },
    /// The connection lacks this scope.
    Forbidden(Scope),
    /// No such path.
    NotFound,
    /// The path exists, the method does not.
    MethodNotAllowed,
    /// The address is longer than the limit, in bytes.
    UriTooLong(usize),
    /// The header fields are more, or larger, than they may be.
    FieldsTooLarge {
        /// How many there may be.
        fields: usize,
        /// How many bytes they may have together.
        bytes: usize,
    },
    /// A part of the head other than what the call asks for, as Host, is not what it must be.
    MalformedHead {
        /// Which.
        name: &'static str,
        /// What would be right, in words that follow the name.
        detail: &'static str,
    },
    /// The body is larger than the limit, in bytes.
    BodyTooLarge(usize),
    /// The body did not arrive in time.
    BodyTooSlow,
    /// The body broke off or was not sent by the rules of HTTP.
    BodyUnreadable,
    /// The body is of another media type than the one that is understood.
    UnsupportedMediaType,
    /// The `Idempotency-Key` is not 1 to 255 visible ASCII characters, or was sent twice.
    MalformedIdempotencyKey,
    /// The `Idempotency-Key` belongs to another request.
    ReusedIdempotencyKey,
    /// The store refuses writes or does not answer; nothing was done. The call may have been counted.
    Unavailable {
        /// Whole seconds, at least 1.
        retry_after: u64,
    },
    /// The store was asked to do it and did not answer, or failed under it: whether it was done is not known.
    Unanswered {
        /// Whole seconds, at least 1.
        retry_after: u64,
    },
    /// A fault of ours.
    Internal,
}

/// What a dialect may tell of a credential that opened nothing: what the request itself shows, or what only the holder of
/// the secret can bring about. Whether a key exists shows in none of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// There is none.
    Missing,
    /// It opens nothing. Why is told to nobody.
    Wrong,
    /// Its time is too far from the present.
    Stale,
    /// It is right, and served before.
    Replayed,
}

impl From<Cause> for Flaw {
    fn from(cause: Cause) -> Self {
        match cause {
            Cause::Missing => Self::Missing,
            Cause::Malformed | Cause::Unknown | Cause::Expired | Cause::Unproven => Self::Wrong,
            Cause::Stale => Self::Stale,
            Cause::Replayed => Self::Replayed,
        }
    }
}

/// What a dialect found in a request that says who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Presented<'r> {
    /// Nothing.
    Nothing,
    /// Something that is no credential.
    Malformed,
    /// An API key, as it was sent.
    ApiKey(&'r str),
    /// A name and its proof.
    Credential(Box<Credential>),
}

/// How one of the interfaces speaks: where it takes its credential from, and how it words a refusal.
pub trait Dialect: Send + Sync + 'static {
    /// Its name in metrics and logs.
    fn name(&self) -> &'static str;

    /// The header field in which its answers carry the request's id a second time.
    fn request_id(&self) -> Option<HeaderName> {
        None
    }

    /// The credential of a request.
    fn credential<'r>(&self, request: &'r Request) -> Presented<'r>;

    /// Who words the refusals of this request, where that depends on what it asks for (such as its language).
    fn tuned(&self, _request: &Request) -> Option<&'static dyn Dialect> {
        None
    }

    /// The answer to a refused request.
    fn refuse(&self, refusal: &Refusal, stamp: Stamp) -> Response;
}

/// The API key in the header `apikey` (header names are case-insensitive). Two of them are none.
#[must_use]
pub fn api_key_header(request: &Request) -> Presented<'_> {
    let mut values = request.headers().get_all("apikey").iter();
    match (values.next().and_then(|value| value.to_str().ok()), values.next()) {
        (Some(key), None) => Presented::ApiKey(key),
        _ => Presented::Nothing,
    }
}
