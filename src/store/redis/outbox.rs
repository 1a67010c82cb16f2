//! The outbox of many replicas: a message is claimed by writing down until when, in the shard where it lies; whoever claimed it
//! says so anew while it is alive. A replica that died holds nothing longer than [`CLAIM`].
//!
//! What this process has claimed it keeps in memory, as the embedded store does, and hands out from there.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use redis::{FromRedisValue as _, Value};

use crate::clock::{Clock, UnixMillis};
use crate::otp::outbox::{Message, MessageId};
use crate::otp::store::StoreError;
use crate::store::pending::{Pending, Step};
use crate::store::redis::RedisStore;
use crate::store::redis::commit::{mark, unreadable};
use crate::store::redis::horizon::{Horizon, some_score};
use crate::store::redis::link::Link;
use crate::store::redis::place::{Kind, Place};
use crate::store::redis::records;
use crate::store::redis::script::{Call, Lazy, Lua};

/// How long a claim holds without being renewed: the work of a dead replica is taken over after it.
pub(super) const CLAIM: Duration = Duration::from_secs(15);
/// How often claims are renewed.
const RENEW: Duration = Duration::from_secs(5);
/// What is due so soon is claimed by the commit that writes it.
pub(super) const SOON: Duration = Duration::from_millis(100);
/// How often every shard is asked for what others have left.
const LOOK: Duration = Duration::from_secs(1);

/// Claims up to so many messages that are free by then, until then: how many messages there are, the next free one's instant, and
/// for each claimed one its name and its body.
static CLAIM_DUE: Lazy = Lazy::new(|| {
    Lua::guarded(
        r"
local found=redis.call('ZRANGEBYSCORE',KEYS[2],'-inf',ARGV[2],'LIMIT',0,ARGV[4])
local out={redis.call('ZCARD',KEYS[2]),''}
for _,name in ipairs(found) do
  redis.call('ZADD',KEYS[2],ARGV[3],name)
  out[#out+1]=name
  out[#out+1]=redis.call('HGET',ARGV[5]..string.sub(name,1,16),string.sub(name,17)) or ''
end
local next=redis.call('ZRANGEBYSCORE',KEYS[2],'-inf','+inf','WITHSCORES','LIMIT',0,1)
out[2]=next[2] or ''
return out
",
    )
});

/// How many messages there are, and the first free one's instant.
static LOOK_AT: Lazy = Lazy::new(|| {
    Lua::guarded(
        "local first=redis.call('ZRANGEBYSCORE',KEYS[2],'-inf','+inf','WITHSCORES','LIMIT',0,1) \
         return {redis.call('ZCARD',KEYS[2]),first[2] or ''}",
    )
});

/// Claims these for longer, as far as they are still there.
static RENEW_CLAIMS: Lazy = Lazy::new(|| {
    Lua::guarded("for i=3,#ARGV do redis.call('ZADD',KEYS[2],'XX','GT',ARGV[2],ARGV[i]) end return #ARGV-2")
});

/// Frees one at an instant, if it is still there as it is known here: another's is not ours to free.
static FREE: Lazy = Lazy::new(|| {
    Lua::guarded(
        "if string.sub(redis.call('HGET',KEYS[3],ARGV[4]) or '',-8)~=ARGV[5] then return 0 end \
         return redis.call('ZADD',KEYS[2],'XX','CH',ARGV[2],ARGV[3])",
    )
});

/// How many messages lie where, and where to look for some.
pub(super) struct Outbox {
    pub(super) horizon: Horizon,
    lie: Vec<AtomicI64>,
}

impl Default for Outbox {
    fn default() -> Self {
        Self { horizon: Horizon::new(LOOK), lie: Place::shards().map(|_| AtomicI64::new(0)).collect() }
    }
}

impl Outbox {
    fn of(&self, place: Place) -> Option<&AtomicI64> {
        match place {
            Place::Shard(shard) => self.lie.get(usize::from(shard)),
            Place::Settings => None,
        }
    }

    /// So many joined.
    pub(super) fn grew(&self, place: Place, by: i64) {
        if let Some(lie) = self.of(place) {
            lie.fetch_add(by, Ordering::AcqRel);
        }
    }

    fn counted(&self, place: Place, count: i64) {
        if let Some(lie) = self.of(place) {
            lie.store(count, Ordering::Release);
        }
    }

    /// Messages that are not settled, as far as this process knows.
    pub(super) fn len(&self) -> usize {
        let sum: i64 = self.lie.iter().map(|lie| lie.load(Ordering::Acquire).max(0)).sum();
        usize::try_from(sum).unwrap_or(0)
    }
}

impl RedisStore {
    /// Looks everywhere once: what lies there, and when to look again.
    pub(super) async fn look_around(&self) -> Result<(), StoreError> {
        let look = |place: Place| async move {
            let answer = self.link.run(Call::new(&LOOK_AT, place).key(Kind::Outbox, b"")).await?;
            let Value::Array(answer) = answer else { return Err(unreadable()) };
            let mut parts = answer.into_iter();
            let (Some(Value::Int(count)), Some(first)) = (parts.next(), parts.next()) else { return Err(unreadable()) };
            self.outbox.counted(place, count);
            if let Some(first) = some_score(first) {
                self.outbox.horizon.joins(place, UnixMillis(first));
            }
            Ok(())
        };
        let places = self.outbox.horizon.places(UnixMillis(0));
        futures_util::future::join_all(places.into_iter().map(look)).await.into_iter().collect()
    }

    pub(super) async fn claim_messages(&self, now: UnixMillis, limit: usize) -> Result<Vec<Message>, StoreError> {
        // What cannot be settled is not handed out.
        self.link.live()?;
        let mut claimed = self.pending.claim(now, limit);
        if claimed.len() >= limit {
            return Ok(claimed);
        }
        let room = limit - claimed.len();
        let places = self.outbox.horizon.places(now);
        let asked = places.into_iter().map(|place| async move { (place, self.claim_in(place, now, room).await) });
        let mut failed = None;
        for (place, found) in futures_util::future::join_all(asked).await {
            match found {
                Ok(messages) => self.pending.apply(messages.into_iter().map(Step::Put).collect()),
                Err(error) => {
                    self.outbox.horizon.joins(place, UnixMillis(0));
                    failed = Some(error);
                }
            }
        }
        claimed.extend(self.pending.claim(now, room));
        match failed {
            Some(error) if claimed.is_empty() => Err(error),
            _ => Ok(claimed),
        }
    }

    async fn claim_in(&self, place: Place, now: UnixMillis, limit: usize) -> Result<Vec<Message>, StoreError> {
        let call = Call::new(&CLAIM_DUE, place).key(Kind::Outbox, b"").number(now.0).number((now + CLAIM).0);
        let call = call.number(limit as u64).arg(place.key(Kind::Messages, b""));
        let Value::Array(answer) = self.link.run(call).await? else { return Err(unreadable()) };
        let mut parts = answer.into_iter();
        let (Some(Value::Int(count)), Some(next)) = (parts.next(), parts.next()) else { return Err(unreadable()) };
        self.outbox.counted(place, count);
        if let Some(next) = some_score(next) {
            self.outbox.horizon.joins(place, UnixMillis(next));
        }
        let mut messages = Vec::new();
        while let (Some(name), Some(body)) = (parts.next(), parts.next()) {
            let name = Vec::<u8>::from_redis_value(name).map_err(|_| unreadable())?;
            let body = Vec::<u8>::from_redis_value(body).map_err(|_| unreadable())?;
            let Some(id) = records::message_id(&name) else { return Err(unreadable()) };
            // One that this process already has is only claimed for longer. One that cannot be read keeps nobody from the rest.
            if self.pending.held(id).is_none()
                && let Ok(message) = records::message(id, &body)
            {
                messages.push(message);
            }
        }
        Ok(messages)
    }

    pub(super) async fn free_message(&self, id: MessageId, due: UnixMillis) -> Result<(), StoreError> {
        let Some(held) = self.pending.held(id) else { return Ok(()) };
        let (place, known) = (Place::of_otp(id.otp), records::message_bytes(&held)?);
        let call = Call::new(&FREE, place).key(Kind::Outbox, b"").key(Kind::Messages, &id.otp.bytes());
        let call =
            call.number(due.0).arg(records::message_member(id)).arg(records::message_field(id)).arg(mark(&known));
        let freed = self.link.run(call).await;
        // Where the store did not hear of it, the claim runs out.
        self.pending.apply(vec![Step::Settle(id)]);
        self.outbox.horizon.joins(place, due);
        self.pending.wake();
        freed.map(drop)
    }

    pub(super) async fn wait_for_messages(&self) {
        let due = self.outbox.horizon.earliest().since(self.clock.now());
        let pause = due.min(self.outbox.horizon.stale_in());
        tokio::select! {
            () = self.pending.wait(&*self.clock) => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Renews this process' claims for as long as somebody holds them.
pub(super) async fn renew(pending: Weak<Pending>, link: Weak<Link>, clock: Arc<dyn Clock>) {
    loop {
        tokio::time::sleep(RENEW).await;
        let (Some(pending), Some(link)) = (pending.upgrade(), link.upgrade()) else { return };
        let mut names: Vec<_> = pending.all().into_iter().map(records::message_member).collect();
        names.sort_unstable_by_key(|name| name.get(15).copied());
        let until = (clock.now() + CLAIM).0;
        for shard in names.chunk_by(|one, other| one.get(15) == other.get(15)) {
            let Some(id) = shard.first().and_then(|name| records::message_id(name)) else { continue };
            for names in shard.chunks(500) {
                let mut call = Call::new(&RENEW_CLAIMS, Place::of_otp(id.otp)).key(Kind::Outbox, b"").number(until);
                names.iter().for_each(|name| call.arguments.push(name));
                // Not renewed now, tried again long before the claim runs out.
                let _late = link.run(call).await;
            }
        }
    }
}
