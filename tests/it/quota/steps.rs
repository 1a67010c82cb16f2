//! Random lives of a few connections, as steps that shrink, and the runs that check a limiter with them.

use std::cell::Cell;
use std::hash::{BuildHasher, Hasher, RandomState};

use otpgate::quota::{Decision, Policy};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestError, TestRunner};

use super::model::{Checker, Limiter, Tally, Violation};

/// One thing that happens.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// So many calls at one instant, in thousandths of the policy's calls, and at least one.
    Burst(u16),
    /// So many calls as far apart as the policy allows for ever, in thousandths of the policy's calls.
    Stream(u16),
    /// A call by a thread that read the clock so many milliseconds ago, a second at most.
    Late(u16),
    /// Calls until one is refused; then one a millisecond before it said, and one when it said.
    Obey,
    /// So many milliseconds pass.
    Pass(u64),
    /// So many thousandths of the period pass.
    Part(u16),
    /// The period passes, less a millisecond, exactly, or plus one.
    Period(i8),
    /// From here on another connection calls.
    Key(u8),
    /// From here on another policy holds.
    Policy(u8),
    /// Asks what is left.
    Peek,
    /// What is idle is removed.
    Sweep,
    /// The process is drained and starts again.
    Restart,
}

/// Gaps about which a ring of two-byte or four-byte stamps could be wrong.
const WRAPS: [u64; 9] = [65_535, 65_536, 65_537, 131_071, 131_072, (1 << 32) - 1, 1 << 32, (1 << 32) + 65_536, 1 << 33];

/// A step out of a hundred sorts and an amount. Both shrink towards a single call.
///
/// (`prop_oneof!` would say this in strategies, but copies the generator for each alternative of each step.)
fn step((sort, amount): (u8, u64)) -> Step {
    let below = |bound: u64| amount % bound;
    let small = |bound: u16| u16::try_from(below(bound.into())).unwrap_or_default();
    let tiny = |bound: u8| u8::try_from(below(bound.into())).unwrap_or_default();
    match sort {
        0..16 => Step::Burst(small(400)),
        16..24 => Step::Burst(small(1_500)),
        24..36 => Step::Pass(below(20)),
        36..48 => Step::Part(small(200)),
        48..56 => Step::Period(tiny(3).cast_signed() - 1),
        56..60 => Step::Pass(WRAPS[usize::from(tiny(9))]),
        60..64 => Step::Pass(below(864_000_000)),
        64..72 => Step::Stream(small(400)),
        72..78 => Step::Obey,
        78..84 => Step::Late(small(900)),
        84..88 => Step::Key(tiny(3)),
        88..92 => Step::Policy(tiny(255)),
        92..96 => Step::Peek,
        96..98 => Step::Sweep,
        _ => Step::Restart,
    }
}

/// A start (ms since 1970) and what happens from there.
fn lives() -> impl Strategy<Value = (u64, Vec<Step>)> {
    let start = (0..200_000_u64).prop_map(|ms| 1_763_764_437_120 + ms);
    (start, vec((0..99_u8, any::<u64>()).prop_map(step), 1..400))
}

/// Lives through `steps` from `start` with `limiter`. The first policy holds until a step names another. Returns what
/// became of the calls.
fn live(limiter: &mut impl Limiter, policies: &[Policy], start: u64, steps: &[Step]) -> Result<Tally, Violation> {
    // The keys of connections are random; two that differ little are as good as any.
    const KEYS: [u64; 3] = [0x1d3a_55c0_7be4_9f21, 0x1d3a_55c0_7be4_9f22, 7];
    let mut checker = Checker::new(limiter);
    let (mut now, mut key, mut policy) = (start, KEYS[0], policies[0]);
    for &step in steps {
        let share = |thousandths: u16| (u64::from(policy.calls()) * u64::from(thousandths)).div_ceil(1_000).max(1);
        match step {
            Step::Burst(thousandths) => {
                for _ in 0..share(thousandths) {
                    checker.call(key, &policy, now)?;
                }
            }
            Step::Stream(thousandths) => {
                for call in 0..share(thousandths) {
                    // A rate of less than one a millisecond is met by passing a millisecond now and then.
                    let (calls, period) = (u64::from(policy.calls()), policy.period_ms());
                    now += (call + 1) * period / calls - call * period / calls;
                    checker.call(key, &policy, now)?;
                }
            }
            Step::Late(ms) => {
                checker.call(key, &policy, now - u64::from(ms))?;
            }
            Step::Obey => {
                let wait = loop {
                    if let Some(wait) = wait(checker.call(key, &policy, now)?) {
                        break wait;
                    }
                };
                checker.call(key, &policy, now + wait - 1)?;
                now += wait;
                checker.call(key, &policy, now)?;
            }
            Step::Pass(ms) => now += ms,
            Step::Part(thousandths) => now += policy.period_ms() * u64::from(thousandths) / 1_000,
            Step::Period(more) => now = (now + policy.period_ms()).strict_add_signed(more.into()),
            Step::Key(index) => key = KEYS[usize::from(index)],
            Step::Policy(index) => policy = policies[usize::from(index) % policies.len()],
            Step::Peek => checker.peek(key, &policy, now)?,
            Step::Sweep => checker.limiter.sweep(now),
            Step::Restart => checker.limiter.restart(now),
        }
    }
    if policies.len() == 1 {
        checker.history(&policy)?;
    }
    Ok(checker.tally)
}

fn wait(decision: Decision) -> Option<u64> {
    match decision {
        Decision::Refused { wait_ms } => Some(wait_ms.into()),
        Decision::Admitted { .. } => None,
    }
}

/// Runs random lives until `calls` calls were made. `Err` is the first violation, the steps shrunk to the fewest
/// that show it, with the seed that `PROPTEST_RNG_SEED` takes to find it again.
pub(crate) fn run<L: Limiter>(limiter: impl Fn() -> L, policies: &[Policy], calls: u64) -> Result<Tally, String> {
    let config = Config { failure_persistence: None, cases: 4, max_shrink_iters: 4_096, ..Config::default() };
    let mut seed = match config.rng_seed {
        RngSeed::Fixed(seed) => seed,
        RngSeed::Random => RandomState::new().build_hasher().finish(),
    };
    let made = Cell::new(Tally::default());
    while made.get().calls < calls {
        let config = Config { rng_seed: RngSeed::Fixed(seed), ..config.clone() };
        let outcome = TestRunner::new(config).run(&lives(), |(start, steps)| {
            match live(&mut limiter(), policies, start, &steps) {
                Ok(tally) => made.set(made.get() + tally),
                Err(violation) => return Err(TestCaseError::fail(format!("{violation:?}"))),
            }
            Ok(())
        });
        match outcome {
            Ok(()) => seed = seed.wrapping_add(1),
            Err(TestError::Fail(reason, (start, steps))) => {
                return Err(format!("{reason} from {start} by {steps:?}; PROPTEST_RNG_SEED={seed}"));
            }
            Err(TestError::Abort(reason)) => return Err(format!("no verdict: {reason}")),
        }
    }
    Ok(made.get())
}
