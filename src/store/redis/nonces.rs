//! Nonces that were spent: in each shard a sorted set of them by the end of their time. Must not know what a nonce belongs to.

use std::collections::BTreeMap;

use futures_util::future::{join_all, try_join_all};

use crate::access::nonce::{NonceKey, NonceStore, Spent};
use crate::clock::UnixMillis;
use crate::otp::store::{Later, StoreError};
use crate::store::redis::RedisStore;
use crate::store::redis::place::{Kind, Place, SHARDS};
use crate::store::redis::reply::read;
use crate::store::redis::script::{Call, Lazy, Lua};

/// Nonces that are remembered, at most; beyond them none is spent, so no proof is taken: what cannot be remembered must not
/// pass. Each shard has its share, and the keys are hashes, so that the shards fill evenly.
const AT_MOST: u64 = 4_000_000;
/// What one step of the sweep takes at least from a shard that has as much: with less, most steps would be too short.
const FROM_SHARD: usize = 16;

/// Remembers a nonce. 1: nobody had; 0: somebody had; 2: there is no room.
static SPEND: Lazy = Lazy::new(|| {
    Lua::guarded(
        "if redis.call('ZSCORE',KEYS[2],ARGV[2]) then return 0 end \
         if redis.call('ZCARD',KEYS[2])>=tonumber(ARGV[4]) then return 2 end \
         redis.call('ZADD',KEYS[2],ARGV[3],ARGV[2]) return 1",
    )
});

/// The nonces that are over, each before its end; earliest first.
static OVER: Lazy = Lazy::new(|| {
    Lua::guarded("return redis.call('ZRANGEBYSCORE',KEYS[2],'-inf',ARGV[2],'WITHSCORES','LIMIT',0,ARGV[3])")
});

static FORGET: Lazy = Lazy::new(|| {
    Lua::guarded("local gone=0 for at=2,#ARGV do gone=gone+redis.call('ZREM',KEYS[2],ARGV[at]) end return gone")
});

impl RedisStore {
    /// Nonces of a shard that are over at `now`, with their ends.
    async fn nonces_over(
        &self,
        place: Place,
        now: UnixMillis,
        limit: usize,
    ) -> Result<Vec<(u64, Place, Vec<u8>)>, StoreError> {
        let limit = u64::try_from(limit).unwrap_or(u64::MAX);
        let call = Call::new(&OVER, place).key(Kind::Nonces, b"").number(now.0).number(limit);
        let found: Vec<(Vec<u8>, u64)> = read(self.link.run(call).await?)?;
        Ok(found.into_iter().map(|(key, until)| (until, place, key)).collect())
    }
}

impl NonceStore for RedisStore {
    fn spend(&self, key: NonceKey, until: UnixMillis) -> Later<'_, Result<Spent, StoreError>> {
        let call = Call::new(&SPEND, Place::of_bytes(&key.bytes())).key(Kind::Nonces, b"").arg(key.bytes());
        let call = call.number(until.0).number(AT_MOST / u64::from(SHARDS));
        Box::pin(async move {
            match read::<u8>(self.link.run_durably(call).await?)? {
                0 => Ok(Spent::Seen),
                1 => Ok(Spent::Fresh),
                _ => Err(StoreError::Full),
            }
        })
    }

    fn drop_nonces(&self, now: UnixMillis, limit: usize) -> Later<'_, Result<usize, StoreError>> {
        Box::pin(async move {
            let share = limit.min((limit / usize::from(SHARDS)).saturating_mul(2).max(FROM_SHARD));
            let looks = Place::shards().map(|place| self.nonces_over(place, now, share));
            let mut over: Vec<_> = try_join_all(looks).await?.into_iter().flatten().collect();
            over.sort_unstable();
            over.truncate(limit);
            let mut by_place: BTreeMap<Place, Vec<Vec<u8>>> = BTreeMap::new();
            for (_, place, key) in over {
                by_place.entry(place).or_default().push(key);
            }
            let drops = by_place.into_iter().map(|(place, keys)| {
                let call = Call::new(&FORGET, place).key(Kind::Nonces, b"");
                self.link.run(keys.into_iter().fold(call, Call::arg))
            });
            let mut dropped = 0;
            for gone in join_all(drops).await {
                dropped += read::<usize>(gone?)?;
            }
            Ok(dropped)
        })
    }
}
