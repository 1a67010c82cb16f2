//! Which queues are to be looked at, and when: a sorted set beside the settings. Whoever looks at a queue first moves it away by
//! a lease, so that others pass it by, and says afterwards when it is to be looked at again, but only where that is earlier:
//! what was marked meanwhile stays marked.

use crate::clock::UnixMillis;
use crate::events::subscription::SubscriptionId;
use crate::store::redis::place::{Kind, Place};
use crate::store::redis::script::{Call, Lazy, Lua};

static MARK: Lazy =
    Lazy::new(|| Lua::guarded("for at=2,#ARGV,2 do redis.call('ZADD',KEYS[2],'LT',ARGV[at+1],ARGV[at]) end return 1"));

static TAKE: Lazy = Lazy::new(|| {
    Lua::guarded(
        "local ids=redis.call('ZRANGEBYSCORE',KEYS[2],'-inf',ARGV[2],'LIMIT',0,ARGV[4]) \
         for _,id in ipairs(ids) do redis.call('ZADD',KEYS[2],ARGV[3],id) end return ids",
    )
});

/// A queue in which nothing waits goes, unless it was marked since it was taken.
static BACK: Lazy = Lazy::new(|| {
    Lua::guarded(
        "for at=3,#ARGV,2 do \
         if ARGV[at+1]~='' then redis.call('ZADD',KEYS[2],'LT',ARGV[at+1],ARGV[at]) else \
         local score=redis.call('ZSCORE',KEYS[2],ARGV[at]) \
         if score and tonumber(score)==tonumber(ARGV[2]) then redis.call('ZREM',KEYS[2],ARGV[at]) end end end return 1",
    )
});

static ALL: Lazy = Lazy::new(|| Lua::guarded("return redis.call('ZRANGE',KEYS[2],0,-1)"));

fn of(script: &'static Lua) -> Call {
    Call::new(script, Place::Settings).key(Kind::QueuesDue, b"")
}

/// These are to be looked at, at these instants at the latest.
pub(super) fn mark(queues: &[(SubscriptionId, UnixMillis)]) -> Call {
    queues.iter().fold(of(&MARK), |call, (id, due)| call.arg(id.bytes()).number(due.0))
}

/// Takes up to `limit` that are to be looked at, until `lease`. Answers which.
pub(super) fn take(now: UnixMillis, lease: u64, limit: usize) -> Call {
    of(&TAKE).number(now.0).number(lease).number(u64::try_from(limit).unwrap_or(u64::MAX))
}

/// These were looked at; each with when to do so again, as its queue said.
pub(super) fn back(lease: u64, queues: &[(SubscriptionId, Vec<u8>)]) -> Call {
    queues.iter().fold(of(&BACK).number(lease), |call, (id, again)| call.arg(id.bytes()).arg(again.as_slice()))
}

/// Answers all of them.
pub(super) fn all() -> Call {
    of(&ALL)
}

/// Answers the ids of all subscriptions, whether or not anything waits for them.
pub(super) fn subscriptions() -> Call {
    static KEYS: Lazy = Lazy::new(|| Lua::guarded("return redis.call('HKEYS',KEYS[2])"));
    Call::new(&KEYS, Place::Settings).key(Kind::Subscriptions, b"")
}

/// A queue by its bytes.
pub(super) fn subscription(bytes: &[u8]) -> Option<SubscriptionId> {
    bytes.try_into().ok().map(SubscriptionId::from_bytes)
}
