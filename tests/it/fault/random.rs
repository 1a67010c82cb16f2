//! A small deterministic generator (SplitMix64): one seed gives one sequence, and a test prints its seed.

use std::hash::{BuildHasher as _, Hasher as _};

/// The generator.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The seed in the environment variable `name`, else a new one.
    pub(crate) fn seed(name: &str) -> u64 {
        let given = std::env::var_os(name).map(|text| text.to_str().and_then(|text| text.parse().ok()));
        match given {
            Some(seed) => seed.unwrap_or_else(|| panic!("{name} is no number")),
            // Each hasher of std has keys of its own.
            None => std::hash::RandomState::new().build_hasher().finish(),
        }
    }

    /// A generator of its own, for a thread.
    pub(crate) fn fork(&mut self) -> Self {
        Self(self.next())
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to `bound` - 1.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// An index of a list of `length`.
    pub(crate) fn index(&mut self, length: usize) -> usize {
        let bound = u64::try_from(length).unwrap();
        usize::try_from(self.below(bound)).unwrap()
    }
}
