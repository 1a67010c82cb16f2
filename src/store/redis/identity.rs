//! Pairs of keys, tried puzzles and sessions. A session lies with its number, so that an erasure finds it; where its own key
//! would put it stands which number that is. That pointer is written first and goes last: one that leads to nothing is
//! harmless, a session that nothing leads to could never be ended.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::{join_all, try_join_all};
use redis::Value;

use crate::access::connection::ConnectionId;
use crate::clock::UnixMillis;
use crate::identity::store::{
    Attempt, CaptchaId, IdentityStore, KeptSession, SESSIONS_PER_NUMBER, SessionKey, TRIED_CAPTCHAS,
};
use crate::otp::id::NumberKey;
use crate::otp::store::{Later, StoreError};
use crate::secret::Sealed;
use crate::store::redis::RedisStore;
use crate::store::redis::place::{Kind, Place};
use crate::store::redis::reply::read;
use crate::store::redis::script::{Call, Lazy, Lua};

/// Rows that one step of pruning drops of the puzzles, and of each shard's sessions.
const STEP: u64 = 1_000;
const SHARD_STEP: u64 = 100;
/// How long a pointer outlasts its session at most.
pub(super) const POINTER_SLACK: Duration = Duration::from_secs(60 * 60);
/// Bytes of a number's key, and of the instant that begins a kept session.
const NUMBER: usize = 16;
const INSTANT: usize = 8;

static GET: Lazy = Lazy::new(|| Lua::guarded("return redis.call('GET',KEYS[2])"));

static PUT_ONCE: Lazy =
    Lazy::new(|| Lua::guarded("redis.call('SET',KEYS[2],ARGV[2],'NX') return redis.call('GET',KEYS[2])"));

/// Keeps a try at a puzzle. 1: it is the first; 0: it is not; 2: there is no room.
static TRY: Lazy = Lazy::new(|| {
    Lua::guarded(
        "if redis.call('ZCARD',KEYS[3])>=tonumber(ARGV[5]) then return 2 end \
         if redis.call('HSETNX',KEYS[2],ARGV[2],ARGV[3])==0 then return 0 end \
         redis.call('ZADD',KEYS[3],ARGV[4],ARGV[2]) return 1",
    )
});

static SPEND: Lazy = Lazy::new(|| {
    Lua::guarded(
        "if redis.call('HGET',KEYS[2],ARGV[2])~=ARGV[3] then return 0 end \
         redis.call('HSET',KEYS[2],ARGV[2],'') return 1",
    )
});

/// A puzzle that was spent for nothing serves again.
static UNSPEND: Lazy = Lazy::new(|| {
    Lua::guarded(
        "if redis.call('HGET',KEYS[2],ARGV[2])~='' then return 0 end \
         redis.call('HSET',KEYS[2],ARGV[2],ARGV[3]) return 1",
    )
});

static DROP_PUZZLES: Lazy = Lazy::new(|| {
    Lua::guarded(
        "for _,id in ipairs(redis.call('ZRANGEBYSCORE',KEYS[3],'-inf',ARGV[2],'LIMIT',0,ARGV[3])) do \
         redis.call('HDEL',KEYS[2],id) redis.call('ZREM',KEYS[3],id) end return 1",
    )
});

/// Says to whom a session belongs.
static POINT: Lazy = Lazy::new(|| Lua::guarded("return redis.call('SET',KEYS[2],ARGV[2],'PX',ARGV[3])"));

static FORGET: Lazy = Lazy::new(|| Lua::guarded("return redis.call('DEL',KEYS[2])"));

static SESSION: Lazy = Lazy::new(|| Lua::guarded("return redis.call('HGET',KEYS[2],ARGV[2])"));

/// Ends a session. Whether it was live.
static END: Lazy = Lazy::new(|| {
    Lua::guarded(
        "local kept=redis.call('HGET',KEYS[2],ARGV[3]) if not kept then return 0 end \
         redis.call('HDEL',KEYS[2],ARGV[3]) redis.call('ZREM',KEYS[3],ARGV[2]..ARGV[3]) \
         return struct.unpack('>I8',kept)>tonumber(ARGV[4]) and 1 or 0",
    )
});

/// Opens a session: ends the one that it replaces, and those that would end first where the number has too many. 0: the one to
/// be replaced is not live. Else the keys of those that ended.
static OPEN: Lazy = Lazy::new(|| {
    Lua::guarded(
        "local gone={} \
         local function drop(key) redis.call('HDEL',KEYS[2],key) redis.call('ZREM',KEYS[3],ARGV[2]..key) gone[#gone+1]=key end \
         if ARGV[6]~='' then local kept=redis.call('HGET',KEYS[2],ARGV[6]) \
         if not kept or struct.unpack('>I8',kept)<=tonumber(ARGV[7]) then return 0 end drop(ARGV[6]) end \
         local rows=redis.call('HGETALL',KEYS[2]) local left={} \
         for at=1,#rows,2 do left[#left+1]={rows[at],(struct.unpack('>I8',rows[at+1]))} end \
         table.sort(left,function(one,other) return one[2]<other[2] end) \
         for at=1,#left-tonumber(ARGV[8])+1 do drop(left[at][1]) end \
         redis.call('HSET',KEYS[2],ARGV[3],ARGV[5]) redis.call('ZADD',KEYS[3],ARGV[4],ARGV[2]..ARGV[3]) return gone",
    )
});

static OVER: Lazy =
    Lazy::new(|| Lua::guarded("return redis.call('ZRANGEBYSCORE',KEYS[2],'-inf',ARGV[2],'LIMIT',0,ARGV[3])"));

static DROP_SESSIONS: Lazy = Lazy::new(|| {
    Lua::guarded(
        "for at=3,#ARGV do redis.call('HDEL',KEYS[2],ARGV[at]) redis.call('ZREM',KEYS[3],ARGV[2]..ARGV[at]) end return 1",
    )
});

/// Ends every session of a number: their keys.
static ERASE: Lazy = Lazy::new(|| {
    Lua::guarded(
        "local keys=redis.call('HKEYS',KEYS[2]) \
         for _,key in ipairs(keys) do redis.call('ZREM',KEYS[3],ARGV[2]..key) end redis.call('DEL',KEYS[2]) return keys",
    )
});

/// A call that works on a number's sessions.
fn of_number(script: &'static Lua, number: NumberKey) -> Call {
    let call = Call::new(script, Place::of_number(number));
    call.key(Kind::Sessions, &number.bytes()).key(Kind::SessionEnds, b"").arg(number.bytes())
}

/// A call that works on the pointer to a session.
fn of_pointer(script: &'static Lua, key: &[u8]) -> Call {
    Call::new(script, Place::of_bytes(key)).key(Kind::SessionPlace, key)
}

/// Ends a session.
fn end(number: NumberKey, key: &SessionKey, now: UnixMillis) -> Call {
    of_number(&END, number).arg(key.as_slice()).number(now.0)
}

/// A session from the row that keeps it, while it is live.
fn live(key: SessionKey, number: NumberKey, row: &[u8], now: UnixMillis) -> Option<KeptSession> {
    let (expires, body) = row.split_first_chunk::<INSTANT>()?;
    let expires = UnixMillis(u64::from_be_bytes(*expires));
    (now < expires).then(|| KeptSession { key, number, expires, body: Sealed::from_bytes(body.to_vec()) })
}

impl RedisStore {
    /// Ends the sessions of a number, and forgets whose they were.
    ///
    /// # Errors
    /// [`StoreError`]: they may have ended.
    pub(super) async fn erase_sessions(&self, number: NumberKey) -> Result<(), StoreError> {
        let keys: Vec<Vec<u8>> = read(self.link.run_durably(of_number(&ERASE, number)).await?)?;
        self.forget_pointers(&keys).await
    }

    /// Whose session this is.
    async fn number_of(&self, key: SessionKey) -> Result<Option<NumberKey>, StoreError> {
        let found: Option<Vec<u8>> = read(self.link.run(of_pointer(&GET, &key)).await?)?;
        Ok(found.and_then(|bytes| bytes.try_into().ok()).map(NumberKey::from_bytes))
    }

    async fn forget_pointers(&self, keys: &[Vec<u8>]) -> Result<(), StoreError> {
        try_join_all(keys.iter().map(|key| self.link.run(of_pointer(&FORGET, key)))).await.map(drop)
    }

    /// Ends the sessions of a shard that are over.
    async fn prune_sessions(&self, place: Place, now: UnixMillis) -> Result<(), StoreError> {
        let call = Call::new(&OVER, place).key(Kind::SessionEnds, b"").number(now.0).number(SHARD_STEP);
        let over: Vec<Vec<u8>> = read(self.link.run(call).await?)?;
        let mut by_number: BTreeMap<[u8; NUMBER], Vec<Vec<u8>>> = BTreeMap::new();
        for member in &over {
            if let Some((number, key)) = member.split_first_chunk::<NUMBER>() {
                by_number.entry(*number).or_default().push(key.to_vec());
            }
        }
        for (number, keys) in by_number {
            let call = of_number(&DROP_SESSIONS, NumberKey::from_bytes(number));
            self.link.run(keys.iter().fold(call, |call, key| call.arg(key.as_slice()))).await?;
            self.forget_pointers(&keys).await?;
        }
        Ok(())
    }
}

impl IdentityStore for RedisStore {
    fn pair(&self, connection: ConnectionId) -> Later<'_, Result<Option<Sealed>, StoreError>> {
        let id = connection.get().to_be_bytes();
        let call = Call::new(&GET, Place::of_connection(connection)).key(Kind::Pair, &id);
        Box::pin(async move {
            let found: Option<Vec<u8>> = read(self.link.run(call).await?)?;
            Ok(found.map(Sealed::from_bytes))
        })
    }

    fn put_pair(&self, connection: ConnectionId, sealed: Sealed) -> Later<'_, Result<Sealed, StoreError>> {
        let id = connection.get().to_be_bytes();
        let call = Call::new(&PUT_ONCE, Place::of_connection(connection)).key(Kind::Pair, &id).arg(sealed.bytes());
        Box::pin(async move { Ok(Sealed::from_bytes(read(self.link.run_durably(call).await?)?)) })
    }

    fn try_captcha(&self, attempt: Attempt) -> Later<'_, Result<bool, StoreError>> {
        let call = Call::new(&TRY, Place::Settings).key(Kind::Puzzles, b"").key(Kind::PuzzleEnds, b"");
        let call = call.arg(attempt.id).arg(attempt.solved_for.map(Vec::from).unwrap_or_default());
        let call = call.number(attempt.expires.0).number(u64::try_from(TRIED_CAPTCHAS).unwrap_or(u64::MAX));
        Box::pin(async move {
            match read::<u8>(self.link.run_durably(call).await?)? {
                0 => Ok(false),
                1 => Ok(true),
                _ => Err(StoreError::Unavailable),
            }
        })
    }

    fn spend_captcha(&self, id: CaptchaId, sender: [u8; 32]) -> Later<'_, Result<bool, StoreError>> {
        let call = move |script| Call::new(script, Place::Settings).key(Kind::Puzzles, b"").arg(id).arg(sender);
        Box::pin(async move {
            let (spent, counted) = self.beside(self.link.run_durably(call(&SPEND))).await;
            let spent = spent.and_then(read);
            if counted.is_err() && spent == Ok(true) {
                // Whoever comes again with it, because he was over his quota, has looked already.
                let _served: Value = self.link.run_durably(call(&UNSPEND)).await?;
            }
            counted.and(spent)
        })
    }

    fn session(&self, key: SessionKey, now: UnixMillis) -> Later<'_, Result<Option<KeptSession>, StoreError>> {
        Box::pin(async move {
            let Some(number) = self.number_of(key).await? else { return Ok(None) };
            let call = Call::new(&SESSION, Place::of_number(number)).key(Kind::Sessions, &number.bytes()).arg(key);
            let row: Option<Vec<u8>> = read(self.link.run(call).await?)?;
            Ok(row.and_then(|row| live(key, number, &row, now)))
        })
    }

    fn open_session(
        &self,
        session: KeptSession,
        replaces: Option<SessionKey>,
        now: UnixMillis,
    ) -> Later<'_, Result<bool, StoreError>> {
        Box::pin(async move {
            let mut replaced_here = replaces;
            if let Some(replaces) = replaces {
                let Some(number) = self.number_of(replaces).await? else { return Ok(false) };
                if number != session.number {
                    // Of another number, so elsewhere: it ends first. A crash in between leaves no session, never two.
                    if !read::<bool>(self.link.run_durably(end(number, &replaces, now)).await?)? {
                        return Ok(false);
                    }
                    self.forget_pointers(&[replaces.to_vec()]).await?;
                    replaced_here = None;
                }
            }
            let life = u64::try_from((session.expires.since(now) + POINTER_SLACK).as_millis()).unwrap_or(u64::MAX);
            let number = session.number.bytes();
            self.link.run_durably(of_pointer(&POINT, &session.key).arg(number).number(life)).await?;
            let mut row = session.expires.0.to_be_bytes().to_vec();
            row.extend_from_slice(session.body.bytes());
            let call = of_number(&OPEN, session.number).arg(session.key).number(session.expires.0).arg(row);
            let call = call.arg(replaced_here.map(Vec::from).unwrap_or_default()).number(now.0);
            let call = call.number(u64::try_from(SESSIONS_PER_NUMBER).unwrap_or(u64::MAX));
            let answer = self.link.run_durably(call).await?;
            let (opened, over) = match answer {
                Value::Int(_) => (false, vec![session.key.to_vec()]),
                keys => (true, read(keys)?),
            };
            // It was opened, or not, whatever becomes of these.
            let _left = self.forget_pointers(&over).await;
            Ok(opened)
        })
    }

    fn end_session(&self, key: SessionKey, now: UnixMillis) -> Later<'_, Result<bool, StoreError>> {
        Box::pin(async move {
            let Some(number) = self.number_of(key).await? else { return Ok(false) };
            let ended = read(self.link.run_durably(end(number, &key, now)).await?)?;
            let _left = self.forget_pointers(&[key.to_vec()]).await;
            Ok(ended)
        })
    }

    fn prune_identity(&self, now: UnixMillis) -> Later<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let call = Call::new(&DROP_PUZZLES, Place::Settings).key(Kind::Puzzles, b"").key(Kind::PuzzleEnds, b"");
            self.link.run(call.number(now.0).number(STEP)).await?;
            let shards = join_all(Place::shards().map(|place| self.prune_sessions(place, now))).await;
            shards.into_iter().collect()
        })
    }
}
