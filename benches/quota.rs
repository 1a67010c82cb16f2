//! What the quota costs: nanoseconds a decision, beside governor in alternating slices of the same run, and bytes an
//! active connection as an allocator counts them. It fails above 250 bytes, above a microsecond, and on a decision
//! that allocates. The machine may be shared: read the ratios, and take the figures for their magnitude.

#![allow(
    unsafe_code,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "an allocator that counts is unsafe by its signature; a bench prints and reads the real clock"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use governor::RateLimiter;
use governor::clock::{DefaultClock, FakeRelativeClock};
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::DashMapStateStore;
use otpgate::clock::{Clock, SystemClock, UnixMillis};
use otpgate::quota::{Answer, ConnectionKey, LocalQuota, Policy, Quota, Table};

const MOST_BYTES: f64 = 250.0;
const MOST_NANOS: f64 = 1_000.0;

/// The system's allocator, which also counts the bytes that are held and the requests that were made.
struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static REQUESTS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is passed on unchanged to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.fetch_add(layout.size(), Ordering::Relaxed);
        REQUESTS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The system's clock, moved on by a part of a second with every reading, so that a call can always be admitted.
struct Hurried {
    clock: SystemClock,
    micros: u64,
    readings: AtomicU64,
}

impl Hurried {
    fn by(micros: u64) -> Arc<Self> {
        Arc::new(Self { clock: SystemClock::new(), micros, readings: AtomicU64::new(0) })
    }
}

impl Clock for Hurried {
    fn now(&self) -> UnixMillis {
        // One thread reads it: no need to pay for an atomic addition.
        let reading = self.readings.load(Ordering::Relaxed);
        self.readings.store(reading + 1, Ordering::Relaxed);
        self.clock.now() + Duration::from_micros(reading * self.micros)
    }
}

/// `count` random keys of connections, the same in every run.
fn keys(count: u64) -> Vec<u64> {
    let mix = |index: u64| {
        let mut bits = (index + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits ^ bits >> 31) >> 1
    };
    (0..count).map(mix).collect()
}

/// The least and the median nanoseconds a call of each of `cases`, in slices of `calls` that take turns.
fn race<const N: usize>(calls: usize, mut cases: [&mut dyn FnMut(usize); N]) -> [(f64, f64); N] {
    const ROUNDS: usize = 41;
    let mut slices = [const { Vec::new() }; N];
    for round in 0..ROUNDS {
        for (case, slices) in cases.iter_mut().zip(&mut slices) {
            let started = Instant::now();
            for call in 0..calls {
                case(black_box(round * calls + call));
            }
            slices.push(started.elapsed().as_secs_f64() * 1e9 / calls as f64);
        }
    }
    slices.map(|mut slices| {
        slices.sort_by(f64::total_cmp);
        (slices.first().copied().unwrap_or_default(), slices.get(ROUNDS / 2).copied().unwrap_or_default())
    })
}

fn decide(quota: &dyn Quota, key: u64, policy: &Policy) -> bool {
    match quota.check(ConnectionKey(key), policy) {
        Answer::Now(decision) => decision.is_admitted(),
        Answer::Later(_) => false,
    }
}

/// governor's keyed limiter, by the clock that it is given: one that admits every call, or one that admits the first.
fn governor<C: governor::clock::Clock>(admits: bool, clock: C) -> Rival<C> {
    let quota = governor::Quota::with_period(Duration::from_nanos(1))
        .filter(|_| admits)
        .map_or(governor::Quota::per_hour(NonZeroU32::MIN), |quota| quota.allow_burst(NonZeroU32::MAX));
    RateLimiter::new(quota, DashMapStateStore::default(), clock)
}

type Rival<C> = RateLimiter<u64, DashMapStateStore<u64>, C, NoOpMiddleware<<C as governor::clock::Clock>::Instant>>;

/// One row: `held` calls in each of `count` rings, and then only calls that are admitted, or only calls that are not.
fn speed(name: &str, count: u64, held: u64, admitted: bool) {
    let (policy, keys) = (Policy::DEFAULT, keys(count));
    // As many calls of each connection as leave `held` in a window.
    let pause = if admitted { 60_000_000 / held / count } else { 0 };
    let ours = LocalQuota::new(Hurried::by(pause));
    let theirs = governor(admitted, DefaultClock::default());
    let still = governor(admitted, FakeRelativeClock::default());
    let table = Table::new();
    for call in 0..held {
        for (index, &key) in (0..).zip(&keys) {
            decide(&ours, key, &policy);
            let now = (call * count + index) * pause / 1_000;
            table.check(ConnectionKey(key), &policy, UnixMillis(now));
        }
    }
    for key in &keys {
        black_box(theirs.check_key(key).is_ok() && still.check_key(key).is_ok());
    }
    let key = |call: usize| keys.get(call % keys.len()).copied().unwrap_or_default();
    let (wrong, mut calls) = (Cell::new(0), held * count);
    let expect = |right: bool| wrong.set(wrong.get() + usize::from(!right));
    let requests = REQUESTS.load(Ordering::Relaxed);
    let [alone, rival, whole, whole_rival] = race(
        200_000.min(usize::try_from(count).unwrap_or(usize::MAX).max(50_000)),
        [
            &mut |call| {
                let now = UnixMillis(calls * pause / 1_000);
                calls += 1;
                let decision = table.check(ConnectionKey(key(call)), &policy, now);
                expect(decision.is_admitted() == admitted);
            },
            &mut |call| expect(still.check_key(&key(call)).is_ok() == admitted),
            &mut |call| expect(decide(&ours, key(call), &policy) == admitted),
            &mut |call| expect(theirs.check_key(&key(call)).is_ok() == admitted),
        ],
    );
    let requests = REQUESTS.load(Ordering::Relaxed) - requests;
    println!(
        "{name:<34} {:>8.1} {:>8.1} {:>9.1} {:>7.2} {:>8.1} {:>9.1} {:>7.2}",
        alone.0,
        alone.1,
        rival.0,
        alone.0 / rival.0,
        whole.0,
        whole_rival.0,
        whole.0 / whole_rival.0
    );
    assert_eq!(wrong.get(), 0, "{name}: every decision is the one that is measured");
    assert!(requests < 200, "{name}: {requests} allocations, more than the measuring takes");
    assert!(alone.1 <= MOST_NANOS, "{name}: a decision takes {} ns", alone.1);
}

/// The memory of this process, in bytes, as the kernel counts it.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = status.split(' ').nth(1).and_then(|pages| pages.parse::<f64>().ok());
    pages.unwrap_or_default() * 4_096.0
}

/// One row: the bytes of each of `count` rings of `calls` calls, before and after they have been idle.
fn memory(count: u64, calls: u64, policy: &Policy) -> f64 {
    let keys = keys(count);
    let (before, kernel) = (HELD.load(Ordering::Relaxed), resident());
    let table = Table::new();
    for &key in &keys {
        for call in 0..calls {
            let spread = call * policy.period_ms() / calls;
            black_box(table.check(ConnectionKey(key), policy, UnixMillis(spread)));
        }
    }
    let bytes = (HELD.load(Ordering::Relaxed) - before) as f64 / count as f64;
    let kernel = (resident() - kernel) / count as f64;
    let started = Instant::now();
    let mut longest = Duration::ZERO;
    for _ in 0..16 {
        let step = Instant::now();
        black_box(table.sweep(UnixMillis(0)));
        longest = longest.max(step.elapsed());
    }
    let sweep = started.elapsed().as_secs_f64() * 1e3;
    let saved = Instant::now();
    let stored: usize = table.save().iter().map(|ring| ring.bytes.len()).sum();
    let saved = saved.elapsed().as_secs_f64() * 1e3;
    for _ in 0..16 {
        table.sweep(UnixMillis(10_000_000));
    }
    let left = HELD.load(Ordering::Relaxed) - before;
    // Only what the kernel had to add is known: a table that reuses freed memory shows less than it holds.
    let kernel = if kernel < bytes { "-".to_owned() } else { format!("{kernel:.1}") };
    println!(
        "{count:>9} {calls:>6} {:>6} {bytes:>10.1} {kernel:>10} {left:>9} {sweep:>10.1} {:>10.2} {saved:>9.1} {:>9.1}",
        policy.period_seconds(),
        longest.as_secs_f64() * 1e3,
        stored as f64 / count as f64,
    );
    assert!(left < 10_000, "an idle connection takes nothing, yet {left} bytes are left");
    bytes
}

fn main() {
    let minute = Policy::DEFAULT;
    println!("bytes a connection; all 16 sweeps of what stays, the longest of them, and a save, in ms");
    println!(
        "{:>9} {:>6} {:>6} {:>10} {:>10} {:>9} {:>10} {:>10} {:>9} {:>9}",
        "rings", "calls", "period", "allocated", "resident", "idle", "sweeps", "longest", "save", "stored"
    );
    for count in [1_000_000, 100_000, 1_000] {
        let bytes = memory(count, 100, &minute);
        assert!(bytes <= MOST_BYTES, "{bytes} bytes a full ring of {count}");
        memory(count, 12, &minute);
        memory(count, 1, &minute);
    }
    for (calls, seconds) in [(500, 60), (100, 3_600), (10_000, 1)] {
        if let Ok(policy) = Policy::new(calls, seconds) {
            memory(1_000, calls.into(), &policy);
        }
    }
    println!("\nns a decision, least of 41 slices; without a clock, and with the clock of each");
    println!(
        "{:<34} {:>8} {:>8} {:>9} {:>7} {:>8} {:>9} {:>7}",
        "", "table", "(median)", "governor", "ratio", "quota", "governor", "ratio"
    );
    speed("one connection, admitted", 1, 100, true);
    speed("one connection, refused", 1, 100, false);
    speed("1,000 connections, admitted", 1_000, 100, true);
    speed("1,000 connections, refused", 1_000, 100, false);
    speed("100,000 connections, admitted", 100_000, 100, true);
    speed("100,000 connections, refused", 100_000, 100, false);
    speed("100,000 connections of 10 calls", 100_000, 10, true);
}
