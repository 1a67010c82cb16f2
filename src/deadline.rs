//! How long one call may wait for a shared store, all its turns together. Must not know what a call or a store is.
//!
//! A call is a future in [`call`]; each turn of it is a future in [`within`]. Only the time in which a turn is under way counts:
//! whoever sends his body slowly, or waits for another call, has not used any of it up. What runs outside a call, as the
//! courier's work does, has a time for each turn.

use std::cell::Cell;
use std::future::Future;
use std::time::Duration;

use tokio::task::futures::TaskLocalFuture;
use tokio::time::{Instant, timeout_at};

tokio::task_local! {
    static WAITED: Waited;
}

/// What a call has waited so far.
pub struct Waited(Cell<Turns>);

#[derive(Clone, Copy)]
struct Turns {
    /// Turns that are under way.
    running: u32,
    /// Since when at least one is.
    since: Instant,
    /// What earlier ones took.
    spent: Duration,
}

/// Why a turn has no outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Late {
    /// The call had no time left: the turn was not begun.
    Before,
    /// It was begun, and its end was not waited for.
    Under,
}

/// Runs a call, whose turns share their time.
pub fn call<F: Future>(future: F) -> TaskLocalFuture<Waited, F> {
    let turns = Turns { running: 0, since: Instant::now(), spent: Duration::ZERO };
    WAITED.scope(Waited(Cell::new(turns)), future)
}

/// Whether this runs within a call: somebody waits for it.
#[must_use]
pub fn is_call() -> bool {
    WAITED.try_with(|_| ()).is_ok()
}

/// Waits for a turn, for what is left of the call's `limit`; outside a call, for `alone`.
///
/// # Errors
/// [`Late`].
pub async fn within<F: Future>(limit: Duration, alone: Duration, turn: F) -> Result<F::Output, Late> {
    let now = Instant::now();
    let end = WAITED.try_with(|waited| waited.begin(now, limit)).ok();
    let _under_way = end.map(|_| UnderWay);
    if end.is_some_and(|end| end <= now) {
        return Err(Late::Before);
    }
    timeout_at(end.unwrap_or(now + alone), turn).await.map_err(|_| Late::Under)
}

impl Waited {
    /// A turn begins: when it has to be over.
    fn begin(&self, now: Instant, limit: Duration) -> Instant {
        let mut turns = self.0.get();
        if turns.running == 0 {
            turns.since = now;
        }
        turns.running += 1;
        self.0.set(turns);
        turns.since + limit.saturating_sub(turns.spent)
    }

    fn end(&self, now: Instant) {
        let mut turns = self.0.get();
        turns.running = turns.running.saturating_sub(1);
        if turns.running == 0 {
            turns.spent += now.saturating_duration_since(turns.since);
        }
        self.0.set(turns);
    }
}

/// Ends a turn, also one that is given up.
struct UnderWay;

impl Drop for UnderWay {
    fn drop(&mut self) {
        // Outside the call there is nothing that could have been begun.
        let _ended = WAITED.try_with(|waited| waited.end(Instant::now()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::sleep;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    async fn turn(length: u64) -> Result<(), Late> {
        within(ms(75), ms(1_000), sleep(ms(length))).await
    }

    #[tokio::test(start_paused = true)]
    async fn the_turns_of_a_call_share_their_time_and_nothing_else_counts() {
        call(async {
            let began = Instant::now();
            assert!(is_call());
            assert_eq!(turn(30).await, Ok(()));
            // Such as a body that arrives slowly.
            sleep(ms(500)).await;
            assert_eq!(turn(30).await, Ok(()));
            assert_eq!(turn(30).await, Err(Late::Under));
            assert_eq!(began.elapsed(), ms(575));
            assert_eq!(turn(0).await, Err(Late::Before));
            assert_eq!(began.elapsed(), ms(575));
        })
        .await;
        assert!(!is_call());
        assert_eq!(turn(900).await, Ok(()), "outside a call each has its own");
        assert_eq!(turn(2_000).await, Err(Late::Under));
    }

    #[tokio::test(start_paused = true)]
    async fn turns_at_the_same_time_count_once_and_one_that_is_given_up_has_ended() {
        call(async {
            let began = Instant::now();
            let many = futures_util::future::join_all((0..10).map(|_| turn(40))).await;
            assert!(many.iter().all(Result::is_ok), "{many:?}");
            assert!(tokio::time::timeout(ms(10), turn(20)).await.is_err());
            sleep(ms(500)).await;
            assert_eq!(turn(24).await, Ok(()));
            assert_eq!(turn(10).await, Err(Late::Under));
            assert_eq!(began.elapsed(), ms(575));
        })
        .await;
    }
}
