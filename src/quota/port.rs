//! What the rest of the gateway asks of a quota, whether it is counted in this process or in a store that the
//! replicas share, and where rings are kept between two runs. A port knows no table, no clock and no store.

use std::error::Error;
use std::pin::Pin;

use super::decision::{Decision, Standing};
use super::policy::Policy;
use super::saved::{ConnectionKey, SavedRing};

/// A future in a box: what an answer that must be waited for costs. The answer in this process needs none.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T, Unavailable>> + Send + 'a>>;

/// What a quota answers: at once, or after asking a store.
pub enum Answer<'a, T> {
    /// The answer itself. Nothing was allocated and nothing is awaited.
    Now(T),
    /// The answer is on its way.
    Later(Pending<'a, T>),
}

impl<T> Answer<'_, T> {
    /// The answer, awaited if need be.
    ///
    /// # Errors
    /// [`Unavailable`] when a store had to be asked and did not answer. An answer of this process never fails.
    pub async fn get(self) -> Result<T, Unavailable> {
        match self {
            Self::Now(answer) => Ok(answer),
            Self::Later(pending) => pending.await,
        }
    }
}

/// The quota's store gave no answer in time. The call may have been counted; it must not be asked about again.
#[derive(Debug, thiserror::Error)]
#[error("the quota's store is not available")]
pub struct Unavailable(#[source] Box<dyn Error + Send + Sync>);

impl Unavailable {
    /// An unavailability with its cause.
    pub fn new(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(cause.into())
    }
}

/// Counts the calls of connections, exactly. Every dialect of a connection goes through the same one.
pub trait Quota: Send + Sync {
    /// Decides on one call of `connection` at this instant and, if it is admitted, counts it.
    fn check<'a>(&'a self, connection: ConnectionKey, policy: &'a Policy) -> Answer<'a, Decision>;

    /// As [`Quota::check`], where it can be decided without asking anybody; none says nothing and counts nothing.
    fn check_at_once(&self, connection: ConnectionKey, policy: &Policy) -> Option<Decision>;

    /// What is left to `connection` at this instant. Charges nothing.
    fn peek<'a>(&'a self, connection: ConnectionKey, policy: &'a Policy) -> Answer<'a, Standing>;
}

/// Keeps rings from a drain to the next start.
pub trait RingStore: Send + Sync {
    /// Hands over every saved ring and forgets them, so that no later start reads them again.
    fn take(&self) -> Pending<'_, Vec<SavedRing>>;

    /// Saves `rings`, in place of whatever was saved before.
    fn put(&self, rings: Vec<SavedRing>) -> Pending<'_, ()>;
}
