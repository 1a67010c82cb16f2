//! Daily counts: they belong to a country, not to a number, so they lie elsewhere and many numbers want the same one.
//!
//! On one server the count is checked and written in the commit of the change, as long as nobody gets in the way. Where
//! somebody does, and in a cluster, where the commit cannot reach it, the message is counted beforehand and taken back if it is
//! not sent: never one too many, and after a crash in between one too few may be sent.

use redis::Value;

use crate::abuse::SpendKey;
use crate::otp::store::StoreError;
use crate::store::redis::RedisStore;
use crate::store::redis::commit::{Commit, unreadable};
use crate::store::redis::place::{Kind, Place};
use crate::store::redis::prepare::After;
use crate::store::redis::records::spend_id;
use crate::store::redis::script::{Call, Lazy, Lua};

/// A count goes by itself after so long: what a sweep has missed.
pub(super) const LIFE: u64 = 4 * 24 * 60 * 60 * 1_000;

/// Adds to a count: what it is then.
static ADD: Lazy = Lazy::new(|| {
    Lua::guarded(
        "local n=redis.call('INCRBY',KEYS[2],ARGV[2]) redis.call('PEXPIRE',KEYS[2],ARGV[3]) \
         redis.call('ZADD',KEYS[3],ARGV[4],ARGV[5]) return n",
    )
});

/// The count that a change reads, and perhaps raises.
pub(super) struct Spend {
    id: Vec<u8>,
    day: u64,
    place: Place,
    /// It lies where the change's records lie, or on the same server.
    near: bool,
    count: u32,
    /// Counted beforehand: what the change may still take, or give back.
    reserved: Option<i64>,
    /// It was read for this change, not remembered.
    known: bool,
    done: bool,
}

impl Spend {
    /// The place of a count.
    pub(super) fn place(id: &[u8]) -> Place {
        // Any spread will do: a sum of the bytes is as good as a hash for a few hundred countries.
        Place::Shard(id.iter().fold(0_u8, |sum, byte| sum.wrapping_mul(31).wrapping_add(*byte)))
    }

    pub(super) async fn begin(store: &RedisStore, of: Place, key: &SpendKey) -> Result<Self, StoreError> {
        let id = spend_id(key);
        let place = Self::place(&id);
        let near = place == of || !store.link.live()?.connection.is_cluster();
        let mut spend = Self { id, day: key.day, place, near, count: 0, reserved: None, known: false, done: false };
        if !near {
            spend.reserve(store).await?;
        } else if let Some(count) = store.spent.get(&spend.id) {
            spend.count = count;
        } else {
            spend.read(store).await?;
        }
        Ok(spend)
    }

    /// Reads what is there now.
    pub(super) async fn read(&mut self, store: &RedisStore) -> Result<(), StoreError> {
        if self.reserved.is_none() {
            self.count = parsed(store.get(self.place, Kind::Spent, &self.id).await?.as_deref());
            self.known = true;
            store.spent.insert(self.id.clone(), self.count);
        }
        Ok(())
    }

    /// Whether the count may be shown to somebody who then writes nothing.
    pub(super) const fn is_known(&self) -> bool {
        self.known
    }

    /// Messages counted before this one.
    pub(super) const fn count(&self) -> u32 {
        self.count
    }

    async fn reserve(&mut self, store: &RedisStore) -> Result<(), StoreError> {
        let after = self.add(store, 1).await?;
        self.count = u32::try_from(after.saturating_sub(1)).unwrap_or(u32::MAX);
        self.reserved = Some(1);
        self.known = true;
        store.spent.insert(self.id.clone(), u32::try_from(after).unwrap_or(u32::MAX));
        Ok(())
    }

    async fn add(&self, store: &RedisStore, by: i64) -> Result<i64, StoreError> {
        let call = Call::new(&ADD, self.place).key(Kind::Spent, &self.id).key(Kind::SpentDays, b"");
        let call = call.arg(by.to_string()).number(LIFE).number(self.day).arg(self.id.clone());
        let Value::Int(count) = store.link.run_durably(call).await? else { return Err(unreadable()) };
        Ok(count)
    }

    /// Has the commit check that nobody counted in between. Whether it has to.
    pub(super) fn check(&self, commit: &mut Commit) -> bool {
        let checks = self.near && self.reserved.is_none();
        if checks {
            let text = if self.count == 0 { String::new() } else { self.count.to_string() };
            commit.check_whole_at(self.place, Kind::Spent, &self.id, text.as_bytes());
        }
        checks
    }

    /// Has the commit raise it to `count`, or keeps of what was counted beforehand as much as that takes.
    pub(super) fn write(&mut self, commit: &mut Commit, after: &mut After, count: u32) {
        match &mut self.reserved {
            Some(reserved) => *reserved = 1 - (i64::from(count) - i64::from(self.count)),
            None => {
                commit.set_at(self.place, Kind::Spent, &self.id, count.to_string().as_bytes(), LIFE);
                commit.rank_at(self.place, Kind::SpentDays, b"", self.day, &self.id);
                after.spent = Some((self.id.clone(), count));
            }
        }
    }

    /// Somebody counted in between: what is there now, or a place in the line.
    pub(super) async fn moved(&mut self, store: &RedisStore, value: Option<Vec<u8>>) -> Result<(), StoreError> {
        let count = parsed(value.as_deref());
        if count == self.count {
            return Ok(());
        }
        store.spent.insert(self.id.clone(), count);
        self.reserve(store).await
    }

    /// The change was made: what was counted beforehand is its own, as far as it took it.
    pub(super) const fn committed(&mut self) {
        self.done = true;
    }

    /// Gives back what was counted and not taken.
    pub(super) async fn end(self, store: &RedisStore) {
        let back = match self.reserved {
            None => 0,
            Some(left) if self.done => left,
            Some(_) => 1,
        };
        // What cannot be given back now stays counted: rather one message too few.
        if back != 0 {
            let _counted = self.add(store, -back).await;
        }
    }
}

/// A count as it is kept.
fn parsed(bytes: Option<&[u8]>) -> u32 {
    bytes.and_then(|bytes| std::str::from_utf8(bytes).ok()?.parse().ok()).unwrap_or(0)
}
