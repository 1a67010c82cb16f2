//! The record of one (account, number): consecutive failures over all purposes and codes, and recent sends.
//!
//! A new code gives no new guesses: the failures belong to the number (NIST SP 800-63B-4 sections 3.1.3.2 and 3.2.2).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::UnixMillis;

/// Consecutive failures after which a number is locked.
pub const FAILURE_BUDGET: u32 = 20;
/// How long it is locked then.
pub const LOCK: Duration = Duration::from_secs(24 * 60 * 60);

/// What is remembered of one (account, number).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NumberRecord {
    /// Wrong codes since the last right one.
    pub failures: u32,
    /// Locked until then.
    pub locked_until: Option<UnixMillis>,
    /// Instants of the sends that a limit may still count, oldest first.
    pub sends: Vec<UnixMillis>,
}

impl NumberRecord {
    /// Until when the number is locked, if it is at `now`.
    #[must_use]
    pub fn locked_at(&self, now: UnixMillis) -> Option<UnixMillis> {
        self.locked_until.filter(|until| now < *until)
    }

    /// Counts a wrong code. Whether that locked the number.
    pub fn fail(&mut self, now: UnixMillis) -> bool {
        self.failures += 1;
        let exhausted = self.failures >= FAILURE_BUDGET;
        if exhausted {
            self.failures = 0;
            self.locked_until = Some(now + LOCK);
        }
        exhausted
    }

    /// Counts a right code: the budget is whole again.
    pub fn succeed(&mut self) {
        self.failures = 0;
        self.locked_until = None;
    }

    /// Whether nothing is worth keeping, so that its row can go.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.failures == 0 && self.locked_until.is_none() && self.sends.is_empty()
    }

    /// Drops what no rule will ask for again: locks that are over, and sends older than `horizon` at `now`.
    pub fn prune(&mut self, now: UnixMillis, horizon: Duration) {
        if self.locked_at(now).is_none() {
            self.locked_until = None;
        }
        self.sends.retain(|sent| now.since(*sent) < horizon);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twenty_failures_in_a_row_lock_for_a_day() {
        let mut record = NumberRecord::default();
        let now = UnixMillis(1_000);
        for failure in 1..FAILURE_BUDGET {
            assert!(!record.fail(now), "failure {failure}");
        }
        assert!(record.fail(now));
        assert_eq!(record.locked_at(now), Some(now + LOCK));
        assert_eq!(record.locked_at(now + LOCK), None);
        record.prune(now + LOCK, Duration::ZERO);
        assert!(record.is_empty());
    }

    #[test]
    fn a_success_resets_the_budget() {
        let mut record = NumberRecord::default();
        for _ in 1..FAILURE_BUDGET {
            record.fail(UnixMillis(0));
        }
        record.succeed();
        assert!(record.is_empty());
        assert!(!record.fail(UnixMillis(0)));
    }
}
