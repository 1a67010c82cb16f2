//! The one step that changes records: where nothing that was read has moved, everything is written; else what is there now is
//! handed back, so that the next try needs no other step to read it.
//!
//! A record ends with its checksum, and a record is the same where its checksum is: that is what is compared. Must not know
//! what a record says.

use redis::{FromRedisValue as _, Value};

use crate::otp::store::StoreError;
use crate::store::redis::link::Link;
use crate::store::redis::place::{Kind, Place};
use crate::store::redis::script::{Call, Lazy, Lua};

/// Bytes of a record that are compared: its checksum.
const MARK: usize = 8;

/// Arguments: the instant, by the store's clock, from which on nothing is written any more (0: always); the number of
/// checks; for each check `V` (what the value ends with) or `W` (the whole value), or `F` and a field of a hash, and what is
/// expected; then the writes, each with the number of its key.
static COMMIT: Lazy = Lazy::new(|| {
    Lua::guarded(
        r"
local call=redis.call
if ARGV[2]~='0' then
  local t=call('TIME')
  if t[1]*1000+math.floor(t[2]/1000)>=tonumber(ARGV[2]) then return redis.error_reply('LATE the reservation is over') end
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
  local now={0}
  a=first
  for i=1,n do
    local k=KEYS[i+1]
    if ARGV[a]=='F' then now[i+1]=call('HGET',k,ARGV[a+1]) a=a+3 else now[i+1]=call('GET',k) a=a+2 end
  end
  return now
end
local done={1}
while a<=#ARGV do
  local op,k=ARGV[a],KEYS[tonumber(ARGV[a+1])]
  if op=='S' then
    if ARGV[a+3]=='0' then call('SET',k,ARGV[a+2]) else call('SET',k,ARGV[a+2],'PX',ARGV[a+3]) end
    a=a+4
  elseif op=='Z' then done[#done+1]=call('ZADD',k,ARGV[a+2],ARGV[a+3]) a=a+4
  elseif op=='z' then done[#done+1]=call('ZREM',k,ARGV[a+2]) a=a+3
  elseif op=='H' then call('HSET',k,ARGV[a+2],ARGV[a+3]) a=a+4
  elseif op=='h' then call('HDEL',k,ARGV[a+2]) a=a+3
  elseif op=='D' then call('DEL',k) a=a+2
  else
    local queue,gone=KEYS[tonumber(ARGV[a+2])],0
    for _,field in ipairs(call('HKEYS',k)) do gone=gone+call('ZREM',queue,ARGV[a+3]..field) end
    call('DEL',k)
    done[#done+1]=gone
    a=a+4
  end
end
return done
",
    )
});

/// A commit that is being put together.
pub(super) struct Commit {
    place: Place,
    deadline: u64,
    keys: Vec<Vec<u8>>,
    checks: Vec<Vec<u8>>,
    checked: usize,
    writes: Vec<Vec<u8>>,
}

/// What became of it.
pub(super) enum Outcome {
    /// Everything was written: how many members joined or left each sorted set, in the order of those writes.
    Done(Vec<i64>),
    /// Nothing was: what lies under each key that was checked.
    Moved(Vec<Option<Vec<u8>>>),
}

impl Commit {
    /// Nothing yet, in `place`.
    pub(super) fn new(place: Place) -> Self {
        Self { place, deadline: 0, keys: Vec::new(), checks: Vec::new(), checked: 0, writes: Vec::new() }
    }

    /// Nothing is written from this instant of the store's clock on.
    pub(super) const fn before(&mut self, deadline: u64) {
        self.deadline = deadline;
    }

    /// Only where the record still ends with `mark`; empty for one that is not there. To be called before any write.
    pub(super) fn check(&mut self, kind: Kind, id: &[u8], mark: &[u8]) {
        self.checked_key(kind, id);
        self.checks.extend([b"V".to_vec(), mark.to_vec()]);
    }

    /// Only where the value is still this one; empty for one that is not there. To be called before any write. It may lie
    /// in another place where that is on the same server.
    pub(super) fn check_whole_at(&mut self, place: Place, kind: Kind, id: &[u8], value: &[u8]) {
        self.keys.push(place.key(kind, id));
        self.checked += 1;
        self.checks.extend([b"W".to_vec(), value.to_vec()]);
    }

    /// Only where a field's record still ends with `mark`. To be called before any write.
    pub(super) fn check_field(&mut self, kind: Kind, id: &[u8], field: &[u8], mark: &[u8]) {
        self.checked_key(kind, id);
        self.checks.extend([b"F".to_vec(), field.to_vec(), mark.to_vec()]);
    }

    fn checked_key(&mut self, kind: Kind, id: &[u8]) {
        self.keys.push(self.place.key(kind, id));
        self.checked += 1;
    }

    /// Writes a value, to go by itself after `millis` (0: never).
    pub(super) fn set(&mut self, kind: Kind, id: &[u8], value: Vec<u8>, millis: u64) {
        self.set_at(self.place, kind, id, value, millis);
    }

    /// The same, where the value lies in another place on the same server.
    pub(super) fn set_at(&mut self, place: Place, kind: Kind, id: &[u8], value: Vec<u8>, millis: u64) {
        let key = self.key_at(place, kind, id);
        self.writes.extend([b"S".to_vec(), key, value, millis.to_string().into_bytes()]);
    }

    /// Deletes a value.
    pub(super) fn delete(&mut self, kind: Kind, id: &[u8]) {
        let key = self.key(kind, id);
        self.writes.extend([b"D".to_vec(), key]);
    }

    /// Puts a member into a sorted set. Counts in the outcome: 1 where it was not there.
    pub(super) fn rank(&mut self, kind: Kind, id: &[u8], score: u64, member: &[u8]) {
        self.rank_at(self.place, kind, id, score, member);
    }

    /// The same, where the set lies in another place on the same server.
    pub(super) fn rank_at(&mut self, place: Place, kind: Kind, id: &[u8], score: u64, member: &[u8]) {
        let key = self.key_at(place, kind, id);
        self.writes.extend([b"Z".to_vec(), key, score.to_string().into_bytes(), member.to_vec()]);
    }

    /// Takes a member out of a sorted set. Counts in the outcome: 1 where it was there.
    pub(super) fn unrank(&mut self, kind: Kind, id: &[u8], member: &[u8]) {
        let key = self.key(kind, id);
        self.writes.extend([b"z".to_vec(), key, member.to_vec()]);
    }

    /// Writes a field of a hash.
    pub(super) fn put_field(&mut self, kind: Kind, id: &[u8], field: &[u8], value: Vec<u8>) {
        let key = self.key(kind, id);
        self.writes.extend([b"H".to_vec(), key, field.to_vec(), value]);
    }

    /// Deletes a field of a hash.
    pub(super) fn delete_field(&mut self, kind: Kind, id: &[u8], field: &[u8]) {
        let key = self.key(kind, id);
        self.writes.extend([b"h".to_vec(), key, field.to_vec()]);
    }

    /// Deletes a hash, and from a sorted set the members that are `prefix` and one of its fields. Counts in the outcome.
    pub(super) fn forget(&mut self, hash: (Kind, &[u8]), set: Kind, prefix: &[u8]) {
        let (key, set) = (self.key(hash.0, hash.1), self.key(set, b""));
        self.writes.extend([b"F".to_vec(), key, set, prefix.to_vec()]);
    }

    /// The number of a key in the script, as text.
    fn key(&mut self, kind: Kind, id: &[u8]) -> Vec<u8> {
        self.key_at(self.place, kind, id)
    }

    fn key_at(&mut self, place: Place, kind: Kind, id: &[u8]) -> Vec<u8> {
        let key = place.key(kind, id);
        let at = match self.keys.iter().position(|known| *known == key) {
            Some(at) => at,
            None => {
                self.keys.push(key);
                self.keys.len() - 1
            }
        };
        // The marker is the first key, and Lua counts from 1.
        (at + 2).to_string().into_bytes()
    }

    /// Whether it would write nothing.
    pub(super) const fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    /// Does it.
    pub(super) async fn run(self, link: &Link) -> Result<Outcome, StoreError> {
        let mut call = Call::new(&COMMIT, self.place).number(self.deadline).number(self.checked as u64);
        call.keys = self.keys;
        call.arguments.extend(self.checks);
        call.arguments.extend(self.writes);
        let Value::Array(answer) = link.run_durably(call).await? else { return Err(unreadable()) };
        let mut parts = answer.into_iter();
        match parts.next() {
            Some(Value::Int(1)) => {
                let counts = parts.map(i64::from_redis_value).collect::<Result<_, _>>();
                counts.map(Outcome::Done).map_err(|_| unreadable())
            }
            Some(Value::Int(0)) => {
                let values = parts.map(Option::<Vec<u8>>::from_redis_value).collect::<Result<_, _>>();
                values.map(Outcome::Moved).map_err(|_| unreadable())
            }
            _ => Err(unreadable()),
        }
    }
}

/// What a record that is kept as `value` is compared by: nothing where there is none.
pub(super) fn mark(value: &[u8]) -> &[u8] {
    value.get(value.len().saturating_sub(MARK)..).unwrap_or_default()
}

/// The store answered something that no script of ours does.
pub(super) fn unreadable() -> StoreError {
    tracing::error!("the store answered something that this release cannot read");
    StoreError::Unavailable
}
