//! The quota as a script: the same decision as `quota::window`, on the server's clock, over a log packed into one string. Must
//! not know who asks.
//!
//! A ring is: the upper 32 of the 48 bits of its newest call (ms since 1970), for how many seconds it counts after that call
//! (16 bits), and its calls, oldest first: each the time modulo 2^16 ms, or modulo 2^32 ms where it counts for more than 65 s;
//! all of them the highest byte first. The newest call is the last one, so that within a span of 65.5 s a call is added by
//! appending two bytes. It is written as a whole, because a string that is written in part keeps twice the room.
//!
//! Keys: the marker, the ring. Arguments: the marker; the calls and the period (s) of the policy, 16 bits each, the highest byte
//! first, because Lua reads a byte faster than a digit; and since when (ms) every quota counts as fully charged. A ring that is
//! there was written under the marker, so the marker is only looked at where there is none. That is also where a quota may be
//! fully charged; a ring whose newest call was before that instant counts as none, because the store that holds it was put back
//! in time and has forgotten calls. A script that does more than count has them last of all.

use crate::quota::Policy;
use crate::store::redis::script::{GUARD, Lazy, Lua};

/// What an answer is multiplied with: a time in milliseconds is less than that.
pub(super) const SCALE: i64 = 1 << 22;

/// Reads the server's clock, in whole milliseconds.
const CLOCK: &str = "
local t=call('TIME')
local now=t[2]+0
now=t[1]*1000+(now-now%1000)/1000
local time=now";

/// For tests: is told the time. The server's own clock counts as a day behind, which no test outlives.
const TOLD: &str = "
local now=ARGV[4]+0
local time=now-86400000";

/// Reads the log: how many calls left the window, how many are in it, and when there is relief. `age` is how long before the
/// newest call another one was; mostly none or one has left, else the search gallops from the oldest, then bisects.
const READ: &str = "
local m,n,o,p=byte(policy,1,4)
local calls,period=m*256+n,(o*256+p)*1000
local v=call('GET',ring)
local live,gone,relief,last,high,keeps,width=0,0
if v then
 local a,b,c,d,e,f,g,h=byte(v,1,8)
 local i,j=byte(v,-2,-1)
 local low=i*256+j
 high,keeps=((a*256+b)*256+c)*256+d,(e*256+f)*1000
 last=high*65536+low
 local idle=now-last
 if idle<0 then now,idle=last,0 end
 if idle>=keeps or since and last<since+0 then
  v=false
 elseif idle<period then
  local limit,back,len=period-idle
  if keeps>65000 then
   width,len,back=4,(#v-6)/4,limit
  else
   width,len,back=2,#v/2-3,(low-g*256-h)%65536
  end
  if back>=limit and width==2 and len<=calls then
   local o,p=byte(v,9,10)
   local second=(low-o*256-p)%65536
   if second<limit then gone,back=1,second end
  end
  if gone==0 and (back>=limit or len>calls) then
   local function age(index)
    local o,p,q,r=byte(v,7+width*index,6+width*(index+1))
    if width==2 then return (low-o*256-p)%65536 end
    return (last-((o*256+p)*256+q)*256-r)%4294967296
   end
   local bound=1
   while bound<=len and age(bound-1)>=limit do bound=bound*2 end
   gone=math.floor(bound/2)
   local most=math.min(bound-1,len)
   while gone<most do
    local middle=math.floor((gone+most)/2)
    if age(middle)>=limit then gone=middle+1 else most=middle end
   end
   back=age(math.max(gone,len-calls))
  end
  live,relief=len-gone,limit-back
  if relief>keeps-idle then relief=keeps-idle end
 end
end
if not v then
";

/// The end of [`READ`]: without a ring the quota may be fully charged. A refusal is its wait, negative, and writes nothing.
const REFUSE: &str = "
 local charged=(since or 0)+0
 if now<charged+period then return math.max(now,charged)-charged-period end
end
if live>=calls then return -relief end
";

/// Writes an admitted call down. The ring is gone when it counts for nothing; should the clock have gone back, it counts from
/// its newest call. Stamps change their width with a period that crosses 65 s.
const ADMIT: &str = "
local hold,ttl=65000,'65000'
if period>65000 then hold,ttl=period,tostring(period) end
local low=now%65536
local stamp
if period>65000 then
 stamp=struct.pack('>I4',now%4294967296)
else
 local part=low%256
 stamp=string.char((low-part)/256,part)
end
if live>0 and gone==0 and high==(now-low)/65536 and keeps==hold then
 v=v..stamp
else
 local kept=''
 if live>0 and width==#stamp then
  kept=string.sub(v,7+width*gone)
 elseif live>0 then
  local parts={}
  for at=7+width*gone,#v,width do
   if width==4 then
    parts[#parts+1]=string.sub(v,at+2,at+3)
   else
    local o,p=byte(v,at,at+1)
    parts[#parts+1]=struct.pack('>I4',(last-(last-o*256-p)%65536)%4294967296)
   end
  end
  kept=table.concat(parts)
 end
 v=struct.pack('>I4I2',(now-low)/65536,hold/1000)..kept..stamp
end
if now>time then ttl=hold+now-time end
call('SET',ring,v,'PX',ttl)
";

/// What is left, and when there will be more, once a call was written down.
const LEFT: &str = "(calls-live-1)*4194304+(relief or period)";

/// Says what is left, uncharged.
const STAND: &str = "return (calls-live)*4194304+(relief or 0)";

/// Decides on a call.
pub(super) static CHECK: Lazy = Lazy::new(|| script(CLOCK, &format!("{ADMIT}return {LEFT}")));
/// Says what is left.
pub(super) static PEEK: Lazy = Lazy::new(|| script(CLOCK, STAND));
/// For tests: as [`CHECK`], by a clock that is told.
pub(super) static CHECK_TOLD: Lazy = Lazy::new(|| script(TOLD, &format!("{ADMIT}return {LEFT}")));
/// For tests: as [`PEEK`], by a clock that is told.
pub(super) static PEEK_TOLD: Lazy = Lazy::new(|| script(TOLD, STAND));

/// What the pieces above work with, where nothing else is done.
const ALONE: &str = "local call,byte,ring,policy,since=redis.call,string.byte,KEYS[2],ARGV[2],ARGV[3]";

/// A policy as the scripts read it.
pub(super) fn policy_bytes(policy: &Policy) -> [u8; 4] {
    let ([a, b], [c, d]) = (policy.calls().to_be_bytes(), policy.period_seconds().to_be_bytes());
    [a, b, c, d]
}

fn script(clock: &str, end: &str) -> Lua {
    Lua::bare(&format!("{ALONE}{clock}{READ}{GUARD}{REFUSE}{end}"))
}

/// Counts a call, and does `step` if it is admitted. The marker of the ring's place and the ring are the last keys, and the last
/// [`ARGUMENTS`] are
/// the quota's; `step` finds in `final` how many are its own, and in `verdict` what [`CHECK`] would answer, which it has to
/// hand on. A refusal ends the script, as it ends [`CHECK`].
pub(super) fn counted(step: &str) -> Lua {
    // The guard is of the step's place; where there is no ring, that of its own place is looked at as ever.
    let guard = GUARD.replace("KEYS[1]", "KEYS[#KEYS-1]");
    Lua::guarded(&format!(
        "local final=#ARGV-{ARGUMENTS}
local call,byte,ring=redis.call,string.byte,KEYS[#KEYS]
local policy,since=ARGV[final+1],ARGV[final+2]
local verdict
do{CLOCK}{READ}{guard}{REFUSE}{ADMIT}verdict={LEFT}
end
{step}"
    ))
}

/// Arguments of the quota in a script that does more.
const ARGUMENTS: usize = 2;
