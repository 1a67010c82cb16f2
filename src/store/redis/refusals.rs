//! Refusals that are still true: nobody is admitted, on any replica, before the wait of a refusal is over, so it can be said
//! again without asking the store. Must not know where refusals come from.
//!
//! The store's milliseconds are whole, so its wait may be up to one longer than what is left of it, and it began after the
//! question was sent. From the question on, one millisecond less than the wait is therefore never too long. This holds as far
//! as the two clocks go alike; a step of the store's clock frees no quota here.

use std::sync::atomic::{AtomicU64, Ordering};

use moka::sync::Cache;

use crate::clock::UnixMillis;
use crate::quota::charge::Charge;
use crate::quota::{ConnectionKey, Decision, Policy};

/// Refusals kept: about 2 MB. One that was evicted is asked for again.
const KEPT: u64 = 10_000;

#[derive(Clone, Copy, Debug)]
struct Refusal {
    policy: Policy,
    until: u64,
}

/// The refusals.
#[derive(Debug)]
pub(super) struct Refusals {
    kept: Cache<ConnectionKey, Refusal>,
    /// When the last of them is over: from then on there is nothing to look for.
    over: AtomicU64,
}

impl Refusals {
    pub(super) fn new() -> Self {
        Self { kept: Cache::new(KEPT), over: AtomicU64::new(0) }
    }

    /// The wait (ms), should a call of `connection` certainly be refused at `now`.
    pub(super) fn wait(&self, connection: ConnectionKey, policy: &Policy, now: UnixMillis) -> Option<u32> {
        if self.are_over(now) {
            return None;
        }
        let refusal = self.kept.get(&connection).filter(|refusal| refusal.policy == *policy)?;
        let left = refusal.until.saturating_sub(now.0);
        u32::try_from(left).ok().filter(|left| *left > 1)
    }

    /// Before a call is asked about: what was refused under another policy is not known any more afterwards, because under
    /// this one calls may be dropped that counted under the other.
    pub(super) fn ask(&self, charge: Charge, now: UnixMillis) {
        if self.are_over(now) {
            return;
        }
        if self.kept.get(&charge.connection).is_some_and(|refusal| refusal.policy != charge.policy) {
            self.kept.invalidate(&charge.connection);
        }
    }

    /// A question that was sent at `sent`, or later, was decided so.
    pub(super) fn learn(&self, charge: Charge, sent: UnixMillis, decision: Decision) {
        if let Decision::Refused { wait_ms } = decision {
            let until = sent.0.saturating_add(wait_ms.into());
            self.kept.insert(charge.connection, Refusal { policy: charge.policy, until });
            self.over.fetch_max(until, Ordering::AcqRel);
        }
    }

    fn are_over(&self, now: UnixMillis) -> bool {
        now.0 >= self.over.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: ConnectionKey = ConnectionKey(7);
    const MINUTE: Policy = Policy::DEFAULT;

    fn charge(connection: ConnectionKey, policy: Policy) -> Charge {
        Charge { connection, policy }
    }

    fn keep(refusals: &Refusals, key: ConnectionKey, sent: u64, wait_ms: u32) {
        refusals.learn(charge(key, MINUTE), UnixMillis(sent), Decision::Refused { wait_ms });
    }

    #[test]
    fn a_refusal_holds_for_its_wait_less_a_millisecond() {
        let refusals = Refusals::new();
        keep(&refusals, KEY, 1_000, 500);
        let waits = [1_000, 1_001, 1_498, 1_499, 1_500, 9_000].map(|now| refusals.wait(KEY, &MINUTE, UnixMillis(now)));
        assert_eq!(waits, [Some(500), Some(499), Some(2), None, None, None]);
        assert_eq!(refusals.wait(ConnectionKey(8), &MINUTE, UnixMillis(1_000)), None);
    }

    #[test]
    fn another_policy_asks_and_ends_what_was_known() {
        let (refusals, other) = (Refusals::new(), Policy::new(101, 60).unwrap());
        keep(&refusals, KEY, 1_000, 500);
        assert_eq!(refusals.wait(KEY, &other, UnixMillis(1_000)), None);
        refusals.ask(charge(KEY, MINUTE), UnixMillis(1_000));
        assert_eq!(refusals.wait(KEY, &MINUTE, UnixMillis(1_000)), Some(500));
        refusals.ask(charge(KEY, other), UnixMillis(1_000));
        assert_eq!(refusals.wait(KEY, &MINUTE, UnixMillis(1_000)), None);
    }

    #[test]
    fn only_so_many_are_kept() {
        let refusals = Refusals::new();
        for key in 0..KEPT * 3 {
            keep(&refusals, ConnectionKey(key), 0, 60_000);
        }
        refusals.kept.run_pending_tasks();
        assert!(refusals.kept.entry_count() <= KEPT);
    }
}
