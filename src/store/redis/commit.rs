//! The one step that changes records: where nothing that was read has moved, everything is written; else what is there now is
//! handed back, so that the next try needs no other step to read it.
//!
//! A record ends with its checksum, and a record is the same where its checksum is: that is what is compared. Must not know
//! what a record says.

use redis::{FromRedisValue as _, Value};

use crate::otp::store::StoreError;
use crate::quota::charge::Charge;
use crate::store::redis::link::Link;
use crate::store::redis::place::{Kind, Place};
use crate::store::redis::quota_script;
use crate::store::redis::script::{Call, Lazy, Lua, Parts};

/// Bytes of a record that are compared: its checksum.
const MARK: usize = 8;

/// Arguments: the instant, by the store's clock, from which on nothing is written any more (0: always); the number of
/// checks; for each check `V` (what the value ends with) or `W` (the whole value), or `F` and a field of a hash, and what is
/// expected; then the writes, each with the number of its key. Answers by how many more members those sorted sets have that are
/// counted, or with what lies under each key that was checked.
static COMMIT: Lazy = Lazy::new(|| Lua::guarded(&format!("local call,final=redis.call,#ARGV{}", step("", ""))));

/// The same for a call that is still to be counted: it is, and only one that is admitted changes anything.
static COUNTED: Lazy = Lazy::new(|| quota_script::counted(&step("{verdict,", "}")));

/// The step, whose answer stands between these.
fn step(before: &str, behind: &str) -> String {
    STEP.replace("$(", before).replace("$)", behind)
}

const STEP: &str = r"
if ARGV[2]~='0' then
  local t=call('TIME')
  if t[1]*1000+math.floor(t[2]/1000)>=tonumber(ARGV[2]) then return $('LATE'$) end
end
local n,a=tonumber(ARGV[3]),4
local same,first=true,4
for i=1,n do
  local k,how,found=KEYS[i+1],ARGV[a],nil
  if how=='V' then found=call('GETRANGE',k,-8,-1) a=a+2
  elseif how=='W' then found=call('GET',k) or '' a=a+2
  else found=string.sub(call('HGET',k,ARGV[a+1]) or '',-8) a=a+3 end
  if found~=ARGV[a-1] then same=false end
end
if not same then
  local now={}
  a=first
  for i=1,n do
    local k=KEYS[i+1]
    if ARGV[a]=='F' then now[i]=call('HGET',k,ARGV[a+1]) a=a+3 else now[i]=call('GET',k) a=a+2 end
  end
  return $(now$)
end
local grown=0
while a<=final do
  local op,k=ARGV[a],KEYS[tonumber(ARGV[a+1])]
  if op=='S' then
    if ARGV[a+3]=='0' then call('SET',k,ARGV[a+2]) else call('SET',k,ARGV[a+2],'PX',ARGV[a+3]) end
    a=a+4
  elseif op=='Z' then call('ZADD',k,ARGV[a+2],ARGV[a+3]) a=a+4
  elseif op=='z' then call('ZREM',k,ARGV[a+2]) a=a+3
  elseif op=='J' then grown=grown+call('ZADD',k,ARGV[a+2],ARGV[a+3]) a=a+4
  elseif op=='j' then grown=grown-call('ZREM',k,ARGV[a+2]) a=a+3
  elseif op=='H' then call('HSET',k,ARGV[a+2],ARGV[a+3]) a=a+4
  elseif op=='h' then call('HDEL',k,ARGV[a+2]) a=a+3
  elseif op=='D' then call('DEL',k) a=a+2
  else
    local queue=KEYS[tonumber(ARGV[a+2])]
    for _,field in ipairs(call('HKEYS',k)) do grown=grown-call('ZREM',queue,ARGV[a+3]..field) end
    call('DEL',k)
    a=a+4
  end
end
return $(grown$)
";

/// A commit that is being put together.
pub(super) struct Commit {
    place: Place,
    deadline: u64,
    keys: Parts,
    checks: Parts,
    checked: u64,
    writes: Parts,
}

/// What became of it.
pub(super) enum Outcome {
    /// Everything was written: by how many members the sorted sets grew that members joined and left.
    Done(i64),
    /// Nothing was: what lies under each key that was checked.
    Moved(Vec<Option<Vec<u8>>>),
}

impl Commit {
    /// Nothing yet, in `place`.
    pub(super) fn new(place: Place) -> Self {
        Self {
            place,
            deadline: 0,
            keys: Parts::with_capacity(6, 160),
            checks: Parts::with_capacity(6, 24),
            checked: 0,
            writes: Parts::with_capacity(24, 768),
        }
    }

    /// Nothing is written from this instant of the store's clock on.
    pub(super) const fn before(&mut self, deadline: u64) {
        self.deadline = deadline;
    }

    /// Only where the record still ends with `mark`; empty for one that is not there. To be called before any write.
    pub(super) fn check(&mut self, kind: Kind, id: &[u8], mark: &[u8]) {
        self.checked_key(kind, id);
        self.checks.push(b"V");
        self.checks.push(mark);
    }

    /// Only where the value is still this one; empty for one that is not there. To be called before any write. It may lie
    /// in another place where that is on the same server.
    pub(super) fn check_whole_at(&mut self, place: Place, kind: Kind, id: &[u8], value: &[u8]) {
        self.keys.name(place, kind, id);
        self.checked += 1;
        self.checks.push(b"W");
        self.checks.push(value);
    }

    /// Only where a field's record still ends with `mark`. To be called before any write.
    pub(super) fn check_field(&mut self, kind: Kind, id: &[u8], field: &[u8], mark: &[u8]) {
        self.checked_key(kind, id);
        [b"F", field, mark].into_iter().for_each(|part| self.checks.push(part));
    }

    fn checked_key(&mut self, kind: Kind, id: &[u8]) {
        self.keys.name(self.place, kind, id);
        self.checked += 1;
    }

    /// Writes a value, to go by itself after `millis` (0: never).
    pub(super) fn set(&mut self, kind: Kind, id: &[u8], value: &[u8], millis: u64) {
        self.set_at(self.place, kind, id, value, millis);
    }

    /// The same, where the value lies in another place on the same server.
    pub(super) fn set_at(&mut self, place: Place, kind: Kind, id: &[u8], value: &[u8], millis: u64) {
        self.write_at(b"S", place, kind, id);
        self.writes.push(value);
        self.writes.number(millis);
    }

    /// Deletes a value.
    pub(super) fn delete(&mut self, kind: Kind, id: &[u8]) {
        self.write(b"D", kind, id);
    }

    /// Puts a member into a sorted set.
    pub(super) fn rank(&mut self, kind: Kind, id: &[u8], score: u64, member: &[u8]) {
        self.rank_at(self.place, kind, id, score, member);
    }

    /// The same, where the set lies in another place on the same server.
    pub(super) fn rank_at(&mut self, place: Place, kind: Kind, id: &[u8], score: u64, member: &[u8]) {
        self.write_at(b"Z", place, kind, id);
        self.writes.number(score);
        self.writes.push(member);
    }

    /// Takes a member out of a sorted set.
    pub(super) fn unrank(&mut self, kind: Kind, id: &[u8], member: &[u8]) {
        self.write(b"z", kind, id);
        self.writes.push(member);
    }

    /// Puts a member into a sorted set. Counts in the outcome where it was not there.
    pub(super) fn join(&mut self, kind: Kind, score: u64, member: &[u8]) {
        self.write(b"J", kind, b"");
        self.writes.number(score);
        self.writes.push(member);
    }

    /// Takes a member out of a sorted set. Counts in the outcome where it was there.
    pub(super) fn leave(&mut self, kind: Kind, member: &[u8]) {
        self.write(b"j", kind, b"");
        self.writes.push(member);
    }

    /// Writes a field of a hash.
    pub(super) fn put_field(&mut self, kind: Kind, id: &[u8], field: &[u8], value: &[u8]) {
        self.write(b"H", kind, id);
        self.writes.push(field);
        self.writes.push(value);
    }

    /// Deletes a field of a hash.
    pub(super) fn delete_field(&mut self, kind: Kind, id: &[u8], field: &[u8]) {
        self.write(b"h", kind, id);
        self.writes.push(field);
    }

    /// Deletes a hash, and from a sorted set the members that are `prefix` and one of its fields. Counts in the outcome.
    pub(super) fn forget(&mut self, hash: (Kind, &[u8]), set: Kind, prefix: &[u8]) {
        self.write(b"F", hash.0, hash.1);
        self.key_at(self.place, set, b"");
        self.writes.push(prefix);
    }

    /// Begins a write of what lies under a key.
    fn write(&mut self, how: &[u8], kind: Kind, id: &[u8]) {
        self.write_at(how, self.place, kind, id);
    }

    fn write_at(&mut self, how: &[u8], place: Place, kind: Kind, id: &[u8]) {
        self.writes.push(how);
        self.key_at(place, kind, id);
    }

    /// Names a key by its number in the script.
    fn key_at(&mut self, place: Place, kind: Kind, id: &[u8]) {
        let at = self.keys.find_or_name(place, kind, id);
        // The marker is the first key, and Lua counts from 1.
        self.writes.number(at as u64 + 2);
    }

    /// Whether it would write nothing.
    pub(super) const fn is_empty(&self) -> bool {
        self.writes.len() == 0
    }

    /// Does it.
    pub(super) async fn run(self, link: &Link) -> Result<Outcome, StoreError> {
        outcome(link.run_durably(self.call(None)).await?)
    }

    /// The call of its script, whose answer [`outcome`] reads; with a charge, and since when quotas are fully charged, the one
    /// whose answer [`counted`] reads.
    pub(super) fn call(self, charge: Option<(Charge, u64)>) -> Call {
        let script = if charge.is_some() { &COUNTED } else { &COMMIT };
        let mut call = Call::new(script, self.place).number(self.deadline).number(self.checked);
        call.keys = self.keys;
        call.arguments.append(&self.checks);
        call.arguments.append(&self.writes);
        let Some((charge, since)) = charge else { return call };
        let ring = charge.connection.0.to_be_bytes();
        let place = Place::of_bytes(&ring);
        call.keys.name(place, Kind::Marker, b"");
        call.keys.name(place, Kind::Quota, &ring);
        call.arg(quota_script::policy_bytes(&charge.policy)).number(since)
    }
}

/// What the quota said, and, where it admitted the call, what the commit answered.
pub(super) fn counted(answer: Value) -> Result<(Value, Option<Value>), StoreError> {
    match answer {
        Value::Array(both) => {
            let [said, step] = <[Value; 2]>::try_from(both).map_err(|_| unreadable())?;
            Ok((said, Some(step)))
        }
        refused => Ok((refused, None)),
    }
}

/// What became of a commit.
pub(super) fn outcome(answer: Value) -> Result<Outcome, StoreError> {
    match answer {
        Value::Int(grown) => Ok(Outcome::Done(grown)),
        Value::Array(values) => {
            let values = values.into_iter().map(Option::<Vec<u8>>::from_redis_value).collect::<Result<_, _>>();
            values.map(Outcome::Moved).map_err(|_| unreadable())
        }
        // The reservation of its answer is over.
        Value::BulkString(late) if late == LATE => Err(StoreError::Unavailable),
        _ => Err(unreadable()),
    }
}

/// What the script answers after the instant from which on it writes nothing.
const LATE: &[u8] = b"LATE";

/// What a record that is kept as `value` is compared by: nothing where there is none.
pub(super) fn mark(value: &[u8]) -> &[u8] {
    value.get(value.len().saturating_sub(MARK)..).unwrap_or_default()
}

/// The store answered something that no script of ours does.
pub(super) fn unreadable() -> StoreError {
    tracing::error!("the store answered something that this release cannot read");
    StoreError::Unavailable
}
