//! When to look where: the earliest instant at which each shard may have something due, as far as this process knows. What it
//! writes itself it knows; what others write it learns by looking everywhere from time to time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use redis::{FromRedisValue as _, Value};
use tokio::time::Instant;

use crate::clock::UnixMillis;
use crate::otp::store::StoreError;
use crate::store::redis::commit::unreadable;
use crate::store::redis::link::Link;
use crate::store::redis::place::{Kind, Place};
use crate::store::redis::script::{Call, Lazy, Lua};

/// Up to so many members with a score up to so much, earliest first, each with its score; before them the first score that is
/// left out, or nothing.
static EARLIEST: Lazy = Lazy::new(|| {
    Lua::guarded(
        r"
local found=redis.call('ZRANGEBYSCORE',KEYS[2],'-inf',ARGV[2],'WITHSCORES','LIMIT',0,ARGV[3])
local next=redis.call('ZRANGEBYSCORE',KEYS[2],'('..ARGV[2],'+inf','WITHSCORES','LIMIT',0,1)
table.insert(found,1,next[2] or '')
return found
",
    )
});

/// A member of a sorted set of a shard.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ranked {
    pub(super) score: u64,
    pub(super) place: Place,
    pub(super) member: Vec<u8>,
}

/// The horizon of one kind of sorted set.
pub(super) struct Horizon {
    next: Vec<AtomicU64>,
    looked: Mutex<Option<Instant>>,
    every: Duration,
}

impl Horizon {
    /// Nothing is known: the first look goes everywhere. `every` is how long what others wrote may stay unseen.
    pub(super) fn new(every: Duration) -> Self {
        Self { next: Place::shards().map(|_| AtomicU64::new(0)).collect(), looked: Mutex::new(None), every }
    }

    fn of(&self, place: Place) -> Option<&AtomicU64> {
        match place {
            Place::Shard(shard) => self.next.get(usize::from(shard)),
            Place::Settings => None,
        }
    }

    /// Something joined here that is due then.
    pub(super) fn joins(&self, place: Place, due: UnixMillis) {
        if let Some(next) = self.of(place) {
            next.fetch_min(due.0, Ordering::AcqRel);
        }
    }

    /// A look found that nothing is due here before `due`.
    pub(super) fn looked(&self, place: Place, due: u64) {
        if let Some(next) = self.of(place) {
            next.store(due, Ordering::Release);
        }
    }

    /// How long until somebody has to look everywhere.
    pub(super) fn stale_in(&self) -> Duration {
        self.looked.lock().map_or(Duration::ZERO, |looked| self.every.saturating_sub(looked.elapsed()))
    }

    /// The earliest instant at which something may be due.
    pub(super) fn earliest(&self) -> UnixMillis {
        UnixMillis(self.next.iter().map(|next| next.load(Ordering::Acquire)).min().unwrap_or(u64::MAX))
    }

    /// Where to look at `now`. What joins meanwhile is not lost: a look only ever raises what it has seen.
    pub(super) fn places(&self, now: UnixMillis) -> Vec<Place> {
        let everywhere = self.stale_in().is_zero();
        if everywhere {
            *self.looked.lock() = Some(Instant::now());
        }
        let due =
            |place: &Place| everywhere || self.of(*place).is_some_and(|next| next.load(Ordering::Acquire) <= now.0);
        let places: Vec<_> = Place::shards().filter(due).collect();
        for place in &places {
            self.looked(*place, u64::MAX);
        }
        places
    }

    /// The members of all shards with a score up to `now`, earliest first, at most `limit`. They stay where they are.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(super) async fn due(
        &self,
        link: &Link,
        kind: Kind,
        now: UnixMillis,
        limit: usize,
    ) -> Result<Vec<Ranked>, StoreError> {
        let places = self.places(now);
        let look = |place: Place| async move { (place, earliest(link, place, kind, now, limit).await) };
        let mut found = Vec::new();
        let mut failed = None;
        for (place, looked) in futures_util::future::join_all(places.into_iter().map(look)).await {
            match looked {
                Ok((next, members)) => {
                    let first = members.first().map_or(next, |first| Some(first.score));
                    self.joins(place, UnixMillis(first.unwrap_or(u64::MAX)));
                    found.extend(members);
                }
                Err(error) => {
                    self.joins(place, UnixMillis(0));
                    failed = Some(error);
                }
            }
        }
        if let Some(error) = failed {
            return Err(error);
        }
        found.sort_unstable();
        found.truncate(limit);
        Ok(found)
    }
}

/// What is due in one place, and the next score after it.
async fn earliest(
    link: &Link,
    place: Place,
    kind: Kind,
    now: UnixMillis,
    limit: usize,
) -> Result<(Option<u64>, Vec<Ranked>), StoreError> {
    let call = Call::new(&EARLIEST, place).key(kind, b"").number(now.0).number(limit as u64);
    let Value::Array(answer) = link.run(call).await? else { return Err(unreadable()) };
    let mut parts = answer.into_iter();
    let next = parts.next().and_then(some_score);
    let mut members = Vec::new();
    while let (Some(member), Some(rank)) = (parts.next(), parts.next()) {
        let member = Vec::<u8>::from_redis_value(member).map_err(|_| unreadable())?;
        members.push(Ranked { score: score(rank)?, place, member });
    }
    Ok((next, members))
}

/// A score.
pub(super) fn score(value: Value) -> Result<u64, StoreError> {
    some_score(value).ok_or_else(unreadable)
}

/// A score, where there is one; Redis keeps it as a double: whole milliseconds fit.
pub(super) fn some_score(value: Value) -> Option<u64> {
    let score = f64::from_redis_value(value).ok()?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "instants and days, both far below 2^53"
    )]
    Some(score.max(0.0) as u64)
}
