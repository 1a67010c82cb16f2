//! Time, passed in: milliseconds since 1970 from one clock that never runs backwards while the process lives.
//!
//! The system clock is read once, at the start; from then on the monotonic clock carries it. A step of the wall
//! clock therefore ends no code early, revives none and frees no quota. This is the only file that reads either.

use std::ops::Add;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};

/// An instant: whole milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnixMillis(pub u64);

impl UnixMillis {
    /// The time from `earlier` to here; zero when `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// This instant less `span`, not before 1970.
    #[must_use]
    pub fn minus(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(millis(span)))
    }

    /// RFC 3339 in UTC with milliseconds and `Z`, as `2026-11-21T22:33:57.123Z`. The year is capped at 9999.
    #[must_use]
    pub fn to_rfc3339(self) -> String {
        let capped = i64::try_from(self.0).unwrap_or(i64::MAX).min(253_402_207_199_999);
        jiff::Timestamp::from_millisecond(capped).map(|timestamp| format!("{timestamp:.3}")).unwrap_or_default()
    }
}

impl Add<Duration> for UnixMillis {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(millis(span)))
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// Where the time comes from.
pub trait Clock: Send + Sync + 'static {
    /// The present instant. Never earlier than an instant that this clock gave before.
    fn now(&self) -> UnixMillis;
}

/// The wall clock at the start of the process, carried on by the monotonic clock.
#[derive(Debug)]
pub struct SystemClock {
    wall: UnixMillis,
    started: Instant,
}

impl SystemClock {
    /// Reads the wall clock, once.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the system's clocks")]
    pub fn new() -> Self {
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self { wall: UnixMillis(millis(wall)), started: Instant::now() }
    }

    /// How far the wall clock has moved away from this clock since the start, in milliseconds (for a metric).
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the system's clocks")]
    pub fn drift_millis(&self) -> i64 {
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let wall = i64::try_from(millis(wall)).unwrap_or(i64::MAX);
        wall.saturating_sub(i64::try_from(self.now().0).unwrap_or(i64::MAX))
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> UnixMillis {
        self.wall + self.started.elapsed()
    }
}

/// A clock that stands still until it is told to move: for tests and models.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicU64);

impl ManualClock {
    /// A clock that stands at `now`.
    #[must_use]
    pub const fn at(now: UnixMillis) -> Self {
        Self(AtomicU64::new(now.0))
    }

    /// Moves the clock forward.
    pub fn advance(&self, span: Duration) {
        self.0.fetch_add(millis(span), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> UnixMillis {
        UnixMillis(self.0.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_rfc3339_with_milliseconds() {
        assert_eq!(UnixMillis(0).to_rfc3339(), "1970-01-01T00:00:00.000Z");
        assert_eq!(UnixMillis(1_763_764_437_120).to_rfc3339(), "2025-11-21T22:33:57.120Z");
        assert!(UnixMillis(u64::MAX).to_rfc3339().starts_with("9999-"));
    }

    #[test]
    fn the_manual_clock_moves_only_when_told() {
        let clock = ManualClock::at(UnixMillis(5));
        assert_eq!(clock.now(), UnixMillis(5));
        clock.advance(Duration::from_millis(7));
        assert_eq!(clock.now(), UnixMillis(12));
    }
}
