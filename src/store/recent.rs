//! The entries that were used last, up to a bound: two generations of a plain map, so that a look-up keeps no books and what is
//! new is never turned away for what was asked for often. Must not know what it holds.
//!
//! What is used is in the young generation, or comes back into it. When that holds half of the bound it becomes the old one,
//! and what nobody used since the last time is gone. So between half of the bound and all of it is kept. Each shard has its own
//! generations: only a few entries go at once.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hash};

use parking_lot::Mutex;

use crate::store::id_hash::IdHash;

/// Shards at most.
const SHARDS: usize = 256;
/// Entries of a shard's bound that it is worth having for.
const WORTH: usize = 64;

/// The entries.
pub(super) struct Recent<K, V> {
    shards: Box<[Mutex<Generations<K, V>>]>,
    /// Entries in one generation of a shard, at most.
    half: usize,
}

struct Generations<K, V> {
    young: HashMap<K, V, IdHash>,
    old: HashMap<K, V, IdHash>,
}

impl<K, V> Default for Generations<K, V> {
    fn default() -> Self {
        Self { young: HashMap::default(), old: HashMap::default() }
    }
}

impl<K: Eq + Hash + Copy, V> Generations<K, V> {
    /// The entry, now among the young ones.
    fn find(&mut self, key: K, half: usize) -> Option<&mut V> {
        if !self.young.contains_key(&key) {
            let value = self.old.remove(&key)?;
            self.put(key, value, half);
        }
        self.young.get_mut(&key)
    }

    fn put(&mut self, key: K, value: V, half: usize) {
        if self.young.len() >= half {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }
}

impl<K: Eq + Hash + Copy, V> Recent<K, V> {
    /// Of at most `capacity` entries, and of two at least.
    pub(super) fn new(capacity: u64) -> Self {
        let capacity = usize::try_from(capacity).unwrap_or(usize::MAX);
        let shards = (capacity / WORTH).clamp(1, SHARDS);
        let half = (capacity / shards / 2).max(1);
        Self { shards: (0..shards).map(|_| Mutex::default()).collect(), half }
    }

    /// What `look` makes of an entry, which it may change. It must not take long: others wait.
    pub(super) fn with<T>(&self, key: K, look: impl FnOnce(&mut V) -> T) -> Option<T> {
        self.shard(key)?.lock().find(key, self.half).map(look)
    }

    /// Puts an entry in, in place of one that is there.
    pub(super) fn insert(&self, key: K, value: V) {
        let Some(shard) = self.shard(key) else { return };
        let mut shard = shard.lock();
        match shard.find(key, self.half) {
            Some(there) => *there = value,
            None => shard.put(key, value, self.half),
        }
    }

    /// Takes an entry out.
    pub(super) fn remove(&self, key: K) {
        let Some(shard) = self.shard(key) else { return };
        let mut shard = shard.lock();
        if shard.young.remove(&key).is_none() {
            shard.old.remove(&key);
        }
    }

    /// Takes everything out.
    pub(super) fn clear(&self) {
        self.shards.iter().for_each(|shard| *shard.lock() = Generations::default());
    }

    fn shard(&self, key: K) -> Option<&Mutex<Generations<K, V>>> {
        // The map takes its places from the lowest and the highest bits.
        let hash = usize::try_from(IdHash::default().hash_one(key) >> 24 & 0xffff_ffff).ok()?;
        self.shards.get(hash % self.shards.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count<K, V>(recent: &Recent<K, V>) -> usize {
        let both = |shard: &Mutex<Generations<K, V>>| {
            let shard = shard.lock();
            shard.young.len() + shard.old.len()
        };
        recent.shards.iter().map(both).sum()
    }

    #[test]
    fn what_was_used_last_is_kept_and_never_more_than_the_bound() {
        for capacity in [1_u64, 2, 10, 1_000, 100_000] {
            let recent = Recent::new(capacity);
            for key in 0..3 * capacity {
                recent.insert(key, key);
                // Asked for again and again: it stays, whatever comes.
                assert_eq!(recent.with(0, |value| *value), Some(0), "{capacity} {key}");
            }
            assert!(count(&recent) <= usize::try_from(capacity).unwrap().max(2), "{capacity}");
            let newest = 3 * capacity - 1;
            assert_eq!(recent.with(newest, |value| *value), Some(newest));
        }
    }

    #[test]
    fn at_least_half_of_the_bound_is_kept() {
        let recent = Recent::new(100_000);
        (0..1_000_000_u64).for_each(|key| recent.insert(key, ()));
        // Shards are not filled evenly.
        let kept = (950_000 - 2_500..1_000_000).rev().take_while(|key| recent.with(*key, |()| ()).is_some()).count();
        assert!(kept > 40_000, "{kept}");
    }

    #[test]
    fn an_entry_is_changed_where_it_lies_and_goes_from_both_generations() {
        let recent = Recent::new(4);
        (1..=4).for_each(|key| recent.insert(key, 0));
        recent.with(1, |value| *value = 7);
        recent.insert(2, 8);
        assert_eq!([1, 2].map(|key| recent.with(key, |value| *value)), [Some(7), Some(8)]);
        (1..=4).for_each(|key| recent.remove(key));
        assert_eq!(count(&recent), 0);
        recent.insert(9, 9);
        recent.clear();
        assert_eq!(recent.with(9, |value| *value), None);
    }
}
