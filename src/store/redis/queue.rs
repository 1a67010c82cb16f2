//! The queue of one subscription: the steps that change it, each one script in the queue's own place. Must not know what an
//! event says, nor which queues there are.
//!
//! ```text
//! Queue      a hash: an event -> its row (row.rs); p -> whether the subscriber took the last one
//! QueueDue   events that may be claimed, by when; QueueBusy: events on their way, by the end of their lease
//! QueueDead  dead letters, by their end; QueueSeen: events that came within the hour, so that none comes twice
//! ```
//!
//! What is due or on its way is named by event and OTP, because of one OTP one event is on its way at a time.

use std::sync::LazyLock;

use crate::clock::UnixMillis;
use crate::events::queue::{Address, EventId, Settlement};
use crate::events::subscription::SubscriptionId;
use crate::otp::id::NumberKey;
use crate::store::notices::{PROVEN, UNPROVEN};
use crate::store::redis::lines;
use crate::store::redis::place::{Kind, Place};
use crate::store::redis::row::{address_bytes, answer_bytes};
use crate::store::redis::script::{Call, Lazy, Lua};

/// Rows that one step of an erasure looks at.
const ERASE_STEP: u64 = 500;

/// Begins the scripts that say when the queue is to be looked at again: the end of the first lease or, where one more may be on
/// its way, the first event whose OTP has none there; empty where nothing waits. What cannot be found within a thousand events
/// is looked for again in a second.
const COMMON: &str = "\
local now,queue,due,busy=tonumber(ARGV[2]),KEYS[2],KEYS[3],KEYS[4]
local function waits() return redis.call('ZCARD',due)+redis.call('ZCARD',busy) end
local function otps_busy()
  local found,on={},redis.call('ZRANGE',busy,0,-1)
  for _,member in ipairs(on) do found[string.sub(member,17)]=true end
  return found,#on
end
local function room(on) return tonumber(redis.call('HGET',queue,'p')=='1' and ARGV[4] or ARGV[3])-on end
local function wake()
  local taken,on=otps_busy()
  local first
  if room(on)>0 then
    for page=0,15 do
      local free=redis.call('ZRANGE',due,page*64,page*64+63,'WITHSCORES')
      for at=1,#free,2 do
        if not first and not taken[string.sub(free[at],17)] then first=tonumber(free[at+1]) end
      end
      if first or #free<128 then break end
      if page==15 then first=now+1000 end
    end
  end
  local lease=redis.call('ZRANGE',busy,0,0,'WITHSCORES')[2]
  if lease and (not first or tonumber(lease)<first) then first=tonumber(lease) end
  if not first then return '' end
  return string.format('%.0f',math.max(first,now))
end
";

fn with_common(body: &str) -> Lua {
    Lua::guarded(&format!("{COMMON}{body}"))
}

/// Takes rows in, once each, as far as there is room. How many wait, and how many found no room.
static JOIN: Lazy = LazyLock::new(|| {
    Lua::guarded(
        "\
local now,bound,lost=tonumber(ARGV[2]),tonumber(ARGV[3]),0
redis.call('ZREMRANGEBYSCORE',KEYS[6],'-inf',now-3600000)
local waiting=redis.call('ZCARD',KEYS[3])+redis.call('ZCARD',KEYS[4])
for at=4,#ARGV,3 do
  local event,row=ARGV[at],ARGV[at+2]
  if redis.call('ZADD',KEYS[6],'NX',now,event)==1 and redis.call('HEXISTS',KEYS[2],event)==0 then
    if waiting<bound then
      redis.call('HSET',KEYS[2],event,row)
      redis.call('ZADD',KEYS[3],ARGV[at+1],event..string.sub(row,18,33))
      waiting=waiting+1
    else lost=lost+1 end
  end
end
redis.call('ZREMRANGEBYRANK',KEYS[6],0,-200001)
redis.call('PEXPIRE',KEYS[6],7200000)
return {waiting,lost}",
    )
});

/// Gives back what is on its way with its lease over, and claims what is due.
static CLAIM: Lazy = LazyLock::new(|| {
    with_common(
        "\
for _,member in ipairs(redis.call('ZRANGEBYSCORE',busy,'-inf',now)) do
  redis.call('ZREM',busy,member)
  local row=redis.call('HGET',queue,string.sub(member,1,16))
  if row then redis.call('ZADD',due,struct.unpack('>I8',row,34),member) end
end
local taken,on=otps_busy()
local left,chosen=math.min(room(on),tonumber(ARGV[6])),{}
for page=0,15 do
  if left<=0 then break end
  local free=redis.call('ZRANGEBYSCORE',due,'-inf',now,'LIMIT',page*64,64)
  for _,member in ipairs(free) do
    local otp=string.sub(member,17)
    if left>0 and not taken[otp] then taken[otp]=true left=left-1 chosen[#chosen+1]=member end
  end
  if #free<64 then break end
end
local rows={}
for _,member in ipairs(chosen) do
  local event=string.sub(member,1,16)
  local row=redis.call('HGET',queue,event)
  redis.call('ZREM',due,member)
  if row then
    redis.call('ZADD',busy,ARGV[5],member)
    rows[#rows+1]={event,row}
  end
end
return {wake(),waits(),rows}",
    )
});

/// Writes how tries ended. Whoever claimed an event may say so until its lease is over; that it was told anybody may say who
/// told it.
static SETTLE: Lazy = LazyLock::new(|| {
    with_common(
        "\
local dead=KEYS[5]
for at=5,#ARGV,5 do
  local event,lease,how,score,bytes=ARGV[at],ARGV[at+1],ARGV[at+2],ARGV[at+3],ARGV[at+4]
  local row=redis.call('HGET',queue,event)
  local member=row and event..string.sub(row,18,33)
  local held=row and redis.call('ZSCORE',busy,member)
  if row and (how=='T' or (held and tonumber(held)==tonumber(lease))) then
    redis.call('ZREM',busy,member)
    local tries=struct.pack('>I4',struct.unpack('>I4',row,50)+1)
    if how=='P' then
      redis.call('HSET',queue,event,string.sub(row,1,33)..bytes..string.sub(row,42,49)..tries..string.sub(row,54))
      redis.call('ZADD',due,score,member)
    elseif how=='D' then
      local sealed=56+struct.unpack('>I2',row,54)
      redis.call('HSET',queue,event,string.sub(row,1,49)..tries..bytes..string.sub(row,sealed))
      redis.call('ZADD',dead,score,event)
    else
      redis.call('HDEL',queue,event)
      redis.call('ZREM',due,member)
      redis.call('ZREM',dead,event)
    end
    redis.call('HSET',queue,'p',how=='T' and '1' or '0')
  end
end
local waiting=waits()
if waiting==0 then redis.call('HDEL',queue,'p') end
return {wake(),waiting}",
    )
});

/// Puts dead letters back.
static REPLAY: Lazy = LazyLock::new(|| {
    with_common(
        "\
local count=0
for at=6,#ARGV do
  local event=ARGV[at]
  local ends,row=redis.call('ZSCORE',KEYS[5],event),redis.call('HGET',queue,event)
  if ends and row then
    local sealed=56+struct.unpack('>I2',row,54)
    local times=ARGV[5]..struct.pack('>I8',tonumber(ends))..struct.pack('>I4',0)..struct.pack('>I2',0)
    redis.call('HSET',queue,event,string.sub(row,1,33)..times..string.sub(row,sealed))
    redis.call('ZREM',KEYS[5],event)
    redis.call('ZADD',due,now,event..string.sub(row,18,33))
    count=count+1
  end
end
return {wake(),waits(),count}",
    )
});

static LENGTH: Lazy = LazyLock::new(|| Lua::guarded("return redis.call('ZCARD',KEYS[3])+redis.call('ZCARD',KEYS[4])"));

static DEAD: Lazy = LazyLock::new(|| Lua::guarded("return redis.call('ZRANGE',KEYS[5],0,-1,'WITHSCORES')"));

static ROWS: Lazy = LazyLock::new(|| Lua::guarded("return redis.call('HMGET',KEYS[2],unpack(ARGV,2))"));

static BURY: Lazy = LazyLock::new(|| {
    Lua::guarded(
        "for at=2,#ARGV do if redis.call('ZREM',KEYS[5],ARGV[at])==1 then redis.call('HDEL',KEYS[2],ARGV[at]) end end return 1",
    )
});

static END: Lazy = LazyLock::new(|| Lua::guarded("return redis.call('DEL',unpack(KEYS,2))"));

/// One step over the rows of a hash: those of a number go. Where the next step begins ('0' at the end), and how many wait.
static ERASE: Lazy = LazyLock::new(|| {
    Lua::guarded(
        "\
local page=redis.call('HSCAN',KEYS[2],ARGV[2],'COUNT',ARGV[3])
for at=1,#page[2],2 do
  local name,row=page[2][at],page[2][at+1]
  if string.sub(row,2,17)==ARGV[4] then
    redis.call('HDEL',KEYS[2],name)
    for key=3,math.min(#KEYS,5) do redis.call('ZREM',KEYS[key],name,name..string.sub(row,18,33)) end
  end
end
return {page[1],KEYS[4] and redis.call('ZCARD',KEYS[3])+redis.call('ZCARD',KEYS[4]) or 0}",
    )
});

/// A call that works on a queue: its keys.
fn of(script: &'static Lua, id: SubscriptionId) -> Call {
    let bytes = id.bytes();
    let kinds = [Kind::Queue, Kind::QueueDue, Kind::QueueBusy, Kind::QueueDead, Kind::QueueSeen];
    kinds.into_iter().fold(Call::new(script, Place::of_bytes(&bytes)), |call, kind| call.key(kind, &bytes))
}

/// A call of a script that begins with [`COMMON`].
fn with_room(script: &'static Lua, id: SubscriptionId, now: UnixMillis) -> Call {
    let bound = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    of(script, id).number(now.0).number(bound(UNPROVEN)).number(bound(PROVEN))
}

/// Rows join, each with its event and when it is due. Answers how many wait, and how many found no room.
pub(super) fn join(id: SubscriptionId, now: UnixMillis, rows: Vec<(EventId, UnixMillis, Vec<u8>)>) -> Call {
    let call = of(&JOIN, id).number(now.0).number(u64::try_from(lines::bound(id)).unwrap_or(u64::MAX));
    rows.into_iter().fold(call, |call, (event, due, row)| call.arg(event.bytes()).number(due.0).arg(row))
}

/// Claims up to `most`, until `lease`. Answers when to look again, how many wait, and the rows with their events.
pub(super) fn claim(id: SubscriptionId, now: UnixMillis, lease: u64, most: usize) -> Call {
    with_room(&CLAIM, id, now).number(lease).number(u64::try_from(most).unwrap_or(u64::MAX))
}

/// Settles events, each with the end of the lease that it was claimed for. Answers when to look again, and how many wait.
pub(super) fn settle<'a>(
    id: SubscriptionId,
    now: UnixMillis,
    settled: impl Iterator<Item = (EventId, Option<u64>, &'a Settlement)>,
) -> Call {
    settled.fold(with_room(&SETTLE, id, now), |call, (event, lease, how)| {
        let call = call.arg(event.bytes()).arg(lease.map(|lease| lease.to_string()).unwrap_or_default());
        match how {
            Settlement::Told => call.arg("T").arg("").arg(""),
            Settlement::Dropped => call.arg("G").arg("").arg(""),
            Settlement::PutOff { due, .. } => call.arg("P").number(due.0).arg(due.0.to_be_bytes()),
            Settlement::Dead { ends, answer } => call.arg("D").number(ends.0).arg(answer_bytes(answer)),
        }
    })
}

/// Puts dead letters back. Answers when to look again, how many wait, and how many were put back.
pub(super) fn replay(id: SubscriptionId, now: UnixMillis, events: &[EventId]) -> Call {
    let call = with_room(&REPLAY, id, now).arg(now.0.to_be_bytes());
    events.iter().fold(call, |call, event| call.arg(event.bytes()))
}

/// Answers how many wait.
pub(super) fn length(id: SubscriptionId) -> Call {
    of(&LENGTH, id)
}

/// Answers the dead letters, each with its end.
pub(super) fn dead(id: SubscriptionId) -> Call {
    of(&DEAD, id)
}

/// Answers the rows of these events, of some hundreds.
pub(super) fn rows(id: SubscriptionId, events: &[EventId]) -> Call {
    events.iter().fold(of(&ROWS, id), |call, event| call.arg(event.bytes()))
}

/// Drops dead letters.
pub(super) fn bury(id: SubscriptionId, events: &[EventId]) -> Call {
    events.iter().fold(of(&BURY, id), |call, event| call.arg(event.bytes()))
}

/// Drops everything.
pub(super) fn end(id: SubscriptionId) -> Call {
    of(&END, id)
}

/// Drops what tells of a number, from `cursor` on. Answers where to go on, and how many wait.
pub(super) fn erase(id: SubscriptionId, number: NumberKey, cursor: &str) -> Call {
    // What came is named by its event alone, and tells of nobody.
    of(&ERASE, id).arg(cursor).number(ERASE_STEP).arg(number.bytes())
}

/// The same in the hash of the number's shard, where rows lie before they are relayed.
pub(super) fn erase_unrelayed(number: NumberKey, cursor: &str) -> Call {
    let call = Call::new(&ERASE, Place::of_number(number)).key(Kind::Events, b"");
    call.arg(cursor).number(ERASE_STEP).arg(number.bytes())
}

/// Rows that nobody has relayed yet, some hundreds of them: the fields and the rows.
pub(super) fn unrelayed(place: Place) -> Call {
    static UNRELAYED: Lazy = LazyLock::new(|| Lua::guarded("return redis.call('HSCAN',KEYS[2],0,'COUNT',200)[2]"));
    Call::new(&UNRELAYED, place).key(Kind::Events, b"")
}

/// These were relayed.
pub(super) fn relayed(place: Place, rows: &[Address]) -> Call {
    static RELAYED: Lazy =
        LazyLock::new(|| Lua::guarded("for at=2,#ARGV do redis.call('HDEL',KEYS[2],ARGV[at]) end return 1"));
    rows.iter().fold(Call::new(&RELAYED, place).key(Kind::Events, b""), |call, row| call.arg(address_bytes(*row)))
}
