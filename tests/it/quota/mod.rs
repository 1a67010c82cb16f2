//! The exact quota against its contract: random lives, threads, restarts, and the rivals that must fail.

pub(crate) mod model;
mod rivals;
mod shared;
pub(crate) mod steps;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::Duration;

use otpgate::clock::{Clock, ManualClock, UnixMillis};
use otpgate::quota::{
    Answer, ConnectionKey, Decision, LocalQuota, Pending, Policy, Quota, RingStore, SavedRing, Standing, Table,
};

use model::Limiter;
use rivals::{FixedWindow, Gcra, SlidingCounter};

fn policy(calls: u32, seconds: u32) -> Policy {
    Policy::new(calls, seconds).unwrap()
}

/// The table as the gateway runs it.
#[derive(Default)]
struct Ours(Table);

impl Limiter for Ours {
    fn check(&mut self, key: u64, policy: &Policy, now: u64) -> Decision {
        self.0.check(ConnectionKey(key), policy, UnixMillis(now))
    }

    fn peek(&mut self, key: u64, policy: &Policy, now: u64) -> Option<Standing> {
        Some(self.0.peek(ConnectionKey(key), policy, UnixMillis(now)))
    }

    fn sweep(&mut self, now: u64) {
        for _ in 0..16 {
            self.0.sweep(UnixMillis(now));
        }
    }

    fn restart(&mut self, now: u64) {
        let started = Table::new();
        let loaded = started.load(self.0.save(), UnixMillis(now));
        assert_eq!(loaded.refused, []);
        self.0 = started;
    }
}

/// Six policies make over a million calls. A tenth of them at least is refused and a tenth admitted.
fn is_exact(calls: u32, seconds: u32, of: u64) {
    match steps::run(Ours::default, &[policy(calls, seconds)], of) {
        Ok(made) => {
            println!("{made:?}");
            assert!(made.calls >= of);
            assert!((made.calls / 10..made.calls / 10 * 9).contains(&made.refused), "{made:?}");
        }
        Err(violation) => panic!("{violation}"),
    }
}

#[test]
fn is_exact_for_100_calls_in_60_s() {
    is_exact(100, 60, 200_000);
}

#[test]
fn is_exact_for_1_call_in_1_s() {
    is_exact(1, 1, 150_000);
}

#[test]
fn is_exact_for_3_calls_in_65_s() {
    is_exact(3, 65, 150_000);
}

#[test]
fn is_exact_for_7_calls_in_66_s() {
    is_exact(7, 66, 150_000);
}

#[test]
fn is_exact_for_500_calls_in_an_hour() {
    is_exact(500, 3_600, 200_000);
}

#[test]
fn is_exact_for_10_000_calls_in_1_s() {
    is_exact(10_000, 1, 800_000);
}

#[test]
fn is_exact_while_policies_change() {
    let policies = [(100, 60), (10, 60), (12, 1), (13, 65), (7, 66), (101, 60), (300, 3_600), (1, 5)]
        .map(|(calls, seconds)| policy(calls, seconds));
    if let Err(violation) = steps::run(Ours::default, &policies, 175_000) {
        panic!("{violation}");
    }
}

fn breaks_the_contract<L: Limiter + Default>(with: &[&str]) {
    let violation = steps::run(L::default, &[policy(100, 60)], 1_000_000).unwrap_err();
    println!("{violation}");
    assert!(with.iter().any(|kind| violation.contains(kind)), "{violation}");
}

#[test]
fn the_suite_refuses_gcra() {
    breaks_the_contract::<Gcra>(&["TooMany"]);
}

#[test]
fn the_suite_refuses_fixed_windows() {
    breaks_the_contract::<FixedWindow>(&["TooMany"]);
}

#[test]
fn the_suite_refuses_sliding_counters() {
    breaks_the_contract::<SlidingCounter>(&["TooMany", "RefusedWithRoom"]);
}

/// The most calls that any 60 s held when a greedy client called every millisecond for three minutes.
fn most_in_a_minute(mut limiter: impl Limiter, start: u64) -> usize {
    let calls = (start..start + 180_000)
        .filter(|&now| limiter.check(1, &Policy::DEFAULT, now).is_admitted())
        .collect::<Vec<_>>();
    let in_window = |&first: &u64| calls.iter().filter(move |&&time| time >= first && time < first + 60_000);
    calls.iter().map(|first| in_window(first).count()).max().unwrap()
}

#[test]
fn a_greedy_client_gets_100_in_a_minute_here_and_twice_that_elsewhere() {
    // Near the end of a minute of the clock, where fixed windows are at their worst.
    let start = 29_396_074 * 60_000 - 100;
    assert_eq!(most_in_a_minute(Ours::default(), start), 100);
    assert_eq!(most_in_a_minute(Gcra::default(), start), 199);
    assert_eq!(most_in_a_minute(FixedWindow::default(), start), 200);
    assert!(most_in_a_minute(SlidingCounter::default(), start) > 100);
}

#[test]
fn no_connection_is_charged_for_another() {
    let (table, twice) = (Table::new(), policy(2, 60));
    let now = UnixMillis(1_763_764_437_120);
    // A third call is refused to each, and each gets two.
    for admits in [true, true, false] {
        for key in 0..50_000 {
            assert_eq!(table.check(ConnectionKey(key), &twice, now).is_admitted(), admits);
        }
    }
    assert_eq!(table.len(), 50_000);
}

#[test]
fn threads_at_one_instant_get_exactly_the_quota() {
    for (calls, seconds) in [(1, 1), (100, 60), (500, 3_600), (10_000, 1)] {
        let (policy, table) = (policy(calls, seconds), Table::new());
        let (start, admitted) = (Barrier::new(65), AtomicUsize::new(0));
        let now = UnixMillis(1_763_764_437_120);
        thread::scope(|scope| {
            for thread in 0..64 {
                let (table, start, admitted) = (&table, &start, &admitted);
                scope.spawn(move || {
                    start.wait();
                    for call in 0..300 {
                        // Another connection of the same shards, and a thread that is late now and then.
                        table.check(ConnectionKey(thread + 2), &policy, now);
                        let late = Duration::from_millis(call % 3);
                        if table.check(ConnectionKey(1), &policy, now.minus(late)).is_admitted() {
                            admitted.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
            start.wait();
            for _ in 0..1_000 {
                table.sweep(now);
            }
        });
        assert_eq!(admitted.into_inner(), usize::try_from(calls).unwrap(), "{policy}");
    }
}

/// Keeps rings in memory.
#[derive(Default)]
struct Shelf(Mutex<Vec<SavedRing>>);

impl RingStore for Shelf {
    fn take(&self) -> Pending<'_, Vec<SavedRing>> {
        Box::pin(async { Ok(std::mem::take(&mut *self.0.lock().unwrap())) })
    }

    fn put(&self, rings: Vec<SavedRing>) -> Pending<'_, ()> {
        *self.0.lock().unwrap() = rings;
        Box::pin(async { Ok(()) })
    }
}

#[tokio::test]
async fn a_drain_and_a_start_free_no_quota() {
    let (clock, shelf) = (Arc::new(ManualClock::at(UnixMillis(1_763_764_437_120))), Shelf::default());
    let (key, minute) = (ConnectionKey(42), Policy::DEFAULT);
    let before = LocalQuota::new(Arc::clone(&clock) as Arc<dyn Clock>);
    for _ in 0..100 {
        assert!(before.check(key, &minute).get().await.unwrap().is_admitted());
    }
    before.save(&shelf).await.unwrap();

    clock.advance(Duration::from_secs(10));
    let after: &dyn Quota = &{
        let quota = LocalQuota::new(Arc::clone(&clock) as Arc<dyn Clock>);
        assert_eq!(quota.load(&shelf).await.unwrap().rings, 1);
        quota
    };
    let Answer::Now(decision) = after.check(key, &minute) else { panic!("it answers at once") };
    assert_eq!(decision, Decision::Refused { wait_ms: 50_000 });
    assert_eq!(decision.retry_after_seconds(), Some(50));
    let standing = after.peek(key, &minute).get().await.unwrap();
    assert_eq!(standing, Standing { remaining: 0, resets_in_ms: 50_000 });
    // The shelf is empty, so that a start after a crash does not read old calls.
    assert_eq!(shelf.take().await.unwrap(), []);
}
