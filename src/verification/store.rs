//! The port of verifications: what they need to have kept. A store implements it beside the port of OTPs; erasing a number
//! ([`crate::otp::store::Eraser`]) erases its verifications too, by [`erased`].

use std::time::Duration;

use crate::clock::UnixMillis;
use crate::otp::id::VerificationId;
use crate::otp::store::{Later, StoreError, WriteError};
use crate::verification::record::Verification;

/// How long a claim lasts: longer than any look at a verification, a call to whoever waits for it included.
pub const LEASE: Duration = Duration::from_secs(60);

/// Keeps verifications.
pub trait VerificationStore: Send + Sync + 'static {
    /// One that was read a moment ago and not written since. None says nothing: a store need not remember any.
    fn recall_verification(&self, _id: VerificationId) -> Option<Verification> {
        None
    }

    /// One verification, as committed, read where it lies: the same work whatever is remembered of it.
    fn read_verification(&self, id: VerificationId) -> Later<'_, Result<Option<Verification>, StoreError>>;

    /// One verification, as committed.
    fn verification(&self, id: VerificationId) -> Later<'_, Result<Option<Verification>, StoreError>> {
        match self.recall_verification(id) {
            Some(known) => Box::pin(std::future::ready(Ok(Some(known)))),
            None => self.read_verification(id),
        }
    }

    /// Writes one: a new one when `before` is none, else the one that equals `before`; where `after` is none it goes. It is
    /// due by [`Verification::due`] from then on. [`WriteError::Conflict`] when it is not what `before` says.
    fn put_verification(
        &self,
        before: Option<Verification>,
        after: Option<Verification>,
    ) -> Later<'_, Result<(), WriteError>>;

    /// Up to `limit` that are due at `now`, the earliest first, each to one claimant: from then on it is due when its
    /// [`LEASE`] is over, unless it is written before.
    fn claim_verifications(&self, now: UnixMillis, limit: usize) -> Later<'_, Result<Vec<Verification>, StoreError>>;
}

/// What an erasure of its number at `now` leaves of a verification: nothing, unless somebody has still to be told how it
/// ended; then that, without the number.
#[must_use]
pub fn erased(mut verification: Verification, now: UnixMillis) -> Option<Verification> {
    if !verification.is_waited_for() {
        return None;
    }
    verification.erase_number(now);
    Some(verification)
}
