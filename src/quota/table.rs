//! Every connection's ring: a sharded map that evicts nothing, and from which an idle ring disappears without
//! changing a decision.
//!
//! Only connections that were authenticated enter it, so it is bounded by the keys that were issued. This file
//! chooses the shard; what a shard holds and what a ring decides are not its business.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::decision::{Decision, Standing};
use super::policy::Policy;
use super::ring::LATEST;
use super::saved::{ConnectionKey, SavedRing, SavedRingError};
use super::shard::{Place, Shard};
use crate::clock::UnixMillis;

const SHARDS: usize = 64;

/// How many shards one sweep visits: sixteen sweeps visit all.
const SHARDS_PER_SWEEP: usize = 4;

/// What became of the saved rings that [`Table::load`] was given.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// How many connections have their calls back.
    pub rings: usize,
    /// How many needed none, because their calls no longer count.
    pub idle: usize,
    /// Those that could not be read, each with the reason. Their connections begin with an empty window.
    pub refused: Vec<(ConnectionKey, SavedRingError)>,
}

/// The calls of every active connection.
///
/// A connection whose window is full takes at most 250 bytes, index included, under a policy of up to 100 calls in
/// up to 65 s; one with at most 12 calls takes at most 75. Other policies take 2 to 3 bytes a call (4 to 6 where the
/// period is longer than 65 s) and about 150 more. Once swept, an idle connection takes none.
#[derive(Debug)]
pub struct Table {
    shards: Box<[Shard; SHARDS]>,
    next: AtomicUsize,
}

impl Table {
    /// An empty table.
    #[must_use]
    pub fn new() -> Self {
        Self { shards: Box::new(std::array::from_fn(|_| Shard::default())), next: AtomicUsize::new(0) }
    }

    /// Decides on one call of `key` under `policy` at `now` and, if it is admitted, counts it.
    ///
    /// The policy may differ from call to call: the calls that were counted stay counted. Calls of different
    /// connections never affect each other. The wait and the reset are relative to the later of `now` and the
    /// connection's newest call. Allocates only when a connection becomes active or outgrows its place.
    pub fn check(&self, key: ConnectionKey, policy: &Policy, now: UnixMillis) -> Decision {
        let place = Place::from(key);
        self.shard(place).check(place, policy, now.0.min(LATEST))
    }

    /// What is left to `key` under `policy` at `now`. Charges nothing and writes nothing.
    #[must_use]
    pub fn peek(&self, key: ConnectionKey, policy: &Policy, now: UnixMillis) -> Standing {
        let place = Place::from(key);
        self.shard(place).peek(place, policy, now.0.min(LATEST))
    }

    /// Removes the idle rings of a few shards, and gives back what their indexes no longer need. Returns how many
    /// rings it removed. Sixteen calls visit every shard; a lock is held for some 512 rings at a time.
    ///
    /// A ring goes when no call was admitted for the longer of 65 s and the period it was last charged under, and a
    /// second more. It counts for nothing by then, so no decision changes.
    pub fn sweep(&self, now: UnixMillis) -> usize {
        let first = self.next.fetch_add(SHARDS_PER_SWEEP, Ordering::Relaxed) % SHARDS;
        let shards = self.shards.iter().skip(first).take(SHARDS_PER_SWEEP);
        shards.map(|shard| shard.sweep(now.0.min(LATEST))).sum()
    }

    /// How many rings the table holds: connections with a call in their window, and those not yet swept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shards.iter().map(Shard::len).sum()
    }

    /// Whether the table holds no ring.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Every ring, for a drain. A call that is admitted while this runs may be missing: drain first.
    #[must_use]
    pub fn save(&self) -> Vec<SavedRing> {
        let mut saved = Vec::new();
        for shard in self.shards.iter() {
            shard.save(&mut saved);
        }
        saved
    }

    /// Takes back what [`Table::save`] gave, before the first call is served.
    ///
    /// Should a ring's newest call lie after `now` (the wall clock was set back between the drain and the start),
    /// the ring is moved so that its newest call is now: it then refuses no longer than one period. A connection
    /// that already has a ring keeps that one.
    #[expect(clippy::needless_pass_by_value, reason = "a saved ring is loaded once")]
    pub fn load(&self, saved: Vec<SavedRing>, now: UnixMillis) -> Loaded {
        let mut loaded = Loaded::default();
        for ring in &saved {
            let place = Place::from(ring.connection);
            match ring.calls() {
                Ok(calls) if self.shard(place).restore(place, &calls, now.0.min(LATEST)) => {
                    loaded.rings += 1;
                }
                Ok(_) => loaded.idle += 1,
                Err(error) => loaded.refused.push((ring.connection, error)),
            }
        }
        loaded
    }

    #[expect(clippy::indexing_slicing, reason = "a remainder by 64 is less than 64")]
    fn shard(&self, place: Place) -> &Shard {
        &self.shards[usize::from(place.hash.to_le_bytes()[6]) % SHARDS]
    }
}

impl Default for Table {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::super::shard::PLACES_PER_LOCK;
    use super::*;

    const MINUTE: Policy = Policy::DEFAULT;

    fn at(ms: u64) -> UnixMillis {
        UnixMillis(1_763_764_437_120 + ms)
    }

    fn fill(table: &Table, key: ConnectionKey, policy: &Policy, now: UnixMillis) {
        while table.check(key, policy, now).is_admitted() {}
    }

    fn places(table: &Table) -> [usize; 3] {
        table
            .shards
            .iter()
            .map(Shard::places)
            .fold([0; 3], |sum, one| std::array::from_fn(|place| sum[place] + one[place]))
    }

    fn sweep_all(table: &Table, now: UnixMillis) -> usize {
        (0..SHARDS / SHARDS_PER_SWEEP).map(|_| table.sweep(now)).sum()
    }

    #[test]
    fn a_ring_lies_in_the_smallest_place_that_holds_it() {
        let table = Table::new();
        let key = ConnectionKey(1);
        for (calls, seconds, held) in [
            (12, 60, [1, 0, 0]),
            (13, 60, [0, 1, 0]),
            (100, 65, [0, 1, 0]),
            (101, 65, [0, 0, 1]),
            (102, 3_600, [0, 0, 1]),
            (1, 1, [0, 0, 1]),
        ] {
            fill(&table, key, &Policy::new(calls, seconds).unwrap(), at(0));
            assert_eq!(places(&table), held, "{calls} calls in {seconds} s");
        }
        let long = ConnectionKey(2);
        fill(&table, long, &Policy::new(1, 66).unwrap(), at(0));
        assert_eq!(places(&table), [0, 0, 2]);
    }

    #[test]
    fn a_refused_call_makes_no_ring_larger() {
        let table = Table::new();
        fill(&table, ConnectionKey(1), &Policy::new(12, 60).unwrap(), at(0));
        assert!(!table.check(ConnectionKey(1), &Policy::new(12, 3_600).unwrap(), at(1)).is_admitted());
        assert_eq!(places(&table), [1, 0, 0]);
    }

    #[test]
    fn peeking_makes_no_ring() {
        let table = Table::new();
        let standing = table.peek(ConnectionKey(1), &MINUTE, at(0));
        assert_eq!(standing, Standing { remaining: 100, resets_in_ms: 0 });
        assert!(table.is_empty());
    }

    #[test]
    fn sweeps_give_back_every_idle_ring_and_no_other() {
        let table = Table::new();
        for key in 0..10_000 {
            table.check(ConnectionKey(key), &MINUTE, at(key));
        }
        table.check(ConnectionKey(10_000), &Policy::new(1, 3_600).unwrap(), at(0));
        assert_eq!(sweep_all(&table, at(65_999)), 0);
        assert_eq!(sweep_all(&table, at(66_000)), 1);
        assert_eq!(sweep_all(&table, at(70_999)), 4_999);
        assert_eq!(table.len(), 5_001);
        assert_eq!(sweep_all(&table, at(3_600_999)), 5_000);
        assert_eq!(sweep_all(&table, at(3_601_000)), 1);
        assert!(table.is_empty());
        // And an empty index holds no memory.
        assert!(table.shards.iter().all(|shard| shard.capacities() == [0; 3]));
    }

    #[test]
    fn a_sweep_in_steps_reaches_the_end_of_a_large_index() {
        let table = Table::new();
        for key in 0..200_000 {
            table.check(ConnectionKey(key), &MINUTE, at(0));
        }
        assert!(table.shards.iter().all(|shard| shard.capacities()[0] > PLACES_PER_LOCK * 4));
        assert_eq!(sweep_all(&table, at(66_000)), 200_000);
    }

    #[test]
    fn a_ring_that_was_saved_after_now_is_moved_to_now() {
        let (before, after) = (Table::new(), Table::new());
        let key = ConnectionKey(1);
        for call in 0..100 {
            before.check(key, &MINUTE, at(1_000_000 + call * 100));
        }
        let loaded = after.load(before.save(), at(500_000));
        assert_eq!(loaded, Loaded { rings: 1, ..Loaded::default() });
        // The oldest call was 9,900 ms before the newest, and still is.
        let refused = Decision::Refused { wait_ms: 50_100 };
        assert_eq!(after.check(key, &MINUTE, at(500_000)), refused);
        assert!(after.check(key, &MINUTE, at(550_100)).is_admitted());
    }

    #[test]
    fn loading_passes_over_the_idle_and_names_the_damaged() {
        let before = Table::new();
        for key in 0..3 {
            before.check(ConnectionKey(key), &MINUTE, at(key * 10_000));
        }
        let mut saved = before.save();
        saved.sort_by_key(|ring| ring.connection);
        saved[2].bytes[0] = 9;
        let after = Table::new();
        after.check(ConnectionKey(1), &Policy::new(1, 60).unwrap(), at(30_000));
        let loaded = after.load(saved, at(66_000));
        let refused = vec![(ConnectionKey(2), SavedRingError::Version(9))];
        assert_eq!(loaded, Loaded { rings: 1, idle: 1, refused });
        // The ring in use was kept.
        let standing = after.peek(ConnectionKey(1), &MINUTE, at(65_000));
        assert_eq!(standing, Standing { remaining: 99, resets_in_ms: 25_000 });
    }

    #[test]
    fn keys_in_a_row_spread_over_the_shards() {
        let table = Table::new();
        for key in 0..64_000 {
            table.check(ConnectionKey(key), &MINUTE, at(0));
        }
        assert!(table.shards.iter().all(|shard| (800..1_200).contains(&shard.len())));
    }

    #[test]
    fn an_instant_beyond_the_rings_reach_is_their_last_one() {
        let table = Table::new();
        let once = Policy::new(1, 1).unwrap();
        let end = UnixMillis(u64::MAX);
        assert!(table.check(ConnectionKey(1), &once, end).is_admitted());
        assert!(!table.check(ConnectionKey(1), &once, end).is_admitted());
        assert_eq!(sweep_all(&table, end), 0);
    }
}
