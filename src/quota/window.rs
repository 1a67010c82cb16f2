//! The exact sliding window: what a log of admitted calls says about one more call, as a pure function of the log,
//! the policy and the present millisecond.
//!
//! The rule: a call is admitted if and only if fewer than `calls` admitted calls lie in the half-open window of one
//! period that ends now. A refused call is no part of the log, so it changes nothing for anybody. The present is
//! never earlier than the newest admitted call: a thread that read the clock and was then overtaken is counted at
//! the instant of the one that overtook it. This file must not know where logs live or how many there are.

use super::decision::{Decision, Standing};
use super::policy::Policy;

/// For how long a log is kept at least, in milliseconds. Two-byte stamps tell apart any 65.5 s.
pub(super) const SHORT_MS: u64 = 65_000;

/// How long a log that was last charged under `policy` is kept after its newest call, in milliseconds.
///
/// From then on it counts as empty under every policy, so removing it changes no decision, even where the
/// connection is given a longer period afterwards.
pub(super) fn keeps_ms(policy: &Policy) -> u64 {
    policy.period_ms().max(SHORT_MS)
}

/// The admitted calls of one connection, oldest first, as the window reads them.
pub(super) trait Log {
    /// The newest call, in milliseconds since 1970. It outlives the stamps that are forgotten.
    fn last(&self) -> u64;
    /// How many calls are held. Some may have left the window.
    fn len(&self) -> usize;
    /// Milliseconds from call `index` (0 is the oldest) to the newest one.
    fn back(&self, index: usize) -> u64;
    /// How long this log counts after its newest call: see [`keeps_ms`].
    fn keeps(&self) -> u64;
    /// Drops the `count` oldest calls.
    fn forget(&mut self, count: usize);
    /// Adds a call at `now`, which is not before [`Log::last`]. The log must have room.
    fn push(&mut self, now: u64, keeps: u64);
}

/// A log of fixed size.
pub(super) trait Bounded: Log {
    /// Whether there is room for `calls` calls that count for `keeps` milliseconds after the newest one.
    fn fits(&self, calls: usize, keeps: u64) -> bool;
}

/// A log as it stands at one instant.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    /// How many of the oldest calls have left the window.
    pub(super) expired: usize,
    /// How many calls are in the window.
    pub(super) live: usize,
    /// Milliseconds until one more call would be admitted than now; 0 when none is in the window.
    pub(super) relief: u64,
}

/// Reads `log` under `policy` at `now` (milliseconds since 1970). Costs a step or two when few calls have left the
/// window since the newest one, and the logarithm of their number otherwise.
pub(super) fn read(log: &impl Log, policy: &Policy, now: u64) -> Reading {
    let (period, calls, len) = (policy.period_ms(), usize::from(policy.calls()), log.len());
    // Saturation is the rule that the present is never earlier than the newest call.
    let idle = now.saturating_sub(log.last());
    if idle >= period.min(log.keeps()) {
        return Reading { expired: len, live: 0, relief: 0 };
    }
    let expired = older_than(log, len, period - idle);
    let live = len - expired;
    // With the quota used up, the call that must leave is the last-but-(calls - 1)th. It is the oldest one, unless
    // the policy was narrowed while more calls were in the window.
    let leaves = if live >= calls { len - calls } else { expired };
    let relief = if live == 0 { 0 } else { period - idle - log.back(leaves) };
    Reading { expired, live, relief: relief.min(log.keeps() - idle) }
}

/// How many calls lie `limit` milliseconds or more before the newest: a gallop from the oldest, then a bisection.
fn older_than(log: &impl Log, len: usize, limit: u64) -> usize {
    let mut bound = 1;
    while bound <= len && log.back(bound - 1) >= limit {
        bound *= 2;
    }
    // Those below bound / 2 are older; the one at bound - 1 is not, or does not exist.
    let (mut low, mut high) = (bound / 2, (bound - 1).min(len));
    while low < high {
        let middle = low.midpoint(high);
        if log.back(middle) >= limit {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

impl Reading {
    /// The decision on one more call.
    pub(super) fn decision(&self, policy: &Policy) -> Decision {
        let calls = usize::from(policy.calls());
        if self.live >= calls {
            return Decision::Refused { wait_ms: narrow(self.relief) };
        }
        // An only call is itself the oldest.
        let resets = if self.live == 0 { policy.period_ms() } else { self.relief };
        Decision::Admitted {
            remaining: u16::try_from(calls - self.live - 1).unwrap_or(u16::MAX),
            resets_in_ms: narrow(resets),
        }
    }

    /// What is left, with nothing charged.
    pub(super) fn standing(&self, policy: &Policy) -> Standing {
        let left = usize::from(policy.calls()).saturating_sub(self.live);
        Standing { remaining: u16::try_from(left).unwrap_or(u16::MAX), resets_in_ms: narrow(self.relief) }
    }
}

fn narrow(ms: u64) -> u32 {
    u32::try_from(ms).unwrap_or(u32::MAX)
}

/// Decides on one call and, if it is admitted, writes it down; a refusal writes nothing. The log must have room.
pub(super) fn admit(log: &mut impl Log, policy: &Policy, now: u64) -> Decision {
    let reading = read(log, policy, now);
    settle(log, &reading, policy, now)
}

/// The same for a log of fixed size. `None`, and nothing written, when the call would be admitted but the log has
/// no room for it: its calls must move to a larger log first.
pub(super) fn try_admit(log: &mut impl Bounded, policy: &Policy, now: u64) -> Option<Decision> {
    let reading = read(log, policy, now);
    let admits = reading.live < usize::from(policy.calls());
    if admits && !log.fits(reading.live + 1, keeps_ms(policy)) {
        return None;
    }
    Some(settle(log, &reading, policy, now))
}

fn settle(log: &mut impl Log, reading: &Reading, policy: &Policy, now: u64) -> Decision {
    let decision = reading.decision(policy);
    if decision.is_admitted() {
        log.forget(reading.expired);
        log.push(now.max(log.last()), keeps_ms(policy));
    }
    decision
}

#[cfg(test)]
mod tests {
    use super::super::ring::Ring;
    use super::*;

    const MINUTE: Policy = Policy::DEFAULT;

    fn policy(calls: u32, seconds: u32) -> Policy {
        Policy::new(calls, seconds).unwrap()
    }

    #[test]
    fn a_call_exactly_a_period_after_another_does_not_see_it() {
        let mut ring = Ring::<12>::new();
        let once = policy(1, 1);
        assert!(admit(&mut ring, &once, 5_000).is_admitted());
        assert_eq!(admit(&mut ring, &once, 5_000), Decision::Refused { wait_ms: 1_000 });
        assert_eq!(admit(&mut ring, &once, 5_999), Decision::Refused { wait_ms: 1 });
        let again = Decision::Admitted { remaining: 0, resets_in_ms: 1_000 };
        assert_eq!(admit(&mut ring, &once, 6_000), again);
    }

    #[test]
    fn the_reset_is_that_of_the_oldest_call_in_the_window() {
        let mut ring = Ring::<100>::new();
        let first = Decision::Admitted { remaining: 99, resets_in_ms: 60_000 };
        let second = Decision::Admitted { remaining: 98, resets_in_ms: 47_655 };
        assert_eq!(admit(&mut ring, &MINUTE, 1_000), first);
        assert_eq!(admit(&mut ring, &MINUTE, 13_345), second);
        assert_eq!((second.resets_in_seconds(), second.retry_after_seconds()), (48, None));
        let standing = read(&ring, &MINUTE, 13_345).standing(&MINUTE);
        assert_eq!(standing, Standing { remaining: 98, resets_in_ms: 47_655 });
        let later = read(&ring, &MINUTE, 61_000).standing(&MINUTE);
        assert_eq!(later, Standing { remaining: 99, resets_in_ms: 12_345 });
        let unused = read(&ring, &MINUTE, 73_345).standing(&MINUTE);
        assert_eq!(unused, Standing { remaining: 100, resets_in_ms: 0 });
    }

    #[test]
    fn a_narrowed_policy_waits_for_the_call_that_makes_room() {
        let mut ring = Ring::<100>::new();
        for second in 0..10 {
            admit(&mut ring, &MINUTE, second * 1_000);
        }
        // Of ten calls the newest three count, so the one at 7 s must leave.
        let three = policy(3, 60);
        assert_eq!(admit(&mut ring, &three, 9_000), Decision::Refused { wait_ms: 58_000 });
        assert_eq!(admit(&mut ring, &three, 66_999), Decision::Refused { wait_ms: 1 });
        let decision = Decision::Admitted { remaining: 0, resets_in_ms: 1_000 };
        assert_eq!(admit(&mut ring, &three, 67_000), decision);
    }

    #[test]
    fn a_late_thread_is_counted_at_the_newest_call() {
        let mut ring = Ring::<12>::new();
        let once = policy(1, 1);
        admit(&mut ring, &once, 5_000);
        assert_eq!(admit(&mut ring, &once, 4_000), Decision::Refused { wait_ms: 1_000 });
    }

    #[test]
    fn a_call_that_finds_no_room_writes_nothing() {
        let mut ring = Ring::<12>::new();
        for _ in 0..12 {
            assert!(try_admit(&mut ring, &MINUTE, 5_000).is_some());
        }
        assert_eq!(try_admit(&mut ring, &MINUTE, 5_000), None);
        assert_eq!(try_admit(&mut ring, &policy(100, 66), 70_999), None);
        assert_eq!(ring.len(), 12);
        assert!(try_admit(&mut ring, &MINUTE, 65_000).is_some());
        assert_eq!(ring.len(), 1);
    }

    #[test]
    fn finds_every_boundary_between_the_old_and_the_live() {
        for len in 0..100_u64 {
            let mut ring = Ring::<100>::new();
            for call in 0..len {
                ring.push(call * 10, SHORT_MS);
            }
            for expired in 0..=len {
                let now = 60_000 + expired * 10;
                let reading = read(&ring, &MINUTE, now.saturating_sub(1));
                let dead = usize::try_from(expired).unwrap();
                assert_eq!((reading.expired, reading.live), (dead, ring.len() - dead));
            }
        }
    }
}
