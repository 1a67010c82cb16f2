//! Whether a link is good: it leads to the store that was opened, which takes writes, and has as many replicas as verdicts wait
//! for. Must not know how a connection comes about, or what becomes of one that is not good.

use std::sync::atomic::Ordering;

use redis::{Cmd, FromRedisValue as _, Value};

use crate::store::redis::connect::{ConnectError, Connector, role};
use crate::store::redis::link::{Connection, Live, wait_for};
use crate::store::redis::place::{Kind, Place};
use crate::store::redis::script::{Call, Lazy, Lua};

/// Shards whose servers are asked about their replicas at a time. It divides their number.
const SHARDS_A_LOOK: u8 = 32;

/// Writes what stands there.
static AS_IT_STANDS: Lazy = Lazy::new(|| Lua::guarded("redis.call('SET',KEYS[1],ARGV[1]) return 1"));

impl Connector {
    /// Whether the link is good: every place that is looked at bears the marker, and writes are taken.
    pub(super) async fn probe(&self, live: &Live) -> Result<(), ConnectError> {
        let mut connection = live.connection.clone();
        if live.connection.is_cluster() {
            let look = |place: Place| {
                let mut connection = live.connection.clone();
                async move { marker(&mut connection, place).await }
            };
            let places = Place::shards().chain([Place::Settings]);
            for marker in futures_util::future::join_all(places.map(look)).await {
                check(marker?.as_deref(), live)?;
            }
            return Ok(());
        }
        check(marker(&mut connection, Place::Settings).await?.as_deref(), live)?;
        check(marker(&mut connection, Place::Shard(0)).await?.as_deref(), live)?;
        if role(&mut connection).await? == "master" { Ok(()) } else { Err(ConnectError::Replica) }
    }

    /// As [`Connector::probe`], and whether verdicts can be given: what is written has to reach the replicas that they wait
    /// for.
    pub(super) async fn look(&self, live: &Live) -> Result<(), ConnectError> {
        self.probe(live).await?;
        // Some of the shards each time: all of them within a second.
        let from = self.looks.fetch_add(SHARDS_A_LOOK, Ordering::Relaxed);
        self.replicated(live, (0..SHARDS_A_LOOK).map(|shard| Place::Shard(from.wrapping_add(shard)))).await
    }

    /// Whether a write in each of these places reaches as many replicas as it has to: the marker is written as it stands. One
    /// server has all places.
    pub(super) async fn replicated(
        &self,
        live: &Live,
        places: impl Iterator<Item = Place>,
    ) -> Result<(), ConnectError> {
        if self.replicas == 0 {
            return Ok(());
        }
        let write = |place: Place| {
            let mut connection = live.connection.clone();
            let written = Call::new(&AS_IT_STANDS, place).command(&live.marker, true);
            let waited = wait_for(self.replicas, self.timeout);
            async move { connection.send_both(place, written, waited).await }
        };
        let places = places.take(if live.connection.is_cluster() { usize::MAX } else { 1 });
        for answer in futures_util::future::join_all(places.map(write)).await {
            let (_, reached) = answer.map_err(|error| ConnectError::of(&error))?;
            if !matches!(reached, Ok(Value::Int(count)) if count >= i64::from(self.replicas)) {
                return Err(ConnectError::Unreachable("too few of its replicas have what is written".to_owned()));
            }
        }
        Ok(())
    }
}

/// What stands under the marker of `place`, asked for as a write that changes nothing: a primary that was demoted still answers
/// reads, and so does one that cannot write to its disk or has too few replicas (READONLY, MISCONF, NOREPLICAS).
async fn marker(connection: &mut Connection, place: Place) -> Result<Option<Vec<u8>>, ConnectError> {
    let mut get = Cmd::new();
    get.arg("GETEX").arg(place.key(Kind::Marker, b"")).arg("PERSIST");
    let value = connection.send(get).await.map_err(|error| ConnectError::of(&error))?;
    Option::<Vec<u8>>::from_redis_value(value).map_err(|error| ConnectError::Unexpected(error.to_string()))
}

fn check(found: Option<&[u8]>, live: &Live) -> Result<(), ConnectError> {
    if found == Some(&*live.marker) { Ok(()) } else { Err(ConnectError::Uninitialised) }
}
