//! The record of one (account, number): consecutive failures over all purposes and codes, recent sends, and which code
//! holds for which purpose.
//!
//! A new code gives no new guesses: the failures belong to the number (NIST SP 800-63B-4 sections 3.1.3.2 and 3.2.2).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::UnixMillis;

/// Consecutive failures after which a number is locked.
pub const FAILURE_BUDGET: u32 = 20;
/// How long it is locked then.
pub const LOCK: Duration = Duration::from_secs(24 * 60 * 60);

/// Purposes for which a number may have a code at the same time; one more takes the place of the oldest.
pub const PURPOSES: usize = 16;

/// The code that holds for a purpose now. What either is, is not known here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holding {
    /// The purpose.
    pub purpose: Box<str>,
    /// The id of its newest code.
    pub code: [u8; 16],
    /// It holds no longer than that.
    pub until: UnixMillis,
}

/// What is remembered of one (account, number).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NumberRecord {
    /// Wrong codes since the last right one.
    pub failures: u32,
    /// Locked until then.
    pub locked_until: Option<UnixMillis>,
    /// Instants of the sends that a limit may still count, oldest first.
    pub sends: Vec<UnixMillis>,
    /// The codes that hold for a purpose, oldest first.
    #[serde(default)]
    pub holdings: Vec<Holding>,
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

    /// The code that holds for `purpose`; where there is none and no room for one, the code that has to give way.
    #[must_use]
    pub fn holding(&self, purpose: &str) -> Option<[u8; 16]> {
        let own = self.holdings.iter().find(|holding| &*holding.purpose == purpose);
        let oldest = || self.holdings.first().filter(|_| self.holdings.len() >= PURPOSES);
        own.or_else(oldest).map(|holding| holding.code)
    }

    /// From now on `code` holds for `purpose`, in the place of what [`NumberRecord::holding`] says.
    pub fn hold(&mut self, purpose: &str, code: [u8; 16], until: UnixMillis) {
        if let Some(before) = self.holding(purpose) {
            self.let_go(before);
        }
        self.holdings.push(Holding { purpose: purpose.into(), code, until });
    }

    /// The code holds for nothing any more.
    pub fn let_go(&mut self, code: [u8; 16]) {
        self.holdings.retain(|holding| holding.code != code);
    }

    /// Whether nothing is worth keeping, so that its row can go.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.failures == 0 && self.locked_until.is_none() && self.sends.is_empty() && self.holdings.is_empty()
    }

    /// Drops what no rule will ask for again: locks and codes that are over, and sends older than `horizon` at `now`.
    pub fn prune(&mut self, now: UnixMillis, horizon: Duration) {
        if self.locked_at(now).is_none() {
            self.locked_until = None;
        }
        self.sends.retain(|sent| now.since(*sent) < horizon);
        self.holdings.retain(|holding| now < holding.until);
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
    fn one_code_holds_for_a_purpose_and_there_are_not_too_many() {
        let mut record = NumberRecord::default();
        let until = UnixMillis(1_000);
        assert_eq!(record.holding("a"), None);
        record.hold("a", [1; 16], until);
        record.hold("b", [2; 16], until);
        record.hold("a", [3; 16], until);
        assert_eq!(
            (record.holding("a"), record.holding("b"), record.holding("c")),
            (Some([3; 16]), Some([2; 16]), None)
        );
        for more in 3..=PURPOSES {
            record.hold(&more.to_string(), [u8::try_from(more).unwrap() + 10; 16], until);
        }
        assert_eq!(record.holdings.len(), PURPOSES);
        assert_eq!(record.holding("one more"), Some([2; 16]), "the oldest gives way");
        record.hold("one more", [99; 16], until);
        assert_eq!((record.holdings.len(), record.holding("a")), (PURPOSES, Some([3; 16])));
        record.let_go([3; 16]);
        assert_eq!((record.holdings.len(), record.holding("a")), (PURPOSES - 1, None));
        record.prune(until, Duration::ZERO);
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
