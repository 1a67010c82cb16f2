//! Submits a second: each takes the next moment that the contract allows. Knows no session.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Spaces submits evenly: centres count in windows of their own, and a burst at the seam of two would be throttled.
pub(super) struct Pace {
    apart: Duration,
    next: Mutex<Instant>,
}

impl Pace {
    /// So many a second, at least one.
    pub(super) fn new(per_second: u32) -> Self {
        Self { apart: Duration::from_secs(1) / per_second.max(1), next: Mutex::new(Instant::now()) }
    }

    /// The wait until the next free moment, which is taken.
    ///
    /// # Errors
    /// The wait, where it is longer than `patience`; no moment is taken then.
    pub(super) fn take(&self, now: Instant, patience: Duration) -> Result<Duration, Duration> {
        let mut next = self.next.lock();
        let moment = (*next).max(now);
        let wait = moment.duration_since(now);
        if wait > patience {
            return Err(wait);
        }
        *next = moment + self.apart;
        Ok(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn moments_are_evenly_apart_and_none_is_saved_up() {
        let pace = Pace::new(4);
        tokio::time::advance(Duration::from_secs(60)).await;
        let now = Instant::now();
        let patience = Duration::from_millis(600);
        let waits: Vec<_> = (0..3).map(|_| pace.take(now, patience).unwrap().as_millis()).collect();
        assert_eq!(waits, [0, 250, 500]);
        assert_eq!(pace.take(now, patience), Err(Duration::from_millis(750)));
        assert_eq!(pace.take(now + Duration::from_millis(700), patience), Ok(Duration::from_millis(50)));
    }
}
