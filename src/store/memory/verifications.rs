//! Verifications in memory.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use crate::clock::UnixMillis;
use crate::otp::id::{NumberKey, VerificationId};
use crate::otp::store::{Later, StoreError, WriteError};
use crate::store::claims::Claims;
use crate::store::memory::{MemoryStore, ready};
use crate::verification::news::news;
use crate::verification::record::Verification;
use crate::verification::store::{VerificationStore, erased};

/// What the store in memory keeps of verifications.
#[derive(Default)]
pub(super) struct Kept {
    all: Mutex<BTreeMap<VerificationId, Verification>>,
    claims: Claims,
}

impl Kept {
    /// Erases a number's verifications.
    pub(super) fn erase(&self, key: NumberKey, now: UnixMillis) {
        let mut all = self.all.lock();
        let (of_number, others): (BTreeMap<_, _>, _) =
            std::mem::take(&mut *all).into_iter().partition(|(_, kept)| kept.number_key == key);
        *all = others;
        all.extend(of_number.into_iter().filter_map(|(id, kept)| Some((id, erased(kept, now)?))));
    }
}

impl VerificationStore for MemoryStore {
    fn read_verification(&self, id: VerificationId) -> Later<'_, Result<Option<Verification>, StoreError>> {
        ready(Ok(self.verifications.all.lock().get(&id).cloned()))
    }

    fn put_verification(
        &self,
        before: Option<Verification>,
        after: Option<Verification>,
    ) -> Later<'_, Result<(), WriteError>> {
        let Some(id) = after.as_ref().or(before.as_ref()).map(|one| one.id) else { return ready(Ok(())) };
        let mut all = self.verifications.all.lock();
        if all.get(&id) != before.as_ref() {
            return ready(Err(WriteError::Conflict));
        }
        if let Some(news) = news(before.as_ref(), after.as_ref()) {
            self.events.announced(news, self.clock.now());
        }
        match after {
            Some(after) => all.insert(id, after),
            None => all.remove(&id),
        };
        self.verifications.claims.written(id, self.verifications.claims.of(id));
        ready(Ok(()))
    }

    fn claim_verifications(&self, now: UnixMillis, limit: usize) -> Later<'_, Result<Vec<Verification>, StoreError>> {
        let all = self.verifications.all.lock();
        let due = all.values().map(|kept| (kept.due(self.retention), kept.id)).filter(|(due, _)| *due <= now);
        let mut due: Vec<_> = due.collect();
        due.sort_unstable();
        let claimed = self.verifications.claims.claim(due.into_iter().map(|(_, id)| id), now, limit);
        ready(Ok(claimed.iter().filter_map(|id| all.get(id).cloned()).collect()))
    }
}
