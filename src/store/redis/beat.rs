//! What keeps the store's past in the store: beats, and the instant since when every quota counts as fully charged. Whoever finds
//! that the store was put back in time raises that instant before anybody is let in, and the others find it there. Must not know
//! what is thought of a beat (`past`), or how a connection comes about.

use redis::{Cmd, FromRedisValue as _, Value};

use crate::store::redis::ConnectError;
use crate::store::redis::connect::Connector;
use crate::store::redis::fault::Fault;
use crate::store::redis::link::{Live, wait_for};
use crate::store::redis::past::{Beat, Judgement, NOTED, SETTLES};
use crate::store::redis::place::{Kind, Place};
use crate::store::redis::script::{Call, Lazy, Lua};

/// How far apart (ms) two beats of a place are at least, however many gateways look.
const EVERY: u64 = 1_000;

/// Writes a beat, where the last one is old enough, and says what beats. A clock that went back counts on: nothing that was
/// written is ever less. A beat for which there is no room is none. What is waited for on replicas has to be a write, so there
/// the marker is written as it stands.
///
/// Arguments: how far apart beats are, how long a pause is, whether replicas are waited for.
static BEAT: Lazy = Lazy::new(|| {
    Lua::guarded(
        "local t=redis.call('TIME')
local now=t[1]*1000+math.floor(t[2]/1000)
local found=redis.call('HMGET',KEYS[2],'at','from','to')
local at,from,to=(found[1] or 0)+0,(found[2] or 0)+0,(found[3] or 0)+0
if now<at or now-at>=ARGV[2]+0 then
 if now<at then now=at+1 end
 local since,till=from,to
 if now-at>ARGV[3]+0 then since,till=at,now end
 local text=function(number) return string.format('%.0f',number) end
 local done=redis.pcall('HSET',KEYS[2],'at',text(now),'from',text(since),'to',text(till))
 if type(done)=='number' then at,from,to=now,since,till end
end
if ARGV[4]=='1' then redis.call('SET',KEYS[1],ARGV[1]) end
return {at,from,to}",
    )
});

/// Raises the instant since when quotas count as charged to the server's time, unless somebody has since it was read. Answers
/// what it is then.
static CHARGE: Lazy = Lazy::new(|| {
    Lua::guarded(
        "local found=redis.call('HGET',KEYS[2],'charged_at')
if found~=ARGV[2] then return found end
local t=redis.call('TIME')
local charged=string.format('%.0f',math.max(t[1]*1000+math.ceil(t[2]/1000),found+0))
redis.call('HSET',KEYS[2],'charged_at',charged)
return charged",
    )
});

/// What a look at a link that is good has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// All is as it was.
    Same,
    /// Somebody has had every quota charged, at this instant.
    Charged(u64),
    /// The store was put back in time, or a part of it was.
    WentBack,
}

impl Connector {
    /// Compares what the store says of its past with what was seen of it.
    pub(super) fn compare(&self, live: &Live, charged_at: u64, beats: &[(Place, Beat)]) -> Look {
        let judgement = self.past.judge(&live.marker, charged_at, beats);
        if judgement != Judgement::Same {
            return Look::WentBack;
        }
        self.past.serves(judgement, &live.marker, charged_at, beats);
        if charged_at == live.charged_at { Look::Same } else { Look::Charged(charged_at) }
    }

    /// The link, once it is known that it leads to the store that was served from, and that no quota has forgotten a call.
    ///
    /// # Errors
    /// [`ConnectError::Uninitialised`] where another store took its place.
    pub(super) async fn trusted(&self, mut live: Live) -> Result<Live, ConnectError> {
        if self.past.is_strange(&live.marker, live.charged_at) {
            return Err(ConnectError::Uninitialised);
        }
        let beats = self.beat(&live, Place::shards()).await?;
        let judgement = self.past.judge(&live.marker, live.charged_at, &beats);
        if judgement == Judgement::Uncharged {
            live.charged_at = charge(&live).await?;
            tracing::warn!("the store was put back in time: every quota begins fully charged");
        }
        self.past.serves(judgement, &live.marker, live.charged_at, &beats);
        Ok(live)
    }

    /// What beats in each of these places; one server has all of them. Where verdicts wait for replicas, so does this.
    pub(super) async fn beat(
        &self,
        live: &Live,
        places: impl Iterator<Item = Place>,
    ) -> Result<Vec<(Place, Beat)>, ConnectError> {
        let places: Vec<Place> = if live.connection.is_cluster() { places.collect() } else { vec![NOTED] };
        let beats = places.into_iter().map(|place| self.beat_in(live, place));
        futures_util::future::try_join_all(beats).await
    }

    async fn beat_in(&self, live: &Live, place: Place) -> Result<(Place, Beat), ConnectError> {
        let mut connection = live.connection.clone();
        let waits = u64::from(self.replicas > 0);
        let call = Call::new(&BEAT, place).key(Kind::Beat, b"").number(EVERY).number(SETTLES).number(waits);
        // One server is asked ten times a second, a cluster some hundred times: there the text is worth its name.
        let mut by_text = !connection.is_cluster();
        let answer = loop {
            let command = call.command(&live.marker, by_text);
            let answer = if self.replicas == 0 {
                connection.send(command).await.map(|value| (value, None))
            } else {
                let wait = wait_for(self.replicas, self.timeout);
                connection.send_both(place, command, wait).await.map(|(value, reached)| (value, Some(reached)))
            };
            match answer {
                Err(error) if !by_text && Fault::of(&error) == Fault::NoScript => by_text = true,
                answer => break answer,
            }
        };
        let (value, reached) = answer.map_err(|error| ConnectError::of(&error))?;
        if let Some(reached) = reached
            && !matches!(reached, Ok(Value::Int(count)) if count >= i64::from(self.replicas))
        {
            return Err(ConnectError::Unreachable("too few of its replicas have what is written".to_owned()));
        }
        let figures = Vec::<u64>::from_redis_value(value);
        match figures.as_deref() {
            Ok(&[at, from, to]) => Ok((place, Beat { at, pause: (from, to) })),
            _ => Err(ConnectError::Unexpected("it does not say when it was looked at".to_owned())),
        }
    }

    /// Has this machine remember, from time to time, what must not be gone when it starts again.
    pub(super) fn note(&self) {
        let Some((known, name)) = &self.known else { return };
        let Some((marker, beat)) = self.past.to_note() else { return };
        let (known, name) = (known.clone(), name.clone());
        // It waits for a disk.
        tokio::task::spawn_blocking(move || known.remember(&name, &marker, beat));
    }
}

/// Since when the store says that quotas count as charged.
pub(super) async fn charged_at(live: &Live) -> Result<u64, ConnectError> {
    let mut get = Cmd::new();
    get.arg("HGET").arg(Place::Settings.key(Kind::Meta, b"")).arg("charged_at");
    instant(live.connection.clone().send(get).await.map_err(|error| ConnectError::of(&error))?)
}

/// Has every quota begin fully charged, now.
async fn charge(live: &Live) -> Result<u64, ConnectError> {
    let call = Call::new(&CHARGE, Place::Settings).key(Kind::Meta, b"").number(live.charged_at);
    let command = call.command(&live.marker, true);
    instant(live.connection.clone().send(command).await.map_err(|error| ConnectError::of(&error))?)
}

/// A store without one has lost its description.
fn instant(value: Value) -> Result<u64, ConnectError> {
    let text = Option::<String>::from_redis_value(value);
    let text = text.map_err(|_| ConnectError::Unexpected("it does not say since when quotas count".to_owned()))?;
    text.and_then(|text| text.parse().ok()).ok_or(ConnectError::Uninitialised)
}
