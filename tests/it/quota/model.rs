//! What the quota must do, said naively, and a checker that holds any limiter against it call by call.
//!
//! The model keeps every admitted call of a connection as a 64-bit millisecond. It is the contract in a dozen lines,
//! and far too slow and too large to serve. The checker knows no implementation: it drives a [`Limiter`].

use std::collections::{HashMap, VecDeque};
use std::ops::Add;

use otpgate::quota::{Decision, Policy, Standing};

/// Anything that claims to be a quota.
pub(crate) trait Limiter {
    /// Decides on one call of `key` at `now` (ms), and counts it if it is admitted.
    fn check(&mut self, key: u64, policy: &Policy, now: u64) -> Decision;

    /// What is left, uncharged; `None` where the limiter cannot say.
    fn peek(&mut self, _key: u64, _policy: &Policy, _now: u64) -> Option<Standing> {
        None
    }

    /// Removes what is idle. It must change no decision.
    fn sweep(&mut self, _now: u64) {}

    /// Stops and starts again, keeping what it knows. It must change no decision.
    fn restart(&mut self, _now: u64) {}

    /// Whether the figures that come with a decision are to be compared as well as the decision.
    fn says_figures(&self) -> bool {
        true
    }
}

/// How a limiter broke the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Violation {
    /// It admitted a call although the window that ends with it was full.
    TooMany { calls: u16, in_window: usize },
    /// It refused a call although the window that ends with it had room.
    RefusedWithRoom { calls: u16, in_window: usize },
    /// It decided rightly and reported wrongly.
    Figures { said: Decision, is: Decision },
    /// It misreported what is left.
    Standing { said: Standing, is: Standing },
    /// Over the whole run, more calls than allowed lay closer together than a period.
    History { first: u64, last: u64 },
}

/// The admitted calls of one connection.
#[derive(Default)]
struct Calls {
    times: VecDeque<u64>,
    /// The newest call, and for how long after it anything counts.
    last: u64,
    keeps: u64,
}

impl Calls {
    /// How many calls the half-open window that ends at `now` holds.
    fn live(&self, policy: &Policy, now: u64) -> usize {
        if now - self.last >= self.keeps {
            return 0;
        }
        let first = self.times.partition_point(|&time| time + policy.period_ms() <= now);
        self.times.len() - first
    }

    /// How many milliseconds after `now` the call that is the `nth` newest has left the window.
    fn relief(&self, policy: &Policy, now: u64, nth: usize) -> u32 {
        let leaves = self.times[self.times.len() - nth] + policy.period_ms();
        u32::try_from(leaves.min(self.last + self.keeps) - now).unwrap()
    }

    fn decide(&self, policy: &Policy, now: u64) -> Decision {
        let (live, calls) = (self.live(policy, now), usize::from(policy.calls()));
        if live >= calls {
            return Decision::Refused { wait_ms: self.relief(policy, now, calls) };
        }
        let remaining = u16::try_from(calls - live - 1).unwrap();
        let resets_in_ms = match live {
            0 => u32::from(policy.period_seconds()) * 1_000,
            _ => self.relief(policy, now, live),
        };
        Decision::Admitted { remaining, resets_in_ms }
    }

    fn standing(&self, policy: &Policy, now: u64) -> Standing {
        let (live, calls) = (self.live(policy, now), usize::from(policy.calls()));
        let remaining = u16::try_from(calls.saturating_sub(live)).unwrap();
        let resets_in_ms = match live {
            0 => 0,
            _ => self.relief(policy, now, live.min(calls)),
        };
        Standing { remaining, resets_in_ms }
    }

    fn admit(&mut self, policy: &Policy, now: u64) {
        self.times.drain(..self.times.len() - self.live(policy, now));
        self.times.push_back(now);
        self.last = now;
        // What no window can hold any more counts for nothing, even if the connection is then given a longer one.
        self.keeps = policy.period_ms().max(65_000);
    }
}

/// What became of the calls of a run.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) calls: u64,
    pub(crate) refused: u64,
}

impl Add for Tally {
    type Output = Self;

    fn add(self, more: Self) -> Self {
        Self { calls: self.calls + more.calls, refused: self.refused + more.refused }
    }
}

/// Drives a limiter and compares.
pub(crate) struct Checker<'a, L> {
    pub(crate) limiter: &'a mut L,
    keys: HashMap<u64, Calls>,
    histories: HashMap<u64, Vec<u64>>,
    pub(crate) tally: Tally,
}

impl<'a, L: Limiter> Checker<'a, L> {
    pub(crate) fn new(limiter: &'a mut L) -> Self {
        Self { limiter, keys: HashMap::new(), histories: HashMap::new(), tally: Tally::default() }
    }

    /// One call: the limiter must decide as the model does, and say the same about it.
    pub(crate) fn call(&mut self, key: u64, policy: &Policy, now: u64) -> Result<Decision, Violation> {
        self.tally.calls += 1;
        let said = self.limiter.check(key, policy, now);
        let known = self.keys.entry(key).or_default();
        let now = now.max(known.last);
        let is = known.decide(policy, now);
        if said.is_admitted() != is.is_admitted() {
            let (calls, in_window) = (policy.calls(), known.live(policy, now));
            return Err(if said.is_admitted() {
                Violation::TooMany { calls, in_window: in_window + 1 }
            } else {
                Violation::RefusedWithRoom { calls, in_window }
            });
        }
        if said != is && self.limiter.says_figures() {
            return Err(Violation::Figures { said, is });
        }
        if is.is_admitted() {
            known.admit(policy, now);
            self.histories.entry(key).or_default().push(now);
        } else {
            self.tally.refused += 1;
        }
        Ok(is)
    }

    /// Asks what is left.
    pub(crate) fn peek(&mut self, key: u64, policy: &Policy, now: u64) -> Result<(), Violation> {
        let Some(said) = self.limiter.peek(key, policy, now) else {
            return Ok(());
        };
        let known = self.keys.entry(key).or_default();
        let is = known.standing(policy, now.max(known.last));
        if said == is { Ok(()) } else { Err(Violation::Standing { said, is }) }
    }

    /// The contract once more, over all that was admitted under one policy and without the model: of any `calls` + 1
    /// calls in a row, the last is a whole period or more after the first.
    pub(crate) fn history(&self, policy: &Policy) -> Result<(), Violation> {
        let calls = usize::from(policy.calls());
        for history in self.histories.values() {
            for (&first, &last) in history.iter().zip(history.iter().skip(calls)) {
                if last - first < policy.period_ms() {
                    return Err(Violation::History { first, last });
                }
            }
        }
        Ok(())
    }
}
