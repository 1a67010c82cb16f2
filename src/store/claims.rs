//! Who looks at which verification, in memory: one process works on a store, so a claim is a mark that costs no write and ends
//! with it. It also ends with its lease, so that a claimant that died inside the process holds nothing for ever.

use std::collections::HashMap;

use parking_lot::Mutex;

use crate::clock::UnixMillis;
use crate::otp::id::VerificationId;
use crate::verification::store::LEASE;

/// Each claim with its end.
#[derive(Debug, Default)]
pub(super) struct Claims(Mutex<HashMap<VerificationId, UnixMillis>>);

impl Claims {
    /// How many there are: so many more have to be read than are wanted.
    pub(super) fn len(&self) -> usize {
        self.0.lock().len()
    }

    /// Claims up to `limit` of these at `now`, in their order.
    pub(super) fn claim(
        &self,
        due: impl IntoIterator<Item = VerificationId>,
        now: UnixMillis,
        limit: usize,
    ) -> Vec<VerificationId> {
        let mut claims = self.0.lock();
        claims.retain(|_, end| now < *end);
        let free: Vec<_> = due.into_iter().filter(|id| !claims.contains_key(id)).take(limit).collect();
        claims.extend(free.iter().map(|id| (*id, now + LEASE)));
        free
    }

    /// It was written: whoever had claimed it has let go.
    pub(super) fn written(&self, id: VerificationId) {
        self.0.lock().remove(&id);
    }
}
