//! Verifications that were read a moment ago: a page that is looked at again costs no read of the table.
//!
//! The writer drops one after the commit that changed it, before that is acknowledged; a reader that began before keeps nothing.
//! So nobody is shown what was before his own step. Writes compare with the table, never with this.

use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;
use parking_lot::Mutex;

use crate::otp::id::VerificationId;
use crate::verification::record::Verification;

/// How long one is kept: a person looks at a page a few times within a minute or two.
const FRESH: Duration = Duration::from_secs(120);
/// Verifications that are kept, about 2 KB each.
const KEPT: u64 = 2_000;

/// The reads of a store.
pub(super) struct Looks {
    kept: Cache<VerificationId, Arc<Verification>>,
    writes: Mutex<u64>,
}

impl Default for Looks {
    fn default() -> Self {
        Self { kept: Cache::builder().max_capacity(KEPT).time_to_live(FRESH).build(), writes: Mutex::new(0) }
    }
}

impl Looks {
    /// What was read.
    pub(super) fn recall(&self, id: VerificationId) -> Option<Verification> {
        self.kept.get(&id).map(|kept| (*kept).clone())
    }

    /// To be taken before the table is read.
    pub(super) fn ticket(&self) -> u64 {
        *self.writes.lock()
    }

    /// Keeps what was read under `ticket`, unless something was written since.
    pub(super) fn keep(&self, ticket: u64, verification: &Verification) {
        let writes = self.writes.lock();
        if *writes == ticket {
            self.kept.insert(verification.id, Arc::new(verification.clone()));
        }
    }

    /// It was written. Only the writer's thread calls this, after the commit.
    pub(super) fn written(&self, id: VerificationId) {
        *self.writes.lock() += 1;
        self.kept.invalidate(&id);
    }

    /// Somebody else wrote: nothing here can be relied on. Only the writer's thread calls this.
    pub(super) fn drop_all(&self) {
        *self.writes.lock() += 1;
        self.kept.invalidate_all();
    }
}
