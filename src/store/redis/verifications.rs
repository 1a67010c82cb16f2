//! Verifications: one value each in the shard of their number, sealed behind the key of the number, because it holds a number
//! and where its outcome is posted. The seal is its checksum.

use redis::{FromRedisValue as _, Value};
use zeroize::Zeroizing;

use crate::clock::UnixMillis;
use crate::events::fanout::Announcement;
use crate::otp::id::{NumberKey, VerificationId};
use crate::otp::store::{Later, StoreError, WriteError};
use crate::secret::Sealed;
use crate::store::packed::{pack, unpack};
use crate::store::redis::RedisStore;
use crate::store::redis::commit::{Commit, Outcome, mark, unreadable};
use crate::store::redis::horizon::some_score;
use crate::store::redis::place::{Kind, Place};
use crate::store::redis::script::{Call, Lazy, Lua};
use crate::verification::news::news;
use crate::verification::record::Verification;
use crate::verification::store::{LEASE, VerificationStore, erased};

/// The key of the number, before the seal.
const NUMBER: usize = 16;
/// Tries to erase one that others are changing.
const TRIES: usize = 64;

/// Claims up to so many that are due by then, until then: the next one's instant, and for each its id and its value.
static CLAIM: Lazy = Lazy::new(|| {
    Lua::guarded(
        r"
local out={''}
for _,id in ipairs(redis.call('ZRANGEBYSCORE',KEYS[2],'-inf',ARGV[2],'LIMIT',0,ARGV[4])) do
  redis.call('ZADD',KEYS[2],ARGV[3],id)
  local value=redis.call('GET',ARGV[5]..id)
  if value then out[#out+1]=id out[#out+1]=value else redis.call('ZREM',KEYS[2],id) end
end
local next=redis.call('ZRANGEBYSCORE',KEYS[2],'-inf','+inf','WITHSCORES','LIMIT',0,1)
out[1]=next[2] or ''
return out
",
    )
});

/// The ids of a number's verifications. Reads the shard's: an erasure is rare.
static OF_NUMBER: Lazy = Lazy::new(|| {
    Lua::guarded(
        "local out={} for _,id in ipairs(redis.call('ZRANGE',KEYS[2],0,-1)) do \
         if redis.call('GETRANGE',ARGV[2]..id,0,15)==ARGV[3] then out[#out+1]=id end end return out",
    )
});

/// A seal opens under its own key only.
fn context(id: VerificationId) -> Vec<u8> {
    [b"verification row ", &id.bytes()[..]].concat()
}

fn place(id: VerificationId) -> Place {
    Place::Shard(id.shard())
}

impl RedisStore {
    fn opened(&self, id: VerificationId, value: &[u8]) -> Result<Verification, StoreError> {
        let sealed = Sealed::from_bytes(value.get(NUMBER..).unwrap_or_default().to_vec());
        let plain = self.keyring.open(&context(id), &sealed).map_err(|_| unreadable())?;
        unpack(&plain).map_err(|_| unreadable())
    }

    async fn kept_verification(&self, id: VerificationId) -> Result<(Option<Verification>, Vec<u8>), StoreError> {
        let Some(value) = self.get(place(id), Kind::Verification, &id.bytes()).await? else {
            return Ok((None, Vec::new()));
        };
        Ok((Some(self.opened(id, &value)?), mark(&value).to_vec()))
    }

    /// Writes `after` where what lies there still ends with `mark`, and tells `news` in the same commit. Whether it did.
    async fn replace(
        &self,
        id: VerificationId,
        mark: &[u8],
        after: Option<&Verification>,
        news: Option<Announcement>,
    ) -> Result<bool, StoreError> {
        let mut commit = Commit::new(place(id));
        commit.check(Kind::Verification, &id.bytes(), mark);
        let mut joins = None;
        match after {
            Some(after) => {
                let plain = pack(after).map(Zeroizing::new).map_err(|_| unreadable())?;
                let sealed = self.keyring.seal(&context(id), &plain);
                let due = after.due(self.retention);
                let value = [&after.number_key.bytes()[..], sealed.bytes()].concat();
                commit.set(Kind::Verification, &id.bytes(), &value, 0);
                commit.rank(Kind::VerificationDue, b"", due.0, &id.bytes());
                joins = Some(due);
            }
            None => {
                commit.delete(Kind::Verification, &id.bytes());
                commit.unrank(Kind::VerificationDue, b"", &id.bytes());
            }
        }
        let told = news.map(|news| self.view.fanout.announced(news, self.clock.now(), |id| self.has_room(id)));
        let rows = self.add_rows(&mut commit, told.unwrap_or_default())?;
        let done = matches!(self.commit(commit).await?, Outcome::Done(_));
        if let Some(due) = joins.filter(|_| done) {
            self.verification_dues.joins(place(id), due);
        }
        if done && !rows.is_empty() {
            self.relay_soon(place(id), rows);
        }
        Ok(done)
    }

    /// Deletes a new one, of which nobody was told.
    async fn take_back(&self, id: VerificationId) -> Result<(), StoreError> {
        let mut commit = Commit::new(place(id));
        commit.delete(Kind::Verification, &id.bytes());
        commit.unrank(Kind::VerificationDue, b"", &id.bytes());
        commit.run(&self.link).await.map(drop)
    }

    pub(super) async fn erase_verifications(&self, number: NumberKey) -> Result<(), StoreError> {
        let shard = Place::of_number(number);
        let call = Call::new(&OF_NUMBER, shard).key(Kind::VerificationDue, b"");
        let call = call.arg(shard.key(Kind::Verification, b"")).arg(number.bytes());
        let ids = Vec::<Vec<u8>>::from_redis_value(self.link.run(call).await?).map_err(|_| unreadable())?;
        for id in ids.iter().filter_map(|id| id.as_slice().try_into().ok()).map(VerificationId::from_bytes) {
            self.erase_verification(id).await?;
        }
        Ok(())
    }

    async fn erase_verification(&self, id: VerificationId) -> Result<(), StoreError> {
        for _ in 0..TRIES {
            let (Some(kept), mark) = self.kept_verification(id).await? else { return Ok(()) };
            let left = erased(kept, self.clock.now());
            if self.replace(id, &mark, left.as_ref(), None).await? {
                return Ok(());
            }
        }
        Err(StoreError::Unavailable)
    }

    async fn claim_in_shard(
        &self,
        place: Place,
        now: UnixMillis,
        limit: usize,
    ) -> Result<Vec<(UnixMillis, Verification)>, StoreError> {
        let call = Call::new(&CLAIM, place).key(Kind::VerificationDue, b"").number(now.0).number((now + LEASE).0);
        let call = call.number(limit as u64).arg(place.key(Kind::Verification, b""));
        let Value::Array(answer) = self.link.run(call).await? else { return Err(unreadable()) };
        let mut parts = answer.into_iter();
        if let Some(next) = parts.next().and_then(some_score) {
            self.verification_dues.joins(place, UnixMillis(next));
        }
        let mut claimed = Vec::new();
        while let (Some(id), Some(value)) = (parts.next(), parts.next()) {
            let id = Vec::<u8>::from_redis_value(id).map_err(|_| unreadable())?;
            let value = Vec::<u8>::from_redis_value(value).map_err(|_| unreadable())?;
            let Ok(id) = id.as_slice().try_into().map(VerificationId::from_bytes) else { return Err(unreadable()) };
            // One that cannot be read keeps nobody else waiting.
            if let Ok(verification) = self.opened(id, &value) {
                claimed.push((verification.due(self.retention), verification));
            }
        }
        Ok(claimed)
    }
}

impl VerificationStore for RedisStore {
    fn read_verification(&self, id: VerificationId) -> Later<'_, Result<Option<Verification>, StoreError>> {
        Box::pin(async move { Ok(self.kept_verification(id).await?.0) })
    }

    fn put_verification(
        &self,
        before: Option<Verification>,
        after: Option<Verification>,
    ) -> Later<'_, Result<(), WriteError>> {
        Box::pin(async move {
            let Some(id) = after.as_ref().or(before.as_ref()).map(|one| one.id) else { return Ok(()) };
            // Where a new one is to lie, the commit sees for itself that nothing does.
            let (kept, mark) = if before.is_some() { self.kept_verification(id).await? } else { (None, Vec::new()) };
            let news = news(before.as_ref(), after.as_ref());
            if kept != before {
                return Err(WriteError::Conflict);
            }
            let write = self.replace(id, &mark, after.as_ref(), news);
            let done = if before.is_none() && self.counts_apart() {
                let (written, counted) = self.beside(write).await;
                if counted.is_err() && written != Ok(false) {
                    self.take_back(id).await?;
                }
                counted.and(written)?
            } else {
                write.await?
            };
            if done { Ok(()) } else { Err(WriteError::Conflict) }
        })
    }

    fn claim_verifications(&self, now: UnixMillis, limit: usize) -> Later<'_, Result<Vec<Verification>, StoreError>> {
        Box::pin(async move {
            // The earliest of all shards first: looked for everywhere, then claimed where they lie.
            let due = self.verification_dues.due(&self.link, Kind::VerificationDue, now, limit).await?;
            let mut shards: std::collections::BTreeMap<Place, usize> = std::collections::BTreeMap::new();
            for one in due {
                *shards.entry(one.place).or_default() += 1;
            }
            let claims = shards.into_iter().map(|(place, count)| self.claim_in_shard(place, now, count));
            let mut claimed = Vec::new();
            for found in futures_util::future::join_all(claims).await {
                claimed.extend(found?);
            }
            claimed.sort_by_key(|(due, verification)| (*due, verification.id));
            Ok(claimed.into_iter().map(|(_, verification)| verification).collect())
        })
    }
}
