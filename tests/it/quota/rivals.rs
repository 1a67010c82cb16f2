//! The quota's negative controls: three limiters that are widely used for "100 in 60 s" and are not that.
//!
//! They pass nothing but the decision; what they say besides is not compared.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::FakeRelativeClock;
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use otpgate::quota::{Decision, Policy};

use super::model::Limiter;

const fn verdict(admitted: bool) -> Decision {
    if admitted { Decision::Admitted { remaining: 0, resets_in_ms: 1 } } else { Decision::Refused { wait_ms: 1 } }
}

/// The generic cell rate algorithm as governor has it: 100 a minute is a burst of 100 and one more every 600 ms.
#[derive(Default)]
pub(crate) struct Gcra {
    clock: FakeRelativeClock,
    now: Option<u64>,
    keys: HashMap<u64, Direct>,
}

type Direct = RateLimiter<
    NotKeyed,
    InMemoryState,
    FakeRelativeClock,
    NoOpMiddleware<<FakeRelativeClock as governor::clock::Clock>::Instant>,
>;

impl Limiter for Gcra {
    fn check(&mut self, key: u64, policy: &Policy, now: u64) -> Decision {
        let before = *self.now.get_or_insert(now);
        self.clock.advance(Duration::from_millis(now.saturating_sub(before)));
        self.now = Some(now.max(before));
        let limiter = self.keys.entry(key).or_insert_with(|| {
            let calls = NonZeroU32::new(policy.calls().into()).unwrap();
            let cell = Duration::from_millis(policy.period_ms()) / calls.get();
            let quota = Quota::with_period(cell).unwrap().allow_burst(calls);
            RateLimiter::direct_with_clock(quota, self.clock.clone())
        });
        verdict(limiter.check().is_ok())
    }

    fn says_figures(&self) -> bool {
        false
    }
}

/// A counter that begins again with every full period of the clock.
#[derive(Default)]
pub(crate) struct FixedWindow {
    keys: HashMap<u64, (u64, u16)>,
}

impl Limiter for FixedWindow {
    fn check(&mut self, key: u64, policy: &Policy, now: u64) -> Decision {
        let (window, count) = self.keys.entry(key).or_default();
        let present = (now / policy.period_ms()).max(*window);
        if *window != present {
            (*window, *count) = (present, 0);
        }
        let admitted = *count < policy.calls();
        *count += u16::from(admitted);
        verdict(admitted)
    }

    fn says_figures(&self) -> bool {
        false
    }
}

/// Two fixed windows, of which the one before counts for the share of it that the sliding window still covers.
#[derive(Default)]
pub(crate) struct SlidingCounter {
    keys: HashMap<u64, (u64, u64, u64)>,
}

impl Limiter for SlidingCounter {
    fn check(&mut self, key: u64, policy: &Policy, now: u64) -> Decision {
        let (window, before, count) = self.keys.entry(key).or_default();
        let present = (now / policy.period_ms()).max(*window);
        if *window != present {
            *before = if *window + 1 == present { *count } else { 0 };
            (*window, *count) = (present, 0);
        }
        let left = ((present + 1) * policy.period_ms() - now).min(policy.period_ms());
        let estimate = *before * left / policy.period_ms() + *count;
        let admitted = estimate < u64::from(policy.calls());
        *count += u64::from(admitted);
        verdict(admitted)
    }

    fn says_figures(&self) -> bool {
        false
    }
}
