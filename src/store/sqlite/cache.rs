//! Committed OTPs in memory: what a status answers from, and what the writer reads instead of the table.
//!
//! The writer writes through, after the commit. A reader that fetched an OTP from the table may put it here too, but
//! only if nobody committed that OTP since before it read: else it would bury the newer value under an older one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::otp::id::OtpId;
use crate::otp::record::Otp;
use crate::store::recent::Recent;

/// Stripes of write counters; an OTP belongs to the one of its shard.
const STRIPES: usize = 256;

/// An OTP as it was committed, or read.
struct Slot {
    epoch: u64,
    otp: Arc<Otp>,
}

/// What a reader holds while it reads the table.
pub(super) struct Ticket {
    id: OtpId,
    epoch: u64,
    writes: u64,
}

/// The cache. Bounded; an OTP that is not in it is in the table.
pub(super) struct OtpCache {
    entries: Recent<OtpId, Slot>,
    /// Counts how often everything was dropped. In each entry too: what was dropped cannot come back.
    epoch: AtomicU64,
    /// Commits to the OTPs of a stripe.
    writes: Vec<Mutex<u64>>,
}

impl OtpCache {
    /// Holds at most `capacity` OTPs (about 1 KB each): those used last, since it is the newest codes that are checked.
    pub(super) fn new(capacity: u64) -> Self {
        let writes = (0..STRIPES).map(|_| Mutex::new(0)).collect();
        Self { entries: Recent::new(capacity), epoch: AtomicU64::new(0), writes }
    }

    /// The committed OTP, if it is here.
    pub(super) fn recall(&self, id: OtpId) -> Option<Arc<Otp>> {
        let epoch = self.epoch.load(Ordering::Acquire);
        self.entries.with(id, |slot| (slot.epoch == epoch).then(|| Arc::clone(&slot.otp))).flatten()
    }

    /// To be taken before the table is read.
    pub(super) fn ticket(&self, id: OtpId) -> Ticket {
        let writes = self.stripe(id).map_or(0, |writes| *writes.lock());
        Ticket { id, epoch: self.epoch.load(Ordering::Acquire), writes }
    }

    /// Keeps what was read under `ticket`, unless it may be stale.
    pub(super) fn fill(&self, ticket: &Ticket, otp: &Arc<Otp>) {
        let Some(writes) = self.stripe(ticket.id) else { return };
        let writes = writes.lock();
        if *writes == ticket.writes {
            self.entries.insert(ticket.id, Slot { epoch: ticket.epoch, otp: Arc::clone(otp) });
        }
    }

    /// The writer committed `otp` (none: deleted). Only the writer's thread calls this.
    pub(super) fn committed(&self, id: OtpId, otp: Option<Arc<Otp>>) {
        let Some(writes) = self.stripe(id) else { return };
        let mut writes = writes.lock();
        *writes += 1;
        let epoch = self.epoch.load(Ordering::Acquire);
        match otp {
            Some(otp) => self.entries.insert(id, Slot { epoch, otp }),
            None => self.entries.remove(id),
        }
    }

    /// Somebody else wrote: nothing here can be relied on. Only the writer's thread calls this.
    pub(super) fn drop_all(&self) {
        self.epoch.fetch_add(1, Ordering::AcqRel);
        self.entries.clear();
    }

    fn stripe(&self, id: OtpId) -> Option<&Mutex<u64>> {
        self.writes.get(usize::from(id.shard()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::fixture::otp;

    #[test]
    fn a_late_reader_does_not_bury_a_newer_value() {
        let cache = OtpCache::new(10);
        let old = Arc::new(otp(1));
        let mut newer = otp(1);
        newer.attempts = 2;
        let (id, newer) = (old.id, Arc::new(newer));
        let ticket = cache.ticket(id);
        cache.committed(id, Some(Arc::clone(&newer)));
        cache.fill(&ticket, &old);
        assert_eq!(cache.recall(id).map(|otp| otp.attempts), Some(2));
        let ticket = cache.ticket(id);
        cache.committed(id, None);
        cache.fill(&ticket, &newer);
        assert_eq!(cache.recall(id), None, "deleted stays deleted");
        let ticket = cache.ticket(id);
        cache.fill(&ticket, &newer);
        assert_eq!(cache.recall(id), Some(newer));
    }

    #[test]
    fn what_was_dropped_does_not_come_back() {
        let cache = OtpCache::new(10);
        let otp = Arc::new(otp(1));
        cache.committed(otp.id, Some(Arc::clone(&otp)));
        let ticket = cache.ticket(otp.id);
        cache.drop_all();
        assert_eq!(cache.recall(otp.id), None);
        cache.fill(&ticket, &otp);
        assert_eq!(cache.recall(otp.id), None, "read before the drop");
    }

    #[test]
    fn a_full_cache_takes_the_newest() {
        let cache = OtpCache::new(10);
        // Old ones that were often asked for.
        for _ in 0..100 {
            (1..=10).for_each(|id| cache.committed(otp(id).id, Some(Arc::new(otp(id)))));
        }
        let newest = Arc::new(otp(99));
        cache.committed(newest.id, Some(Arc::clone(&newest)));
        assert_eq!(cache.recall(newest.id), Some(newest));
        let kept = (1..=10).filter(|id| cache.recall(otp(*id).id).is_some()).count();
        assert!((4..=9).contains(&kept), "{kept}");
    }
}
