//! One shard of the table: the rings of a sixty-fourth of the connections, under one lock.
//!
//! A ring lies in the smallest of three places that holds its live calls: 40 bytes for 12 calls, 216 for 100, and a
//! growing one for more calls or a period over 65 s. It moves up when a call does not fit and goes when it has been
//! idle. In the index it costs a pointer and a byte, over the load of the index. Nothing is decided here: `window`
//! does that.

use hashbrown::HashTable;
use parking_lot::{Mutex, MutexGuard};

use super::decision::{Decision, Standing};
use super::policy::Policy;
use super::ring::{Far, Ring, carry};
use super::saved::{Calls, ConnectionKey, SavedRing};
use super::window::{self, Bounded, Log};

/// How many places of an index a sweep looks at before it lets waiting calls pass.
pub(super) const PLACES_PER_LOCK: usize = 512;

/// For how much longer than it counts a ring is kept, in milliseconds: a thread that read the clock may reach the
/// table this much late, after a sweep, and still find what it would have found.
const GRACE_MS: u64 = 1_000;

type Few = Ring<12>;
type Full = Ring<100>;

#[derive(Debug)]
struct Slot<L> {
    key: ConnectionKey,
    log: L,
}

const _: () = assert!(size_of::<Slot<Few>>() == 40 && size_of::<Slot<Full>>() == 216);

type Index<L> = HashTable<Box<Slot<L>>>;

/// A key and its hash. The index takes the top 7 bits and the low ones; the table chooses the shard by others.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) key: ConnectionKey,
    pub(super) hash: u64,
}

impl From<ConnectionKey> for Place {
    /// Spreads the bits of the key. Keys are random and ours, so nobody can choose them to collide.
    fn from(key: ConnectionKey) -> Self {
        let spread = (key.0 ^ key.0 >> 32).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Self { key, hash: spread ^ spread >> 32 }
    }
}

/// Some of the rings. Aligned, so that two shards' locks share no cache line.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(super) struct Shard(Mutex<Rings>);

/// A connection is in one index at most.
#[derive(Debug, Default)]
struct Rings {
    few: Index<Few>,
    full: Index<Full>,
    far: Index<Far>,
}

impl Shard {
    /// Decides on one call at `now` (ms since 1970) and, if it is admitted, counts it.
    pub(super) fn check(&self, place: Place, policy: &Policy, now: u64) -> Decision {
        self.0.lock().check(place, policy, now)
    }

    /// What is left at `now`. Writes nothing.
    pub(super) fn peek(&self, place: Place, policy: &Policy, now: u64) -> Standing {
        let rings = self.0.lock();
        let reading = if let Some(slot) = find(&rings.full, place) {
            window::read(&slot.log, policy, now)
        } else if let Some(slot) = find(&rings.few, place) {
            window::read(&slot.log, policy, now)
        } else if let Some(slot) = find(&rings.far, place) {
            window::read(&slot.log, policy, now)
        } else {
            window::read(&Few::new(), policy, now)
        };
        reading.standing(policy)
    }

    /// Removes the rings that count for nothing at `now`, a second later than they might be. Returns their number.
    pub(super) fn sweep(&self, now: u64) -> usize {
        self.sweep_index(|rings| &mut rings.few, now)
            + self.sweep_index(|rings| &mut rings.full, now)
            + self.sweep_index(|rings| &mut rings.far, now)
    }

    fn sweep_index<L: Log>(&self, index: impl Fn(&mut Rings) -> &mut Index<L>, now: u64) -> usize {
        let (mut removed, mut from) = (0, 0);
        loop {
            let mut rings = self.0.lock();
            let index = index(&mut rings);
            let until = index.num_buckets().min(from + PLACES_PER_LOCK);
            for bucket in from..until {
                let Ok(slot) = index.get_bucket_entry(bucket) else {
                    continue;
                };
                let log = &slot.get().log;
                if now.saturating_sub(log.last()) >= log.keeps() + GRACE_MS {
                    slot.remove();
                    removed += 1;
                }
            }
            from = until;
            if from >= index.num_buckets() {
                // Seven eighths of an index at rest may be empty places, not more.
                if index.len() * 8 < index.num_buckets() {
                    index.shrink_to(index.len() * 2, |slot| Place::from(slot.key).hash);
                }
                return removed;
            }
            // Hands the lock to a call that waits for it.
            MutexGuard::unlock_fair(rings);
        }
    }

    /// How many rings there are.
    pub(super) fn len(&self) -> usize {
        let rings = self.0.lock();
        rings.few.len() + rings.full.len() + rings.far.len()
    }

    /// Adds every ring to `saved`.
    pub(super) fn save(&self, saved: &mut Vec<SavedRing>) {
        let rings = self.0.lock();
        saved.extend(rings.few.iter().filter_map(|slot| SavedRing::of(slot.key, &slot.log)));
        saved.extend(rings.full.iter().filter_map(|slot| SavedRing::of(slot.key, &slot.log)));
        saved.extend(rings.far.iter().filter_map(|slot| SavedRing::of(slot.key, &slot.log)));
    }

    /// Takes saved calls back at `now`; `false` when they count for nothing any more. The newest one is moved to
    /// `now` if it lies later, and the others as far. A connection that already has a ring keeps that one.
    pub(super) fn restore(&self, place: Place, calls: &Calls, now: u64) -> bool {
        let last = calls.times.last().copied().unwrap_or_default();
        if now.saturating_sub(last) >= calls.keeps + GRACE_MS {
            return false;
        }
        let back = last.saturating_sub(now);
        let mut log = Far::new();
        for time in &calls.times {
            // In 1970 there may be nowhere to move to.
            log.push(time.saturating_sub(back), calls.keeps);
        }
        let mut rings = self.0.lock();
        if !rings.contains(place) {
            rings.insert(place, &log, 0, Room { calls: log.len(), keeps: calls.keeps });
        }
        true
    }
}

impl Rings {
    fn check(&mut self, place: Place, policy: &Policy, now: u64) -> Decision {
        // The full rings first: they are of those that call most.
        if let Ok(mut entry) = self.full.find_entry(place.hash, |slot| slot.key == place.key) {
            if let Some(decision) = window::try_admit(&mut entry.get_mut().log, policy, now) {
                return decision;
            }
            let slot = entry.remove().0;
            return self.move_up(place, &slot.log, policy, now);
        }
        if let Ok(mut entry) = self.few.find_entry(place.hash, |slot| slot.key == place.key) {
            if let Some(decision) = window::try_admit(&mut entry.get_mut().log, policy, now) {
                return decision;
            }
            let slot = entry.remove().0;
            return self.move_up(place, &slot.log, policy, now);
        }
        if let Some(slot) = self.far.find_mut(place.hash, |slot| slot.key == place.key) {
            return window::admit(&mut slot.log, policy, now);
        }
        self.move_up(place, &Few::new(), policy, now)
    }

    /// Admits a call that finds no room in `from`, which is in no index any more: moves the calls in its window to
    /// where there is room for one more, and asks again.
    #[cold]
    fn move_up(&mut self, place: Place, from: &impl Log, policy: &Policy, now: u64) -> Decision {
        let reading = window::read(from, policy, now);
        let room = Room { calls: reading.live + 1, keeps: window::keeps_ms(policy) };
        self.insert(place, from, reading.expired, room);
        self.check(place, policy, now)
    }

    /// Copies `from`, less its `skip` oldest calls, to the smallest place that has `room`.
    fn insert(&mut self, place: Place, from: &impl Log, skip: usize, room: Room) {
        let (few, full) = (Few::new(), Full::new());
        if few.fits(room.calls, room.keeps) {
            put(&mut self.few, place, few, from, skip);
        } else if full.fits(room.calls, room.keeps) {
            put(&mut self.full, place, full, from, skip);
        } else {
            put(&mut self.far, place, Far::new(), from, skip);
        }
    }

    fn contains(&self, place: Place) -> bool {
        find(&self.few, place).is_some() || find(&self.full, place).is_some() || find(&self.far, place).is_some()
    }
}

/// What a log must hold: so many calls, each counting for so many milliseconds after the newest.
#[derive(Clone, Copy)]
struct Room {
    calls: usize,
    keeps: u64,
}

fn find<L>(index: &Index<L>, place: Place) -> Option<&Slot<L>> {
    index.find(place.hash, |slot| slot.key == place.key).map(AsRef::as_ref)
}

/// Puts `log`, which is empty, in the index with the calls of `from` less its `skip` oldest.
fn put<L: Log>(index: &mut Index<L>, place: Place, log: L, from: &impl Log, skip: usize) {
    let mut slot = Box::new(Slot { key: place.key, log });
    carry(from, skip, &mut slot.log);
    index.insert_unique(place.hash, slot, |slot| Place::from(slot.key).hash);
}

#[cfg(test)]
impl Shard {
    /// How many rings lie in each of the three places.
    pub(super) fn places(&self) -> [usize; 3] {
        let rings = self.0.lock();
        [rings.few.len(), rings.full.len(), rings.far.len()]
    }

    /// How many rings the three indexes could hold as they are.
    pub(super) fn capacities(&self) -> [usize; 3] {
        let rings = self.0.lock();
        [rings.few.capacity(), rings.full.capacity(), rings.far.capacity()]
    }
}
