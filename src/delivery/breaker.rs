//! A circuit breaker: a carrier that fails again and again is left alone for a while, then tried with one message.
//!
//! Must not know what fails, nor what else could be tried.

use std::time::Duration;

use parking_lot::Mutex;

use crate::clock::UnixMillis;

/// Failures in a row that open the circuit.
pub const FAILURES: u32 = 5;
/// How long it stays open the first time; each further time twice as long.
pub const OPEN: Duration = Duration::from_secs(5);
/// The longest that it stays open.
pub const OPEN_AT_MOST: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
struct State {
    failures: u32,
    /// How often it opened since the last success.
    opened: u32,
    /// Nobody is let through before.
    until: UnixMillis,
    /// Whether one message is finding out whether the carrier works again.
    probing: bool,
}

/// Guards one carrier.
#[derive(Debug, Default)]
pub struct Breaker(Mutex<State>);

impl Breaker {
    /// Whether a message may be handed over at `now`.
    ///
    /// # Errors
    /// The instant before which it is not worth asking again.
    pub fn admit(&self, now: UnixMillis) -> Result<(), UnixMillis> {
        let mut state = self.0.lock();
        if now < state.until {
            return Err(state.until);
        }
        if state.opened > 0 {
            if state.probing {
                return Err(now + OPEN);
            }
            state.probing = true;
        }
        Ok(())
    }

    /// An admitted message was not handed over after all.
    pub fn forgo(&self) {
        self.0.lock().probing = false;
    }

    /// The carrier answered, whatever it said. Whether this closed the circuit.
    pub fn succeeded(&self) -> bool {
        let mut state = self.0.lock();
        let closed = state.opened > 0;
        (state.failures, state.opened, state.probing) = (0, 0, false);
        closed
    }

    /// The carrier did not answer, or said that it cannot work. Whether this opened the circuit.
    pub fn failed(&self, now: UnixMillis) -> bool {
        let mut state = self.0.lock();
        state.failures = state.failures.saturating_add(1);
        let probed = std::mem::take(&mut state.probing);
        let opens = probed || state.opened == 0 && state.failures >= FAILURES;
        if opens {
            let pause = OPEN.saturating_mul(1 << state.opened.min(10)).min(OPEN_AT_MOST);
            state.until = now + pause;
            state.opened = state.opened.saturating_add(1);
        }
        opens
    }

    /// The carrier works, but asked to be left alone until then.
    pub fn pause(&self, until: UnixMillis) {
        let mut state = self.0.lock();
        state.until = state.until.max(until);
        state.probing = false;
    }

    /// Whether it is open at `now`.
    #[must_use]
    pub fn is_open(&self, now: UnixMillis) -> bool {
        let state = self.0.lock();
        state.opened > 0 || now < state.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_000_000);

    #[test]
    fn failures_in_a_row_open_it_and_one_probe_at_a_time_closes_it() {
        let breaker = Breaker::default();
        for count in 1..FAILURES {
            assert!(!breaker.failed(NOW), "{count}");
        }
        assert!(!breaker.succeeded());
        for _ in 1..FAILURES {
            breaker.failed(NOW);
        }
        assert_eq!(breaker.admit(NOW), Ok(()));
        assert!(breaker.failed(NOW));
        assert_eq!(breaker.admit(NOW), Err(NOW + OPEN));
        let later = NOW + OPEN;
        assert_eq!(breaker.admit(later), Ok(()));
        assert!(breaker.admit(later).is_err(), "one probe at a time");
        assert!(breaker.failed(later));
        assert_eq!(breaker.admit(later), Err(later + OPEN * 2));
        let later = later + OPEN * 2;
        assert_eq!(breaker.admit(later), Ok(()));
        assert!(breaker.succeeded() && !breaker.is_open(later));
        assert_eq!((breaker.admit(later), breaker.admit(later)), (Ok(()), Ok(())));
    }

    #[test]
    fn it_never_stays_open_longer_than_its_bound() {
        let breaker = Breaker::default();
        let mut now = NOW;
        for _ in 0..100 {
            breaker.failed(now);
            if let Err(until) = breaker.admit(now) {
                assert!(until.since(now) <= OPEN_AT_MOST);
                now = until;
                assert_eq!(breaker.admit(now), Ok(()));
            }
        }
    }

    #[test]
    fn a_probe_that_was_not_made_leaves_room_for_the_next() {
        let breaker = Breaker::default();
        for _ in 0..FAILURES {
            breaker.failed(NOW);
        }
        let later = NOW + OPEN;
        assert_eq!(breaker.admit(later), Ok(()));
        breaker.forgo();
        assert_eq!(breaker.admit(later), Ok(()));
    }

    #[test]
    fn a_carrier_that_asks_for_a_pause_gets_it_and_is_not_broken() {
        let breaker = Breaker::default();
        breaker.pause(NOW + Duration::from_secs(3));
        assert_eq!(breaker.admit(NOW), Err(NOW + Duration::from_secs(3)));
        let later = NOW + Duration::from_secs(3);
        assert_eq!((breaker.admit(later), breaker.admit(later)), (Ok(()), Ok(())));
    }
}
