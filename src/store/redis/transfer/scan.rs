//! Where to go on: over the keys of every server, the fields of a hash, the members of the shards' sorted sets.
//!
//! A scan of Redis goes on from a number that holds as long as the server is the same; it may show a key twice, and misses none
//! that was there all the while (SCAN, "Scan guarantees").

use redis::cluster_routing::{Route, RoutingInfo, SingleNodeRoutingInfo, SlotAddr};
use redis::{Cmd, FromRedisValue as _, Value};

use crate::store::redis::link::Connection;
use crate::store::redis::place::{Kind as Letter, Place};
use crate::store::redis::transfer::{RedisTransfer, command, failed, read_as};
use crate::store::transfer::{Cursor, TransferError};

/// Behind the last shard.
const SHARDS: u64 = 256;

/// Two numbers that say where to go on: which part, and where within it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct At {
    pub(super) part: u64,
    pub(super) within: u64,
}

impl At {
    pub(super) fn of(cursor: Option<&Cursor>) -> Self {
        let number = |at: usize| {
            let bytes = cursor.and_then(|cursor| cursor.0.get(at..at + 8)?.try_into().ok());
            bytes.map_or(0, u64::from_be_bytes)
        };
        Self { part: number(0), within: number(8) }
    }

    pub(super) fn cursor(self) -> Cursor {
        Cursor([self.part.to_be_bytes(), self.within.to_be_bytes()].concat())
    }

    /// The beginning of the next part.
    pub(super) const fn next_part(self) -> Self {
        Self { part: self.part + 1, within: 0 }
    }
}

/// A member of a shard's sorted set, with its score.
pub(super) type Ranked = (Place, Vec<u8>, u64);

impl RedisTransfer {
    /// Fields of a hash with their values, and where the scan goes on; 0 at the end.
    pub(super) async fn fields(
        &self,
        key: &[u8],
        from: u64,
        limit: usize,
    ) -> Result<(u64, Vec<(Vec<u8>, Vec<u8>)>), TransferError> {
        let (from, limit) = (from.to_string(), limit.to_string());
        read_as(self.send(&[b"HSCAN", key, from.as_bytes(), b"COUNT", limit.as_bytes()]).await?)
    }

    /// The ids of all keys with this letter, server by server.
    pub(super) async fn ids(
        &self,
        letter: Letter,
        at: At,
        limit: usize,
    ) -> Result<(Vec<Vec<u8>>, Option<At>), TransferError> {
        let servers = self.servers().await?;
        let Some(slot) = usize::try_from(at.part).ok().and_then(|part| servers.get(part)) else {
            return Ok((Vec::new(), None));
        };
        let mut scan = command(&[b"SCAN", at.within.to_string().as_bytes(), b"MATCH"]);
        scan.arg([b"og{??}".as_slice(), &[letter as u8], b"*"].concat()).arg("COUNT").arg(limit);
        let (within, keys): (u64, Vec<Vec<u8>>) = read_as(self.on(*slot, scan).await?)?;
        let ids = keys.into_iter().filter_map(|key| key.get(PREFIX..).map(<[u8]>::to_vec)).collect();
        let next = if within > 0 { At { within, ..at } } else { at.next_part() };
        let more = usize::try_from(next.part).is_ok_and(|part| part < servers.len());
        Ok((ids, more.then_some(next)))
    }

    /// For each server the first slot that it holds; none for the only one.
    pub(in crate::store::redis) async fn servers(&self) -> Result<Vec<Option<u16>>, TransferError> {
        if !self.connection.is_cluster() {
            return Ok(vec![None]);
        }
        let unread = || TransferError::Store("the cluster does not say who holds which slots".to_owned());
        let slots = self.on(Some(0), command(&[b"CLUSTER", b"SLOTS"])).await?;
        let Value::Array(ranges) = slots else { return Err(unread()) };
        let mut found: Vec<(u16, Value)> = Vec::new();
        for range in ranges {
            let Value::Array(parts) = range else { return Err(unread()) };
            let mut parts = parts.into_iter();
            let (Some(first), _, Some(Value::Array(node))) = (parts.next(), parts.next(), parts.next()) else {
                return Err(unread());
            };
            let first = u16::from_redis_value(first).map_err(|_| unread())?;
            let id = node.into_iter().nth(2).ok_or_else(unread)?;
            match found.iter_mut().find(|(_, known)| *known == id) {
                Some((least, _)) => *least = first.min(*least),
                None => found.push((first, id)),
            }
        }
        found.sort_unstable_by_key(|(first, _)| *first);
        Ok(found.into_iter().map(|(first, _)| Some(first)).collect())
    }

    /// Sends to the server that holds a slot.
    pub(in crate::store::redis) async fn on(&self, slot: Option<u16>, command: Cmd) -> Result<Value, TransferError> {
        let mut connection = self.connection.clone();
        let answer = match (&mut connection, slot) {
            (Connection::Cluster(cluster), Some(slot)) => {
                let route = SingleNodeRoutingInfo::SpecificNode(Route::new(slot, SlotAddr::Master));
                cluster.route_command(command, RoutingInfo::SingleNode(route)).await
            }
            (connection, _) => connection.send(command).await,
        };
        answer.and_then(Value::extract_error).map_err(|error| failed(&error))
    }

    /// Members of the sorted sets of this kind, shard by shard.
    pub(super) async fn ranked(
        &self,
        letter: Letter,
        mut at: At,
        limit: usize,
    ) -> Result<(Vec<Ranked>, Option<At>), TransferError> {
        let mut found = Vec::new();
        while at.part < SHARDS {
            let Ok(shard) = u8::try_from(at.part) else { break };
            let room = u64::try_from(limit.saturating_sub(found.len())).unwrap_or(0);
            if room == 0 {
                return Ok((found, Some(at)));
            }
            let (place, last) = (Place::Shard(shard), at.within + room - 1);
            let (first, last) = (at.within.to_string(), last.to_string());
            let key = place.key(letter, b"");
            let words: [&[u8]; 5] = [b"ZRANGE", &key, first.as_bytes(), last.as_bytes(), b"WITHSCORES"];
            let members: Vec<(Vec<u8>, f64)> = read_as(self.send(&words).await?)?;
            let read = u64::try_from(members.len()).unwrap_or(u64::MAX);
            found.extend(members.into_iter().map(|(member, score)| (place, member, whole(score))));
            at = if read < room { at.next_part() } else { At { within: at.within + read, ..at } };
        }
        Ok((found, None))
    }

    /// How many members the sorted sets of this kind have, over all shards.
    pub(super) async fn ranks(&self, letter: Letter) -> Result<u64, TransferError> {
        let counts = Place::shards().map(|place| (place, command(&[b"ZCARD", &place.key(letter, b"")])));
        let counts = self.all(counts.collect()).await?;
        counts.into_iter().map(read_as::<u64>).sum()
    }
}

/// Bytes of a key's name before the id: `og{xx}` and the letter.
const PREFIX: usize = 7;

/// A score, which Redis keeps as a double: whole milliseconds fit.
pub(super) fn whole(score: f64) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "instants and days, far below 2^53")]
    let whole = score.max(0.0) as u64;
    whole
}
