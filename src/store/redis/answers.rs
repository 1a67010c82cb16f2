//! Kept answers. Their key is a hash that names no shard, but an answer has to be written in the commit of its change, which
//! happens in the shard of a number. So the key's own place holds where the answer lies, and who is about to write it.
//!
//! Where the commit reaches the key's own place (on one server, and where nobody's number is concerned), it checks that nothing
//! stands there and writes it along. Elsewhere, and where something does, a reservation stands there before the commit, for a
//! bounded time by the store's clock; the commit is refused once it is over, and nobody else gets one before twice that time has
//! passed. So of two calls under one key one goes on, and the other finds its answer; a crash in between leaves a reservation that
//! runs out. An answer without a number, and one that came before its number was known, lie in the key's own place.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use redis::{FromRedisValue as _, Value};
use tokio::time::Instant;

use crate::clock::UnixMillis;
use crate::deadline;
use crate::idempotency::ReplayKey;
use crate::otp::answer::KeptAnswer;
use crate::otp::store::StoreError;
use crate::secret::to_hex;
use crate::store::redis::RedisStore;
use crate::store::redis::commit::{Commit, unreadable};
use crate::store::redis::place::{Kind, Place};
use crate::store::redis::records;
use crate::store::redis::script::{Call, Lazy, Lua};
use crate::store::redis::write::millis;

/// How long a reservation holds: longer than any call may take.
const LEASE: Duration = Duration::from_secs(5);
/// How long one waits for another's to end, and the pause between two looks.
const PATIENCE: Duration = Duration::from_secs(12);
const PAUSE: Duration = Duration::from_millis(15);
/// A place of an answer goes by itself so long after the answer.
pub(super) const GRACE: Duration = Duration::from_secs(2 * 24 * 60 * 60);

/// Reserves: 0 and how long another's holds; or 1, until when this one does, the shard where an answer may lie, and the answer
/// in the key's own place.
static RESERVE: Lazy = Lazy::new(|| {
    Lua::guarded(
        r"
local t=redis.call('TIME')
local now=t[1]*1000+math.floor(t[2]/1000)
local there=redis.call('GET',KEYS[2])
local old=''
if there then
  old=string.sub(there,1,2)
  local over=tonumber(string.sub(there,19))
  if over>now then return {0,over-now} end
  redis.call('SET',KEYS[2],old..ARGV[3]..string.format('%.0f',now+2*ARGV[4]),'KEEPTTL')
else
  redis.call('SET',KEYS[2],ARGV[2]..ARGV[3]..string.format('%.0f',now+2*ARGV[4]),'PX',ARGV[5])
end
return {1,now+ARGV[4],old,redis.call('GET',KEYS[3])}
",
    )
});

/// Whoever holds the reservation says where the answer is about to lie.
static POINT: Lazy = Lazy::new(|| {
    Lua::guarded(
        "local there=redis.call('GET',KEYS[2]) if not there or string.sub(there,3,18)~=ARGV[3] then return 0 end \
         redis.call('SET',KEYS[2],ARGV[2]..string.sub(there,3),'KEEPTTL') return 1",
    )
});

/// The reservation ends: the place stays where an answer lies there.
static RELEASE: Lazy = Lazy::new(|| {
    Lua::guarded(
        "local there=redis.call('GET',KEYS[2]) if not there or string.sub(there,3,18)~=ARGV[2] then return 0 end \
         if ARGV[3]=='0' then redis.call('DEL',KEYS[2]) \
         elseif ARGV[3]=='' then redis.call('SET',KEYS[2],string.sub(there,1,18)..'0','KEEPTTL') \
         else redis.call('SET',KEYS[2],string.sub(there,1,18)..'0','PX',ARGV[3]) end return 1",
    )
});

/// Where an answer lies, and the one in the key's own place.
static FIND: Lazy = Lazy::new(|| Lua::guarded("return {redis.call('GET',KEYS[2]) or '',redis.call('GET',KEYS[3])}"));

/// Deletes the answers of a shard that tell of a number: how many.
static FORGET: Lazy = Lazy::new(|| {
    Lua::guarded(
        "local gone=0 for _,key in ipairs(redis.call('ZRANGE',KEYS[2],0,-1)) do local name=ARGV[2]..key \
         if redis.call('GETRANGE',name,0,15)==ARGV[3] then redis.call('DEL',name) redis.call('ZREM',KEYS[2],key) gone=gone+1 end \
         end return gone",
    )
});

/// The right to write the answer under a key.
pub(super) struct Reservation {
    pub(super) key: ReplayKey,
    token: String,
    /// The commit has to be done before, by the store's clock in milliseconds.
    pub(super) deadline: u64,
    /// Where the key's own place says that the answer lies.
    shard: Option<Place>,
    /// The answer that is there.
    pub(super) kept: Option<Arc<KeptAnswer>>,
    /// When the answer that was written is to be dropped.
    pub(super) wrote: Option<UnixMillis>,
}

fn shard_text(place: Place) -> String {
    match place {
        Place::Shard(shard) => to_hex(&[shard]),
        Place::Settings => String::new(),
    }
}

/// What the key's own place says where the answer lies in `place` and nobody is about to write it: a token that no process has,
/// and a reservation that is over.
pub(super) fn pointer(place: Place) -> String {
    format!("{}{}0", shard_text(place), to_hex(&[0; 8]))
}

fn shard_of(text: &[u8]) -> Option<Place> {
    let text = std::str::from_utf8(text.get(..2)?).ok()?;
    u8::from_str_radix(text, 16).ok().map(Place::Shard)
}

impl Commit {
    /// Only where nothing is kept under a key that it reaches, and nobody is about to keep anything. To be called before any write.
    pub(super) fn check_no_answer(&mut self, key: ReplayKey) {
        for kind in [Kind::AnswerPlace, Kind::Answer] {
            self.check_whole_at(Place::of_answer(key), kind, &key.bytes(), b"");
        }
    }

    /// The answer that is written in `place` is found by its key, which the commit reaches.
    pub(super) fn point_to(&mut self, place: Place, key: ReplayKey, life: Duration) {
        let pointer = pointer(place);
        self.set_at(Place::of_answer(key), Kind::AnswerPlace, &key.bytes(), pointer.as_bytes(), millis(life));
    }
}

impl RedisStore {
    /// Reserves the answer under `key` for a commit in `place`, and reads the one that is there.
    pub(super) async fn reserve(&self, key: ReplayKey, place: Place) -> Result<Reservation, StoreError> {
        let home = Place::of_answer(key);
        let mut token = [0; 8];
        self.entropy.fill(&mut token);
        let token = to_hex(&token);
        let started = Instant::now();
        loop {
            let call = Call::new(&RESERVE, home).key(Kind::AnswerPlace, &key.bytes()).key(Kind::Answer, &key.bytes());
            let call = call.arg(shard_text(place)).arg(token.clone()).number(millis(LEASE)).number(millis(GRACE));
            let Value::Array(answer) = self.link.run(call).await? else { return Err(unreadable()) };
            let mut parts = answer.into_iter();
            if parts.next() == Some(Value::Int(0)) {
                if started.elapsed() >= PATIENCE {
                    return Err(StoreError::Unavailable);
                }
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            let [deadline, old, here] = [parts.next(), parts.next(), parts.next()].map(Option::unwrap_or_default);
            let deadline = u64::from_redis_value(deadline).map_err(|_| unreadable())?;
            let old = Vec::<u8>::from_redis_value(old).map_err(|_| unreadable())?;
            let here = Option::<Vec<u8>>::from_redis_value(here).map_err(|_| unreadable())?;
            let shard = shard_of(&old);
            let kept = self.lies(key, shard.filter(|shard| *shard != home), here).await?;
            return Ok(Reservation { key, token, deadline, shard: shard.or(Some(place)), kept, wrote: None });
        }
    }

    /// The answer that lies in `elsewhere`, else the one in the key's own place.
    async fn lies(
        &self,
        key: ReplayKey,
        elsewhere: Option<Place>,
        here: Option<Vec<u8>>,
    ) -> Result<Option<Arc<KeptAnswer>>, StoreError> {
        let there = match elsewhere {
            Some(place) => self.get(place, Kind::Answer, &key.bytes()).await?,
            None => None,
        };
        there.or(here).map(|bytes| records::answer(key, &bytes).map(Arc::new)).transpose()
    }

    /// Whether a commit in `place` reaches the key's own place.
    pub(super) fn reaches(&self, place: Place, key: ReplayKey) -> Result<bool, StoreError> {
        Ok(Place::of_answer(key) == place || !self.link.live()?.connection.is_cluster())
    }

    /// The answer is about to be written in `place`: before it is, the key's own place has to say so.
    pub(super) async fn point(&self, reservation: &mut Reservation, place: Place) -> Result<(), StoreError> {
        let home = Place::of_answer(reservation.key);
        if reservation.shard == Some(place) {
            return Ok(());
        }
        let call = Call::new(&POINT, home).key(Kind::AnswerPlace, &reservation.key.bytes());
        let call = call.arg(shard_text(place)).arg(reservation.token.clone());
        if self.link.run(call).await? != Value::Int(1) {
            return Err(StoreError::Unavailable);
        }
        reservation.shard = Some(place);
        Ok(())
    }

    /// Lets go of a reservation. Nobody waits for it: one that is not let go of runs out.
    pub(super) fn release(&self, reservation: Reservation) {
        let Reservation { key, token, kept, wrote, .. } = reservation;
        let life = match wrote {
            Some(due) => millis(due.since(self.clock.now()) + GRACE).to_string(),
            None if kept.is_some() => String::new(),
            None => "0".to_owned(),
        };
        let link = Arc::clone(&self.link);
        let mut release = Box::pin(deadline::call(async move {
            let call = Call::new(&RELEASE, Place::of_answer(key)).key(Kind::AnswerPlace, &key.bytes());
            let _runs_out = link.run(call.arg(token).arg(life)).await;
        }));
        // It is on its way before whatever its call asks for next, which may be the same key.
        if release.as_mut().now_or_never().is_none() {
            tokio::spawn(release);
        }
    }

    pub(super) async fn find_answer(&self, key: ReplayKey) -> Result<Option<Arc<KeptAnswer>>, StoreError> {
        let home = Place::of_answer(key);
        let call = Call::new(&FIND, home).key(Kind::AnswerPlace, &key.bytes()).key(Kind::Answer, &key.bytes());
        let Value::Array(answer) = self.link.run(call).await? else { return Err(unreadable()) };
        let mut parts = answer.into_iter().map(Option::<Vec<u8>>::from_redis_value);
        let (Some(Ok(place)), Some(Ok(here))) = (parts.next(), parts.next()) else { return Err(unreadable()) };
        let shard = place.and_then(|place| shard_of(&place)).filter(|shard| *shard != home);
        self.lies(key, shard, here).await
    }

    pub(super) async fn drop_due_answers(&self, now: UnixMillis, limit: usize) -> Result<usize, StoreError> {
        let due = self.answer_dues.due(&self.link, Kind::AnswerDue, now, limit).await?;
        let drops = due.iter().map(|due| {
            let mut commit = Commit::new(due.place);
            commit.delete(Kind::Answer, &due.member);
            commit.unrank(Kind::AnswerDue, b"", &due.member);
            commit.run(&self.link)
        });
        for dropped in futures_util::future::join_all(drops).await {
            dropped?;
        }
        Ok(due.len())
    }

    /// Deletes the answers that tell of a number.
    pub(super) async fn forget_answers(&self, number: crate::otp::id::NumberKey) -> Result<(), StoreError> {
        let place = Place::of_number(number);
        let call = Call::new(&FORGET, place).key(Kind::AnswerDue, b"").arg(place.key(Kind::Answer, b""));
        self.link.run_durably(call.arg(number.bytes())).await.map(drop)
    }
}
