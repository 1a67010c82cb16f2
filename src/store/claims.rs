//! Who looks at which verification, in memory: one process works on a store, so a claim is a mark that costs no write and ends
//! with it. It also ends with its lease, so that a claimant that died inside the process holds nothing for ever.

use std::collections::HashMap;

use parking_lot::Mutex;

use crate::clock::UnixMillis;
use crate::otp::id::VerificationId;
use crate::verification::store::LEASE;

/// Which claim: a later one of the same verification is another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Claim(u64);

#[derive(Debug, Default)]
struct State {
    /// Each claim with its end.
    held: HashMap<VerificationId, (Claim, UnixMillis)>,
    made: u64,
}

/// The claims.
#[derive(Debug, Default)]
pub(super) struct Claims(Mutex<State>);

impl Claims {
    /// How many there are: so many more have to be read than are wanted.
    pub(super) fn len(&self) -> usize {
        self.0.lock().held.len()
    }

    /// Claims up to `limit` of these at `now`, in their order.
    pub(super) fn claim(
        &self,
        due: impl IntoIterator<Item = VerificationId>,
        now: UnixMillis,
        limit: usize,
    ) -> Vec<VerificationId> {
        let mut state = self.0.lock();
        state.held.retain(|_, (_, end)| now < *end);
        let free: Vec<_> = due.into_iter().filter(|id| !state.held.contains_key(id)).take(limit).collect();
        for id in &free {
            state.made += 1;
            let claim = Claim(state.made);
            state.held.insert(*id, (claim, now + LEASE));
        }
        free
    }

    /// The claim of a verification. To be asked before it is written.
    pub(super) fn of(&self, id: VerificationId) -> Option<Claim> {
        self.0.lock().held.get(&id).map(|(claim, _)| *claim)
    }

    /// It was written: whoever had claimed it before has let go. Who claimed it since then, as it was written, has not.
    pub(super) fn written(&self, id: VerificationId, before: Option<Claim>) {
        let mut state = self.0.lock();
        if state.held.get(&id).map(|(claim, _)| *claim) == before {
            state.held.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_ends_the_claim_that_was_there_before_it() {
        let (claims, id, now) = (Claims::default(), VerificationId::from_bytes([7; 16]), UnixMillis(5));
        assert_eq!(claims.claim([id], now, 1), [id]);
        let before = claims.of(id);
        claims.written(id, before);
        // Claimed between the commit of a write and the note of it: that claim stays.
        let none = claims.of(id);
        assert_eq!(claims.claim([id], now, 1), [id]);
        claims.written(id, none);
        assert_eq!(claims.claim([id], now, 1), []);
        assert_eq!(claims.claim([id], now + LEASE, 1), [id]);
    }
}
