//! A connection's calls as bytes, for the drain that writes them down and the start that reads them back.
//!
//! The bytes are: the version (1), then, each as a little-endian base-128 number, how long the ring counts after
//! its newest call (ms), the newest call (ms since 1970), how many calls there are, and from the newest backwards
//! the gaps between them (ms). A hundred calls spread over a minute take about 210 bytes. This file must not know
//! in what they are stored, nor what the quota makes of them.

use super::policy::Policy;
use super::ring::LATEST;
use super::window::{Log, SHORT_MS};

const VERSION: u8 = 1;

/// Which connection a ring belongs to: the random 63-bit number that the connection was given when it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionKey(pub u64);

/// The calls of one connection, ready to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedRing {
    /// Whose calls they are.
    pub connection: ConnectionKey,
    /// The calls, in the versioned encoding of this file; opaque to a store. 4 bytes to about 50 KB.
    pub bytes: Vec<u8>,
}

/// Why saved bytes could not be read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SavedRingError {
    /// Another version of otpgate wrote them.
    #[error("a saved ring has version {0}; this release reads version 1")]
    Version(u8),
    /// They end early, go on too long, or hold a figure outside its range.
    #[error("a saved ring is damaged")]
    Damaged,
}

/// The calls of one connection, read back: in order of time, the newest last.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Calls {
    /// Milliseconds since 1970, ascending; at least one, at most 10,000.
    pub(super) times: Vec<u64>,
    /// For how long they count after the newest one, in milliseconds.
    pub(super) keeps: u64,
}

impl SavedRing {
    /// Writes down the calls of `log`; `None` when it holds none.
    pub(super) fn of(connection: ConnectionKey, log: &impl Log) -> Option<Self> {
        let newest = log.len().checked_sub(1)?;
        let mut bytes = vec![VERSION];
        write(&mut bytes, log.keeps());
        write(&mut bytes, log.last());
        write(&mut bytes, log.len() as u64);
        for index in (0..newest).rev() {
            write(&mut bytes, log.back(index) - log.back(index + 1));
        }
        Some(Self { connection, bytes })
    }

    /// A ring that is full since `now` (ms since 1970): what was admitted before is not known.
    #[must_use]
    pub fn full(connection: ConnectionKey, policy: &Policy, now: u64) -> Self {
        let mut bytes = vec![VERSION];
        let longest = u64::from(Policy::MAX_PERIOD_SECONDS) * 1_000;
        write(&mut bytes, policy.period_ms().clamp(SHORT_MS, longest));
        write(&mut bytes, now.min(LATEST));
        write(&mut bytes, u64::from(policy.calls()));
        // All at the same instant: no gaps.
        bytes.extend((1..policy.calls()).map(|_| 0));
        Self { connection, bytes }
    }

    /// Reads the calls back.
    ///
    /// # Errors
    /// [`SavedRingError`] when the bytes are not what [`SavedRing::of`] writes.
    pub(super) fn calls(&self) -> Result<Calls, SavedRingError> {
        let (&version, mut rest) = self.bytes.split_first().ok_or(SavedRingError::Damaged)?;
        if version != VERSION {
            return Err(SavedRingError::Version(version));
        }
        let longest = u64::from(Policy::MAX_PERIOD_SECONDS) * 1_000;
        let keeps = number(&mut rest, SHORT_MS, longest)?;
        let last = number(&mut rest, 0, LATEST)?;
        let len = number(&mut rest, 1, u64::from(Policy::MAX_CALLS))?;
        let mut times = vec![last];
        let mut time = last;
        for _ in 1..len {
            let earliest = last.saturating_sub(keeps - 1);
            time -= number(&mut rest, 0, time - earliest)?;
            times.push(time);
        }
        times.reverse();
        if rest.is_empty() { Ok(Calls { times, keeps }) } else { Err(SavedRingError::Damaged) }
    }
}

fn write(bytes: &mut Vec<u8>, mut figure: u64) {
    loop {
        let low = figure.to_le_bytes()[0] & 0x7f;
        figure >>= 7;
        if figure == 0 {
            return bytes.push(low);
        }
        bytes.push(low | 0x80);
    }
}

/// Takes one number from the front of `bytes`; it must be `least` to `most`.
fn number(bytes: &mut &[u8], least: u64, most: u64) -> Result<u64, SavedRingError> {
    let mut figure = 0;
    for shift in (0..63).step_by(7) {
        let (&byte, rest) = bytes.split_first().ok_or(SavedRingError::Damaged)?;
        *bytes = rest;
        figure |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            let fits = (least..=most).contains(&figure);
            return if fits { Ok(figure) } else { Err(SavedRingError::Damaged) };
        }
    }
    Err(SavedRingError::Damaged)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::ring::{Far, Ring};
    use super::*;

    const KEY: ConnectionKey = ConnectionKey(7);

    #[test]
    fn a_minute_of_calls_is_some_two_hundred_bytes_and_comes_back_whole() {
        let mut ring = Ring::<100>::new();
        let times: Vec<u64> = (0..100).map(|call| 1_763_764_437_120 + call * 600).collect();
        for &time in &times {
            ring.push(time, SHORT_MS);
        }
        let saved = SavedRing::of(KEY, &ring).unwrap();
        assert_eq!(saved.bytes.len(), 1 + 3 + 6 + 1 + 99 * 2);
        assert_eq!(saved.calls(), Ok(Calls { times, keeps: SHORT_MS }));
    }

    #[test]
    fn a_long_period_is_kept() {
        let mut far = Far::new();
        far.push(5, 3_600_000);
        far.push(3_600_004, 3_600_000);
        let calls = SavedRing::of(KEY, &far).unwrap().calls();
        assert_eq!(calls, Ok(Calls { times: vec![5, 3_600_004], keeps: 3_600_000 }));
        assert_eq!(SavedRing::of(KEY, &Far::new()), None);
    }

    #[test]
    fn a_full_ring_is_one_that_was_filled_at_once() {
        for (calls, period, keeps) in [(1, 1, SHORT_MS), (100, 60, SHORT_MS), (10_000, 3_600, 3_600_000)] {
            let full = SavedRing::full(KEY, &Policy::new(calls, period).unwrap(), 1_763_764_437_120).calls().unwrap();
            let times = vec![1_763_764_437_120; usize::try_from(calls).unwrap()];
            assert_eq!(full, Calls { times, keeps });
        }
    }

    #[test]
    fn names_a_version_that_it_cannot_read() {
        let saved = SavedRing { connection: KEY, bytes: vec![2, 1, 1] };
        let error = saved.calls().unwrap_err();
        assert_eq!(error.to_string(), "a saved ring has version 2; this release reads version 1");
    }

    #[test]
    fn reads_no_ring_that_was_cut_short_or_lengthened() {
        let mut ring = Ring::<12>::new();
        for call in 0..12 {
            ring.push(1_763_764_437_120 + call * 600, SHORT_MS);
        }
        let whole = SavedRing::of(KEY, &ring).unwrap();
        for end in 0..whole.bytes.len() {
            let cut = SavedRing { connection: KEY, bytes: whole.bytes[..end].to_vec() };
            assert_eq!(cut.calls(), Err(SavedRingError::Damaged), "{end}");
        }
        let longer = SavedRing { connection: KEY, bytes: [&whole.bytes[..], &[0]].concat() };
        assert_eq!(longer.calls(), Err(SavedRingError::Damaged));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn any_bytes_are_read_or_refused_without_a_panic(mut bytes: Vec<u8>, versioned: bool) {
            if versioned && let Some(version) = bytes.first_mut() {
                *version = VERSION;
            }
            if let Ok(calls) = (SavedRing { connection: KEY, bytes }).calls() {
                prop_assert!(calls.times.is_sorted());
                prop_assert!(calls.times[calls.times.len() - 1] - calls.times[0] < calls.keeps);
            }
        }
    }
}
