//! When an event is tried again: the waits of the configuration, each with a jitter, and what a receiver asked for.

use std::time::Duration;

use rand::RngExt as _;

use crate::secret::{Entropy, EntropyRng};

/// The longest that a receiver's own `Retry-After` is followed.
const LONGEST_ASKED: Duration = Duration::from_secs(24 * 60 * 60);
/// A wait is lengthened by up to this many percent, so that what failed together does not come back together.
const JITTER_PERCENT: u32 = 20;

/// The waits between the tries of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backoff(Vec<Duration>);

impl Backoff {
    /// These waits; after the last one's try there is none.
    #[must_use]
    pub const fn new(waits: Vec<Duration>) -> Self {
        Self(waits)
    }

    /// The shortest wait after the first try.
    #[must_use]
    pub fn first(&self) -> Duration {
        self.0.first().copied().unwrap_or_default()
    }

    /// The wait after the try number `tries` (from 1) failed; none when it was the last one. Not shorter than `asked`.
    #[must_use]
    pub fn wait(&self, tries: u32, asked: Option<Duration>, entropy: &dyn Entropy) -> Option<Duration> {
        let index = usize::try_from(tries.saturating_sub(1)).unwrap_or(usize::MAX);
        let wait = *self.0.get(index)?;
        let percent = EntropyRng(entropy).random_range(0..=JITTER_PERCENT);
        let jittered = wait + wait * percent / 100;
        Some(jittered.max(asked.unwrap_or_default().min(LONGEST_ASKED)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::SystemEntropy;

    #[test]
    fn waits_are_jittered_and_end() {
        let backoff = Backoff::new(vec![Duration::from_secs(5), Duration::from_secs(30)]);
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..200 {
            let wait = backoff.wait(1, None, &SystemEntropy).unwrap();
            assert!(wait >= Duration::from_secs(5) && wait <= Duration::from_secs(6), "{wait:?}");
            seen.insert(wait);
        }
        assert!(seen.len() > 5, "{seen:?}");
        assert!(backoff.wait(2, None, &SystemEntropy).unwrap() >= Duration::from_secs(30));
        assert_eq!(backoff.wait(3, None, &SystemEntropy), None);
        assert_eq!(Backoff::new(Vec::new()).wait(1, None, &SystemEntropy), None);
    }

    #[test]
    fn what_a_receiver_asks_for_is_followed_within_a_day() {
        let backoff = Backoff::new(vec![Duration::from_secs(5)]);
        let wait = |asked| backoff.wait(1, Some(Duration::from_secs(asked)), &SystemEntropy).unwrap();
        assert_eq!(wait(60), Duration::from_secs(60));
        assert_eq!(wait(1_000_000), LONGEST_ASKED);
        assert!(wait(1) >= Duration::from_secs(5));
    }
}
