//! Where the stamps of admitted calls lie: a fixed ring of two-byte milliseconds, and a growing one for the
//! policies that do not fit it.
//!
//! A stamp is the millisecond of a call modulo 2^16 (or 2^32), and only its distance back from the newest call is
//! ever read. Stamps are dropped, when the next call is admitted, as soon as they are a period old, and no period
//! that a two-byte stamp serves reaches 65,536 ms: the distance is therefore never ambiguous. This file stores; it
//! must not decide.

use std::collections::VecDeque;

use super::window::{Bounded, Log, SHORT_MS};

/// The latest instant that a ring can hold, in milliseconds since 1970: 48 bits, the year 10889.
pub(super) const LATEST: u64 = (1 << 48) - 1;

/// Up to `N` calls (at most 255) of the last 65 s, without a further allocation: 8 + 2 N bytes.
#[derive(Debug)]
pub(super) struct Ring<const N: usize> {
    /// The newest call (48 bits), the place of the oldest stamp (8), the number of stamps (8).
    state: u64,
    stamps: [u16; N],
}

impl<const N: usize> Ring<N> {
    pub(super) const fn new() -> Self {
        const {
            assert!(N <= u8::MAX as usize, "the place and the number are a byte each");
        };
        Self { state: 0, stamps: [0; N] }
    }

    fn head(&self) -> usize {
        usize::from(self.state.to_le_bytes()[1])
    }

    fn set(&mut self, last: u64, head: usize, len: usize) {
        self.state = last.min(LATEST) << 16 | (head as u64) << 8 | len as u64;
    }

    const fn place(head: usize, index: usize) -> usize {
        let place = head + index;
        if place >= N { place - N } else { place }
    }
}

impl<const N: usize> Log for Ring<N> {
    fn last(&self) -> u64 {
        self.state >> 16
    }

    fn len(&self) -> usize {
        usize::from(self.state.to_le_bytes()[0])
    }

    fn back(&self, index: usize) -> u64 {
        let stamp = self.stamps.get(Self::place(self.head(), index)).copied().unwrap_or_default();
        u64::from(low16(self.last()).wrapping_sub(stamp))
    }

    fn keeps(&self) -> u64 {
        SHORT_MS
    }

    fn forget(&mut self, count: usize) {
        let (last, head, len) = (self.last(), self.head(), self.len());
        self.set(last, Self::place(head, count), len.saturating_sub(count));
    }

    fn push(&mut self, now: u64, _keeps: u64) {
        let (head, len) = (self.head(), self.len());
        debug_assert!(len < N, "the caller asks whether the call fits");
        if let Some(stamp) = self.stamps.get_mut(Self::place(head, len)) {
            *stamp = low16(now);
        }
        self.set(now, head, len + 1);
    }
}

impl<const N: usize> Bounded for Ring<N> {
    fn fits(&self, calls: usize, keeps: u64) -> bool {
        calls <= N && keeps <= SHORT_MS
    }
}

/// Any number of calls of any period. It grows by half its size as calls come and is given back as a whole.
#[derive(Debug)]
pub(super) struct Far {
    last: u64,
    keeps: u64,
    stamps: Stamps,
}

#[derive(Debug)]
enum Stamps {
    /// Milliseconds modulo 2^16, for periods of at most 65 s.
    Short(VecDeque<u16>),
    /// Milliseconds modulo 2^32, for longer ones.
    Long(VecDeque<u32>),
}

impl Far {
    pub(super) const fn new() -> Self {
        Self { last: 0, keeps: SHORT_MS, stamps: Stamps::Short(VecDeque::new()) }
    }

    /// Widens the stamps, should they be short.
    fn widen(&mut self) {
        if let Stamps::Short(_) = self.stamps {
            let wide = (0..self.len()).map(|index| low32(self.last - self.back(index))).collect();
            self.stamps = Stamps::Long(wide);
        }
    }
}

impl Log for Far {
    fn last(&self) -> u64 {
        self.last
    }

    fn len(&self) -> usize {
        match &self.stamps {
            Stamps::Short(stamps) => stamps.len(),
            Stamps::Long(stamps) => stamps.len(),
        }
    }

    fn back(&self, index: usize) -> u64 {
        match &self.stamps {
            Stamps::Short(stamps) => {
                let stamp = stamps.get(index).copied().unwrap_or_default();
                u64::from(low16(self.last).wrapping_sub(stamp))
            }
            Stamps::Long(stamps) => {
                let stamp = stamps.get(index).copied().unwrap_or_default();
                u64::from(low32(self.last).wrapping_sub(stamp))
            }
        }
    }

    fn keeps(&self) -> u64 {
        self.keeps
    }

    fn forget(&mut self, count: usize) {
        match &mut self.stamps {
            Stamps::Short(stamps) => drop(stamps.drain(..count.min(stamps.len()))),
            Stamps::Long(stamps) => drop(stamps.drain(..count.min(stamps.len()))),
        }
    }

    fn push(&mut self, now: u64, keeps: u64) {
        if keeps > SHORT_MS {
            self.widen();
        }
        match &mut self.stamps {
            Stamps::Short(stamps) => add(stamps, low16(now)),
            Stamps::Long(stamps) => add(stamps, low32(now)),
        }
        self.last = now;
        self.keeps = keeps;
    }
}

/// Adds a stamp, growing by a half and not, as the queue would, to the double.
fn add<T>(stamps: &mut VecDeque<T>, stamp: T) {
    if stamps.len() == stamps.capacity() {
        stamps.reserve_exact((stamps.len() / 2).max(8));
    }
    stamps.push_back(stamp);
}

/// Copies the calls of `from`, less the `skip` oldest, to the end of `to`.
pub(super) fn carry(from: &impl Log, skip: usize, to: &mut impl Log) {
    for index in skip..from.len() {
        to.push(from.last() - from.back(index), from.keeps());
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a stamp is the time modulo 2^16")]
const fn low16(ms: u64) -> u16 {
    ms as u16
}

#[expect(clippy::cast_possible_truncation, reason = "a stamp is the time modulo 2^32")]
const fn low32(ms: u64) -> u32 {
    ms as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backs(log: &impl Log) -> Vec<u64> {
        (0..log.len()).map(|index| log.back(index)).collect()
    }

    #[test]
    fn a_ring_goes_round_without_losing_its_place() {
        let mut ring = Ring::<12>::new();
        for call in 0..1_000_u64 {
            if ring.len() == 12 {
                ring.forget(5);
            }
            ring.push(call * 7, SHORT_MS);
            let newest_first = (0..ring.len() as u64).map(|age| age * 7);
            assert_eq!(backs(&ring), newest_first.rev().collect::<Vec<_>>());
            assert_eq!(ring.last(), call * 7);
        }
    }

    #[test]
    fn distances_hold_across_the_wrap_of_a_stamp() {
        for start in [0, 65_535, 65_536, 131_071, (1 << 32) - 1, (1 << 40) + 65_530] {
            let mut ring = Ring::<12>::new();
            let mut far = Far::new();
            for gap in [0, 1, 30_000, 64_999] {
                ring.push(start + gap, SHORT_MS);
                far.push(start + gap, SHORT_MS);
            }
            assert_eq!(backs(&ring), [64_999, 64_998, 34_999, 0]);
            assert_eq!(backs(&far), [64_999, 64_998, 34_999, 0]);
            far.push(start + 3_600_000, 3_600_000);
            assert_eq!(backs(&far), [3_600_000, 3_599_999, 3_570_000, 3_535_001, 0]);
        }
    }

    #[test]
    fn carrying_keeps_every_call_that_is_not_skipped() {
        let mut few = Ring::<12>::new();
        for call in 0..12 {
            few.push(1_000_000 + call * 1_000, SHORT_MS);
        }
        let (mut full, mut far) = (Ring::<100>::new(), Far::new());
        carry(&few, 2, &mut full);
        carry(&full, 0, &mut far);
        assert_eq!((full.last(), full.len()), (1_011_000, 10));
        assert_eq!((far.last(), backs(&far)), (1_011_000, backs(&few)[2..].to_vec()));
    }

    #[test]
    fn a_growing_ring_wastes_less_than_half() {
        let mut far = Far::new();
        for call in 0..10_000 {
            far.push(call, SHORT_MS);
        }
        let Stamps::Short(stamps) = &far.stamps else { panic!("a short period has short stamps") };
        assert!(stamps.capacity() < 15_000, "{}", stamps.capacity());
    }
}
