//! Whether a link is good: it leads to the store that was opened, which takes writes, has as many replicas as verdicts wait for,
//! and was not put back in time. Must not know how a connection comes about, or what becomes of one that is not good.

use std::sync::atomic::Ordering;

use redis::{Cmd, FromRedisValue as _};

use crate::store::redis::beat::{Look, charged_at};
use crate::store::redis::connect::{ConnectError, Connector, role};
use crate::store::redis::link::{Connection, Live};
use crate::store::redis::place::{Kind, Place};

/// Shards whose servers are asked about their past and their replicas at a time. It divides their number.
const SHARDS_A_LOOK: u8 = 32;

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
    /// for, and what was written has to be there.
    pub(super) async fn look(&self, live: &Live) -> Result<Look, ConnectError> {
        // Some of the shards each time: all of them within a second.
        let from = self.looks.fetch_add(SHARDS_A_LOOK, Ordering::Relaxed);
        let some = (0..SHARDS_A_LOOK).map(|shard| Place::Shard(from.wrapping_add(shard)));
        // At the same time: a look has no longer than a call.
        let (probed, charged_at, beats) = tokio::join!(self.probe(live), charged_at(live), self.beat(live, some));
        probed?;
        Ok(self.compare(live, charged_at?, &beats?))
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
